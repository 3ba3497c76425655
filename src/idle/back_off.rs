//! Keeping out of another thread's way.

use std::thread;
use std::time::{Duration, Instant};

/// How long a thread backs off from one end of a channel, at most.
const BACK_OFF: Duration = Duration::from_micros(100);

/// Backs off: yields to the thread at the other end of a channel, until that one has put `enough`
/// into it, or taken `enough` out of it: `done` tells how much that is.
///
/// Two threads that are at the same place of a channel, one right behind the other on another core,
/// take the memory out of each other's hands with every envelope, which costs several times what a
/// channel costs else.
pub(crate) fn back_off(done: impl Fn() -> usize, enough: usize) {
    let start = Instant::now();
    let before = done();
    let mut now = done();
    while now < enough && is_fast(now.saturating_sub(before), start.elapsed()) {
        thread::yield_now();
        now = done();
    }
}

/// Whether it is worth to back off for so long from a thread that does so much: one envelope in
/// each microsecond is the least.
fn is_fast(done: usize, elapsed: Duration) -> bool {
    done as u128 >= elapsed.as_micros() && elapsed < BACK_OFF
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_thread_backs_off_to_a_fast_one_and_not_for_long() {
        assert!(is_fast(0, Duration::ZERO));
        assert!(is_fast(20, Duration::from_micros(20)));
        assert!(!is_fast(20, Duration::from_micros(21)));
        assert!(!is_fast(usize::MAX, BACK_OFF));
    }

    #[test]
    fn it_backs_off_until_enough_is_done_and_to_nobody_who_does_nothing() {
        let looks = Cell::new(0);
        let look = |done: usize| {
            looks.set(looks.get() + 1);
            done
        };
        back_off(|| look(500), 500);
        assert_eq!(looks.get(), 2, "once for what there was, and once for what there is");
        back_off(|| look(0), 1);
        // On a busy machine it may be away for so long that it gives up, but not each time.
        let looks = || {
            let looks = Cell::new(0);
            back_off(|| looks.replace(looks.get() + 1) * 10, 30);
            looks.get()
        };
        assert!((0..1_000).any(|_| looks() == 4));
    }
}
