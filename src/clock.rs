//! The time both threads go by.

use std::thread;
use std::time::{Duration, Instant};

/// Tells the time since the server started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// Notices that a thread did not run when it was to: the process was stopped, or the machine was busy.
/// What was silent meanwhile must not be blamed for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vigil {
    /// When the thread was to run again at the latest; none if nothing depended on it.
    back_by: Option<Duration>,
    /// What passes unnoticed.
    tolerance: Duration,
}

impl Vigil {
    pub(crate) fn new(tolerance: Duration, now: Duration) -> Self {
        Self { back_by: Some(now), tolerance }
    }

    /// The thread goes to sleep.
    pub(crate) fn sleep(&mut self, until: Option<Duration>) {
        self.back_by = until;
    }

    /// The thread runs: for how long it did not, although it was to.
    pub(crate) fn wake(&mut self, now: Duration) -> Option<Duration> {
        let back_by = self.back_by.replace(now)?;
        let pause = now.saturating_sub(back_by);
        (pause > self.tolerance).then_some(pause)
    }
}

/// How long a thread stays awake when it has run out of work. The answer to what it has just sent comes
/// within this time, and to be woken takes longer than to look.
const AWAKE: Duration = Duration::from_micros(200);

/// Who gives way and is not back after this time is on a busy machine, where to stay awake only costs.
const BUSY: Duration = Duration::from_micros(150);

/// How long a thread does not stay awake then.
const REST: Duration = Duration::from_millis(500);

/// Decides when a thread that has run out of work goes to sleep. Until then it gives way to all others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doze {
    /// Since when there has been no work.
    since: Option<Duration>,
    gave_way: Option<Duration>,
    /// Whether the last work came soon enough to wait for the next.
    pays: bool,
    rests_until: Duration,
}

impl Doze {
    /// There was work.
    pub(crate) fn interrupt(&mut self, now: Duration) {
        self.gave_way = None;
        if let Some(since) = self.since.take() {
            self.pays = now < since + AWAKE;
        }
    }

    /// There is none. Whether the thread stays awake a little longer: then it has given way.
    pub(crate) fn stays_awake(&mut self, now: Duration) -> bool {
        if self.gave_way.take().is_some_and(|gave_way| now > gave_way + BUSY) {
            self.rests_until = now + REST;
        }
        let since = *self.since.get_or_insert(now);
        let awake = self.pays && now < since + AWAKE && now >= self.rests_until;
        if awake {
            self.gave_way = Some(now);
            thread::yield_now();
        }
        awake
    }
}

/// How long a thread gives way to the one at the other end of a channel, at most.
const GIVES_WAY: Duration = Duration::from_micros(100);

/// Gives way to the thread at the other end of a channel, until that one has put `enough` into it, or taken
/// `enough` out of it: `done` tells how much that is.
///
/// Two threads that are at the same place of a channel, one right behind the other on another core, take the
/// memory out of each other's hands with every envelope, which costs several times what a channel costs else.
pub(crate) fn give_way(done: impl Fn() -> usize, enough: usize) {
    let start = Instant::now();
    let before = done();
    loop {
        let now = done();
        if now >= enough || !is_fast(now.saturating_sub(before), start.elapsed()) {
            return;
        }
        thread::yield_now();
    }
}

/// Whether it is worth to give way for so long to a thread that does so much: one envelope in each
/// microsecond is the least.
fn is_fast(done: usize, elapsed: Duration) -> bool {
    done as u128 >= elapsed.as_micros() && elapsed < GIVES_WAY
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn micros(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    /// For how long a thread is awake that has run out of work now and looks for some so often.
    fn awake_for(doze: &mut Doze, from: Duration, step: Duration) -> Duration {
        let mut now = from;
        while doze.stays_awake(now) {
            now += step;
        }
        assert!(!doze.stays_awake(now + micros(1)), "it sleeps until there is work");
        now - from
    }

    #[test]
    fn a_thread_stays_awake_when_its_last_work_came_soon() {
        let mut doze = Doze::default();
        assert_eq!(awake_for(&mut doze, micros(0), micros(10)), micros(0));
        doze.interrupt(micros(199));
        assert_eq!(awake_for(&mut doze, micros(210), micros(10)), AWAKE);
        doze.interrupt(micros(1_000));
        assert_eq!(awake_for(&mut doze, micros(1_010), micros(10)), micros(0));
    }

    #[test]
    fn on_a_busy_machine_it_goes_to_sleep_at_once() {
        let mut doze = Doze::default();
        let mut run_out_at = |from: Duration, step| {
            doze.interrupt(from);
            doze.stays_awake(from);
            doze.interrupt(from + micros(1));
            awake_for(&mut doze, from + micros(2), step)
        };
        assert_eq!(run_out_at(micros(0), BUSY + micros(1)), BUSY + micros(1));
        assert_eq!(run_out_at(micros(1_000), micros(10)), micros(0));
        assert_eq!(run_out_at(micros(1_000) + REST, micros(10)), AWAKE);
    }

    #[test]
    fn a_thread_gives_way_to_a_fast_one_and_not_for_long() {
        assert!(is_fast(0, Duration::ZERO));
        assert!(is_fast(20, micros(20)));
        assert!(!is_fast(20, micros(21)));
        assert!(!is_fast(usize::MAX, GIVES_WAY));
    }

    #[test]
    fn it_gives_way_until_enough_is_done_and_to_nobody_who_does_nothing() {
        let looks = Cell::new(0);
        let look = |done: usize| {
            looks.set(looks.get() + 1);
            done
        };
        give_way(|| look(500), 500);
        assert_eq!(looks.get(), 2, "once for what there was, and once for what there is");
        give_way(|| look(0), 1);
        assert!(looks.get() > 3, "{looks:?}");
    }
}
