//! Whether a peer holds an outbox up.

use std::time::Duration;

/// For how long a peer has held outboxes up, and what the application has been told of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    /// How long it takes until that is told.
    patience: Duration,
    /// Since when, if it does.
    since: Option<Duration>,
    /// How long it did before.
    before: Duration,
    told: bool,
}

/// What the application is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Stalled,
    Flowing,
}

impl Stall {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, since: None, before: Duration::ZERO, told: false }
    }

    /// Takes note of whether the peer holds something up, which is told if the peer `is_up` and it
    /// takes longer than the patience.
    pub(super) fn update(&mut self, holds_up: bool, is_up: bool, now: Duration) -> Option<Change> {
        if holds_up {
            self.since.get_or_insert(now);
            let stalled = !self.told && is_up && self.due().is_some_and(|due| now >= due);
            self.told |= stalled;
            return stalled.then_some(Change::Stalled);
        }
        self.before = self.blocked(now);
        self.since = None;
        std::mem::take(&mut self.told).then_some(Change::Flowing)
    }

    /// When it is to be told, if nothing changes.
    pub(super) fn due(&self) -> Option<Duration> {
        self.since.filter(|_| !self.told).map(|since| since.saturating_add(self.patience))
    }

    /// How long the peer has held something up, in all.
    pub(super) fn blocked(&self, now: Duration) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// The process did not run for `pause`, which does not count.
    pub(super) fn handle_pause(&mut self, pause: Duration) {
        self.since = self.since.map(|since| since + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(1_000);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_is_told_after_a_while_and_once_and_told_when_it_is_over() {
        let mut stall = Stall::new(PATIENCE);
        let mut update = |holds_up, millis| stall.update(holds_up, true, at(millis));
        assert_eq!(update(true, 500), None);
        assert_eq!(update(true, 1_499), None);
        assert_eq!(update(true, 1_500), Some(Change::Stalled));
        assert_eq!(update(true, 9_000), None);
        assert_eq!(update(false, 9_500), Some(Change::Flowing));
        assert_eq!(update(false, 9_600), None);
        assert_eq!((stall.blocked(at(20_000)), stall.due()), (at(9_000), None));
    }

    #[test]
    fn what_is_over_soon_or_is_no_living_peer_is_counted_and_not_told() {
        let mut stall = Stall::new(PATIENCE);
        assert_eq!(stall.update(true, true, at(0)), None);
        assert_eq!(stall.due(), Some(at(1_000)));
        assert_eq!(stall.update(false, true, at(999)), None);
        assert_eq!(stall.update(true, false, at(2_000)), None);
        assert_eq!(stall.update(true, false, at(8_000)), None);
        stall.handle_pause(at(500));
        assert_eq!(stall.blocked(at(8_000)), at(999 + 5_500));
        assert_eq!(stall.update(true, true, at(8_000)), Some(Change::Stalled));
    }
}
