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
/// within this time if the other end is awake, and to be woken takes longer than to look.
const AWAKE: Duration = Duration::from_micros(120);

/// Who gives way and is not back after this time is on a busy machine, where to stay awake only costs.
const BUSY: Duration = Duration::from_micros(150);

/// How long a thread does not try to stay awake then.
const REST: Duration = Duration::from_millis(500);

/// Decides when a thread that has run out of work goes to sleep. Until then it gives way to all others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doze {
    state: State,
    rests_until: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Working,
    Dozing {
        since: Duration,
        gave_way: Duration,
    },
    Asleep,
}

impl Doze {
    /// There was work.
    pub(crate) fn interrupt(&mut self) {
        self.state = State::Working;
    }

    /// There is none. Whether the thread stays awake a little longer: then it has given way.
    pub(crate) fn stays_awake(&mut self, now: Duration) -> bool {
        let since = match self.state {
            State::Working => now,
            State::Dozing { since, gave_way } => {
                if now > gave_way + BUSY {
                    self.rests_until = now + REST;
                }
                since
            }
            State::Asleep => return false,
        };
        if now < self.rests_until || now > since + AWAKE {
            self.state = State::Asleep;
            return false;
        }
        self.state = State::Dozing { since, gave_way: now };
        thread::yield_now();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    /// When the thread goes to sleep that looks for work so often, from this time on.
    fn asleep_after(doze: &mut Doze, from: Duration, step: Duration) -> Duration {
        doze.interrupt();
        let mut now = from;
        while doze.stays_awake(now) {
            now += step;
        }
        assert!(!doze.stays_awake(now + micros(1)), "it sleeps until there is work");
        now - from
    }

    #[test]
    fn a_thread_without_work_stays_awake_for_a_moment() {
        let mut doze = Doze::default();
        assert_eq!(asleep_after(&mut doze, micros(1_000), micros(10)), AWAKE + micros(10));
        assert_eq!(asleep_after(&mut doze, micros(2_000), micros(10)), AWAKE + micros(10));
    }

    #[test]
    fn on_a_busy_machine_it_goes_to_sleep_at_once() {
        let mut doze = Doze::default();
        assert_eq!(asleep_after(&mut doze, micros(0), BUSY + micros(1)), BUSY + micros(1));
        assert_eq!(asleep_after(&mut doze, micros(1_000), micros(10)), micros(0));
        let later = micros(1_000) + REST;
        assert_eq!(asleep_after(&mut doze, later, micros(10)), AWAKE + micros(10));
    }
}
