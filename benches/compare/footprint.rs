//! What the library takes of the machine: memory and allocations.

use std::alloc::{GlobalAlloc, Layout as Block, System};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::library::Library;
use crate::support::traffic::flood;
use crate::support::{Contender, Layout, Result};

/// Where Linux tells how much memory a process has resident.
const STATUS: &str = "/proc/self/status";

/// Whether [`resident`] can be measured here.
pub fn tells_resident() -> bool {
    fs::exists(STATUS).unwrap_or(false)
}

/// Starts five servers, waits until all have heard each other, and tells how many bytes are
/// resident.
pub fn resident() -> Result<f64> {
    let stations = Library.connect(&Layout::broadcast(4, 8))?;
    let status = fs::read_to_string(STATUS)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes.ok_or("the system does not tell VmRSS")?.parse()?;
    Library.disconnect(stations)?;
    Ok(kibibytes * 1024.0)
}

/// Allocations in this process, libzmq's own apart, for each envelope that reaches an inbox.
///
/// Starting the threads that send and receive is counted too, and is too little to show.
pub fn allocations(layout: &Layout, count: u64) -> Result<f64> {
    let mut stations = Library.connect(layout)?;
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    COUNTING.store(true, Ordering::SeqCst);
    flood(&mut stations, layout, count);
    COUNTING.store(false, Ordering::SeqCst);
    let allocations = ALLOCATIONS.load(Ordering::SeqCst) - before;
    Library.disconnect(stations)?;
    Ok(allocations as f64 / (count * layout.deliveries() as u64) as f64)
}

/// The system's allocator, which is counted while it matters: otherwise it costs one load.
struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

#[allow(unsafe_code, reason = "an allocator's interface is unsafe")]
// SAFETY: the system's allocator does all the work, with the caller's promises to this one.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, block: Block) -> *mut u8 {
        count();
        // SAFETY: see above.
        unsafe { System.alloc(block) }
    }

    unsafe fn alloc_zeroed(&self, block: Block) -> *mut u8 {
        count();
        // SAFETY: see above.
        unsafe { System.alloc_zeroed(block) }
    }

    unsafe fn realloc(&self, memory: *mut u8, block: Block, size: usize) -> *mut u8 {
        count();
        // SAFETY: see above.
        unsafe { System.realloc(memory, block, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, block: Block) {
        // SAFETY: see above.
        unsafe { System.dealloc(memory, block) }
    }
}
