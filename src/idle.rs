//! What a thread does when it has run out of work, or is in another one's way.

use std::thread;
use std::time::{Duration, Instant};

/// How long a thread stays awake when it has run out of work. The answer to what it has just sent
/// comes within this time, and to be woken takes longer than to look.
const AWAKE: Duration = Duration::from_micros(200);

/// A thread that yields and is not back after this time is on a busy machine, where
/// to stay awake only costs.
const BUSY: Duration = Duration::from_micros(150);

/// How long a thread does not stay awake then.
const REST: Duration = Duration::from_millis(500);

/// The idle strategy: decides when a thread that has run out of work goes to sleep. Until then it
/// yields to all others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdleStrategy {
    /// Since when there has been no work.
    since: Option<Duration>,
    yielded_at: Option<Duration>,
    /// Whether the last work came soon enough to wait for the next.
    pays: bool,
    rests_until: Duration,
}

impl IdleStrategy {
    /// There was work.
    pub(crate) fn on_work(&mut self, now: Duration) {
        self.yielded_at = None;
        if let Some(since) = self.since.take() {
            self.pays = now < since + AWAKE;
        }
    }

    /// There is none. Whether the thread stays awake a little longer: then it has yielded.
    pub(crate) fn stays_awake(&mut self, now: Duration) -> bool {
        if self.yielded_at.take().is_some_and(|yielded_at| now > yielded_at + BUSY) {
            self.rests_until = now + REST;
        }
        let since = *self.since.get_or_insert(now);
        let awake = self.pays && now < since + AWAKE && now >= self.rests_until;
        if awake {
            self.yielded_at = Some(now);
            thread::yield_now();
        }
        awake
    }
}

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

    fn micros(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    /// For how long a thread is awake that has run out of work now and looks for some so often.
    fn awake_for(idle: &mut IdleStrategy, from: Duration, step: Duration) -> Duration {
        let mut now = from;
        while idle.stays_awake(now) {
            now += step;
        }
        assert!(!idle.stays_awake(now + micros(1)), "it sleeps until there is work");
        now - from
    }

    #[test]
    fn a_thread_stays_awake_when_its_last_work_came_soon() {
        let mut idle = IdleStrategy::default();
        assert_eq!(awake_for(&mut idle, micros(0), micros(10)), micros(0));
        idle.on_work(micros(199));
        assert_eq!(awake_for(&mut idle, micros(210), micros(10)), AWAKE);
        idle.on_work(micros(210) + AWAKE);
        assert_eq!(awake_for(&mut idle, micros(1_010), micros(10)), micros(0));
    }

    #[test]
    fn on_a_busy_machine_it_goes_to_sleep_at_once() {
        let mut idle = IdleStrategy::default();
        let mut run_out_at = |from: Duration, step| {
            idle.on_work(from);
            idle.stays_awake(from);
            idle.on_work(from + micros(1));
            awake_for(&mut idle, from + micros(2), step)
        };
        assert_eq!(run_out_at(micros(0), BUSY), BUSY * 2, "that is not too long yet");
        assert_eq!(run_out_at(micros(500), BUSY + micros(1)), BUSY + micros(1));
        assert_eq!(run_out_at(micros(1_000), micros(10)), micros(0));
        assert_eq!(run_out_at(micros(1_000) + REST, micros(10)), AWAKE);
    }

    #[test]
    fn a_thread_backs_off_to_a_fast_one_and_not_for_long() {
        assert!(is_fast(0, Duration::ZERO));
        assert!(is_fast(20, micros(20)));
        assert!(!is_fast(20, micros(21)));
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
