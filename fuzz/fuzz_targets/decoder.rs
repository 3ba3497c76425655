//! The frame decoder: the first bytes of the input are the header, the rest is the body.
//!
//! Whatever it is given it does not panic and allocates nothing, what it takes for a frame comes back as the
//! same bytes, and such a frame carries exactly the envelopes it promises.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use libfuzzer_sys::fuzz_target;
use raft_cluster::Bytes;
use raft_cluster::internals::{Frame, HEADER_LEN};

/// What an envelope in a batch needs beside its message, in bytes: without its id, and with it.
const SHORT_HEAD: usize = 4;
const LONG_HEAD: usize = 12;

/// Where that says how long the message is, and where its id is.
const LENGTH_SHIFT: u32 = 8;
const ID_SHIFT: u32 = 1;

/// Where the header says how many envelopes a batch holds.
const COUNT: std::ops::Range<usize> = 52..56;

/// Where it says how long the payload is.
const LENGTH: std::ops::Range<usize> = 108..112;

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code, reason = "an allocator cannot do without")]
// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|data: &[u8]| {
    let (header, body) = data.split_at(data.len().min(HEADER_LEN));
    check(header, body);
    if header.len() == HEADER_LEN {
        check(&with_true_count(header, body), body);
        assert!(
            Frame::decode(data, Bytes::new()).is_none() || body.is_empty(),
            "too long a header"
        );
    }
});

fn check(header: &[u8], body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    let given = body.clone();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let decoded = Frame::decode(header, given);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before, "decoding allocates");
    let Some(frame) = decoded else { return };
    let encoded = frame.clone().encode();
    assert_eq!((&encoded.0[..], &encoded.1), (header, &body), "it comes back as other bytes");

    let promised = frame.promised();
    let mut carried = 0;
    let mut bytes = 0;
    for envelope in frame.envelopes() {
        carried += 1;
        bytes += envelope.msg.len();
    }
    assert_eq!(carried, promised, "it carries another number of envelopes");
    let heads = body.len() - bytes;
    let carried = carried as usize;
    let is_fragment = carried == 0 && bytes == 0;
    let is_whole = heads == 0 || (carried * SHORT_HEAD..=carried * LONG_HEAD).contains(&heads);
    assert!(
        is_whole || is_fragment,
        "{bytes} bytes in {carried} envelopes came out of {}",
        body.len()
    );
}

/// The header of a whole batch with the number of envelopes that the body has: hardly one input would have the
/// right one.
fn with_true_count(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut count = 0_u32;
    let mut rest = body;
    while let Some(word) = rest.first_chunk().map(|head| u32::from_le_bytes(*head)) {
        let head = if word >> ID_SHIFT & 3 == 0 { LONG_HEAD } else { SHORT_HEAD };
        let Some(next) = rest.get(head + (word >> LENGTH_SHIFT) as usize..) else { break };
        rest = next;
        count += 1;
    }
    let mut header = header.to_vec();
    header[COUNT].copy_from_slice(&count.to_le_bytes());
    header[LENGTH].copy_from_slice(&(body.len() as u32).to_le_bytes());
    header
}
