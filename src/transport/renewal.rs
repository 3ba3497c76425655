//! When a connection is to be replaced.

use std::time::Duration;

/// How often the wait for another connection is doubled at most: one that is stuck for good must not
/// stay for long.
const DOUBLINGS: u32 = 2;

/// Decides when a connection counts as stuck: nothing speaks for it, for longer than a healthy one
/// needs. A libzmq socket can be stuck for good, and nothing else shows it.
///
/// Each replacement that brought nothing doubles the wait for the next: it may be the way that is
/// slow, and a new connection then only sends the same again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    heartbeat: Duration,
    /// When the connection was made.
    renewed: Duration,
    patience: Duration,
    /// How many connections before this one brought nothing, one after the other.
    fruitless: u32,
}

impl Renewal {
    pub(super) fn new(heartbeat: Duration, peer_timeout: Duration, now: Duration) -> Self {
        let patience = (heartbeat * 3).max(peer_timeout * 3 / 5);
        Self { heartbeat, renewed: now, patience, fruitless: 0 }
    }

    /// When the connection is to be replaced, if nothing speaks for it after the last `evidence`.
    pub(super) fn due(&self, evidence: Duration) -> Duration {
        let doublings = if self.is_unconfirmed(evidence) { self.fruitless } else { 0 };
        evidence.max(self.renewed) + self.patience * (1 << doublings)
    }

    /// Whether nothing has spoken for the connection since it was made.
    pub(super) fn is_unconfirmed(&self, evidence: Duration) -> bool {
        evidence <= self.renewed
    }

    /// When the connection is to be replaced if something speaks against it: not at once, since the
    /// next one may be no better.
    pub(super) fn due_soon(&self) -> Duration {
        self.renewed + self.heartbeat
    }

    pub(super) fn handle_renewal(&mut self, evidence: Duration, now: Duration) {
        self.fruitless =
            if self.is_unconfirmed(evidence) { DOUBLINGS.min(self.fruitless + 1) } else { 0 };
        self.renewed = now;
    }

    pub(super) fn handle_pause(&mut self, pause: Duration) {
        self.renewed += pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_connection_has_three_heartbeats_or_most_of_the_peer_timeout() {
        assert_eq!(Renewal::new(at(1_000), at(5_000), at(7)).due(at(0)), at(3_007));
        assert_eq!(Renewal::new(at(1_000), at(10_000), at(7)).due(at(0)), at(6_007));
    }

    #[test]
    fn it_counts_from_the_last_evidence_the_renewal_or_the_pause() {
        let mut renewal = Renewal::new(at(1_000), at(5_000), at(0));
        assert_eq!(renewal.due(at(500)), at(3_500));
        renewal.handle_renewal(at(500), at(4_000));
        assert_eq!(renewal.due(at(500)), at(7_000));
        renewal.handle_pause(at(100));
        assert_eq!(renewal.due(at(500)), at(7_100));
    }

    #[test]
    fn one_that_something_speaks_against_has_a_heartbeat() {
        let mut renewal = Renewal::new(at(1_000), at(5_000), at(7));
        assert!(renewal.is_unconfirmed(at(7)) && !renewal.is_unconfirmed(at(8)));
        assert_eq!(renewal.due_soon(), at(1_007));
        renewal.handle_renewal(at(0), at(1_007));
        assert_eq!(renewal.due_soon(), at(2_007));
    }

    #[test]
    fn each_renewal_that_brings_nothing_doubles_the_wait_twice() {
        let mut renewal = Renewal::new(at(1_000), at(5_000), at(0));
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..5 {
            let due = renewal.due(at(0));
            waits.push(due.saturating_sub(now).as_secs());
            now = due;
            renewal.handle_renewal(at(0), now);
        }
        assert_eq!(waits, [3, 6, 12, 12, 12]);
        // The peer began to be heard, or hears this server again.
        assert_eq!(renewal.due(now + at(1)), now + at(3_001));
        renewal.handle_renewal(now + at(1), now + at(3_001));
        assert_eq!(renewal.due(now + at(1)), now + at(6_001));
        renewal.handle_renewal(now + at(1), now + at(6_001));
        assert_eq!(renewal.due(now + at(1)), now + at(12_001));
    }
}
