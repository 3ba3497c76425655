//! Pauses of the process itself.

use std::time::Duration;

/// The pause detector: notices that a thread did not run when it was to, since the process was
/// stopped or the machine busy (Cassandra calls it a local pause). What was silent meanwhile must
/// not be blamed for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PauseDetector {
    /// When the thread was to run again at the latest; none if nothing depended on it.
    back_by: Option<Duration>,
    /// What passes unnoticed.
    tolerance: Duration,
    /// How long the thread did not run in all, although it was to.
    lost: Duration,
}

/// What counts as lost time: longer than a thread waits for its turn on a machine that is busy, and
/// shorter than one whose processor quota is used up waits for the next period, of which Linux has ten
/// a second.
const NOTICEABLE: Duration = Duration::from_millis(50);

impl PauseDetector {
    pub(crate) fn new(tolerance: Duration, now: Duration) -> Self {
        Self { back_by: Some(now), tolerance, lost: Duration::ZERO }
    }

    /// The thread goes to sleep.
    pub(crate) fn sleep(&mut self, until: Option<Duration>) {
        self.back_by = until;
    }

    /// The thread runs: for how long it did not, although it was to.
    pub(crate) fn wake(&mut self, now: Duration) -> Option<Duration> {
        let back_by = self.back_by.replace(now)?;
        let pause = now.saturating_sub(back_by);
        if pause > NOTICEABLE {
            self.lost += pause;
        }
        (pause > self.tolerance).then_some(pause)
    }

    /// How long the thread did not run, in all that was noticeable, also what passed without being
    /// told.
    pub(crate) fn lost(&self) -> Duration {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_thread_that_ran_late_has_paused() {
        let mut detector = PauseDetector::new(at(1_000), at(0));
        assert_eq!(detector.wake(at(1_000)), None, "that passes unnoticed");
        assert_eq!(detector.wake(at(2_001)), Some(at(1_001)), "it was to run all the time");
        detector.sleep(Some(at(9_000)));
        assert_eq!(detector.wake(at(9_500)), None);
        detector.sleep(Some(at(10_000)));
        assert_eq!(detector.wake(at(12_000)), Some(at(2_000)));
    }

    #[test]
    fn a_thread_on_which_nothing_depends_does_not_pause() {
        let mut detector = PauseDetector::new(at(1_000), at(0));
        detector.sleep(None);
        assert_eq!((detector.wake(at(100_000)), detector.lost()), (None, at(0)));
    }

    #[test]
    fn what_a_thread_loses_adds_up_although_each_pause_is_tolerated() {
        let mut detector = PauseDetector::new(at(1_000), at(0));
        for now in [90, 110, 300] {
            assert_eq!(detector.wake(at(now)), None);
        }
        assert_eq!(detector.lost(), at(90 + 190), "20 ms are not noticed");
        detector.sleep(Some(at(500)));
        assert_eq!((detector.wake(at(400)), detector.lost()), (None, at(280)), "it was early");
    }
}
