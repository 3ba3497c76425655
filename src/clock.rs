//! The time both threads go by.

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
