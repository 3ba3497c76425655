//! When to ask a peer that acknowledges nothing.

use std::time::Duration;

/// The probe timer, as in RFC 9002: frames may be lost with a connection, and when nothing follows
/// them nobody tells. Each question that brings nothing doubles the wait for the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Probe {
    /// When something was acknowledged, or began to be on its way.
    since: Duration,
    /// How often it has asked since.
    asked: u32,
}

impl Probe {
    pub(super) fn handle_progress(&mut self, now: Duration) {
        *self = Self { since: now, asked: 0 };
    }

    pub(super) fn handle_probe(&mut self, now: Duration) {
        self.since = now;
        self.asked += 1;
    }

    pub(super) fn handle_pause(&mut self, pause: Duration) {
        self.since += pause;
    }

    /// When to ask next, if an acknowledgement takes the `timeout` at most. Not less often than
    /// `most`.
    pub(super) fn due(&self, timeout: Duration, most: Duration) -> Duration {
        let doubled = timeout.saturating_mul(1_u32.checked_shl(self.asked).unwrap_or(u32::MAX));
        self.since + doubled.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn it_asks_less_and_less_often_until_there_is_progress() {
        let mut probe = Probe::default();
        probe.handle_progress(millis(1_000));
        let mut asked = Vec::new();
        for _ in 0..6 {
            let due = probe.due(millis(50), millis(500));
            probe.handle_probe(due);
            asked.push(due);
        }
        assert_eq!(asked, [1_050, 1_150, 1_350, 1_750, 2_250, 2_750].map(millis));
        probe.handle_progress(millis(3_000));
        assert_eq!(probe.due(millis(50), millis(500)), millis(3_050));
        probe.handle_pause(millis(7));
        assert_eq!(probe.due(millis(50), millis(500)), millis(3_057));
    }

    #[test]
    fn it_asks_for_ever() {
        let mut probe = Probe { since: millis(0), asked: 31 };
        for asked in 32..40 {
            let due = probe.due(millis(50), millis(500));
            probe.handle_probe(due);
            assert_eq!(
                (probe.asked, probe.due(millis(50), millis(500))),
                (asked, due + millis(500))
            );
        }
    }
}
