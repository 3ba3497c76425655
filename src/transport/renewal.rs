//! When a connection is to be replaced.

use std::time::Duration;

/// Decides when a connection counts as stuck: nothing confirms that the peer hears through it, for
/// longer than a healthy one needs. A libzmq socket can be stuck for good, and nothing else shows
/// it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    /// When the connection was made.
    renewed: Duration,
    patience: Duration,
}

impl Renewal {
    pub(super) fn new(heartbeat: Duration, peer_timeout: Duration, now: Duration) -> Self {
        let patience = (heartbeat * 3).max(peer_timeout * 3 / 5);
        Self { renewed: now, patience }
    }

    /// When the connection is to be replaced, if nothing is confirmed after `confirmed`.
    pub(super) fn due(&self, confirmed: Duration) -> Duration {
        confirmed.max(self.renewed) + self.patience
    }

    pub(super) fn handle_renewal(&mut self, now: Duration) {
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
    fn it_counts_from_the_last_confirmation_the_renewal_or_the_pause() {
        let mut renewal = Renewal::new(at(1_000), at(5_000), at(0));
        assert_eq!(renewal.due(at(500)), at(3_500));
        renewal.handle_renewal(at(4_000));
        assert_eq!(renewal.due(at(500)), at(7_000));
        renewal.handle_pause(at(100));
        assert_eq!(renewal.due(at(500)), at(7_100));
    }
}
