//! How long what came in has waited for room in the inbox.

use std::time::Duration;

/// A clock that runs while something waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    total: Duration,
    /// When it was looked at last, if something waited then.
    since: Option<Duration>,
}

impl Waiting {
    /// Whether something waits now. Returns for how long something did, in all.
    pub(super) fn update(&mut self, waits: bool, now: Duration) -> Duration {
        if let Some(since) = self.since {
            self.total += now.saturating_sub(since);
        }
        self.since = waits.then_some(now);
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_from_when_something_waits_until_nothing_does() {
        let at = Duration::from_millis;
        let mut waiting = Waiting::default();
        let looks = [(false, 5), (true, 10), (true, 12), (false, 20), (false, 30), (true, 40)];
        let totals = looks.map(|(waits, now)| waiting.update(waits, at(now)));
        assert_eq!(totals, [0, 0, 2, 10, 10, 10].map(at));
    }
}
