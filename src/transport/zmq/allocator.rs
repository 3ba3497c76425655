//! How much of the memory that comes free the process keeps.

use std::sync::Once;

/// How large a message has to be for its memory to go back to the system at once, in bytes.
const LARGE: usize = 4 * 1024 * 1024;

/// Raises glibc's limits for giving memory back to the system.
///
/// A link lets go of memory for frames all the time and needs it again the next moment. Until it
/// has seen better, glibc gives back whatever is larger than 128 KiB, or more than that at the end
/// of a heap, and the kernel clears every page of it anew: a quarter of what messages of 1 KiB
/// cost, and a fifth at 64 KiB and 1 MiB. It learns, though: once a process has freed a block,
/// smaller ones stay, and up to twice its size at the end of each heap (`M_MMAP_THRESHOLD` in
/// mallopt(3)). So this frees one. A process that has set these limits itself keeps them.
pub(super) fn keep_freed_memory() {
    static ONCE: Once = Once::new();
    if cfg!(target_env = "gnu") {
        ONCE.call_once(|| drop(zmq::Message::with_size(LARGE)));
    }
}
