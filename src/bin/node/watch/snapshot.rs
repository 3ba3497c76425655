//! What one server counts at one time, as far as the table shows it.
//!
//! A child of `--all --watch` writes it as a line of JSON each second, beside its lines of text,
//! none of which begins as JSON does.

use std::time::Duration;

use raft_cluster::{PeerState, PeerStats, Pid, Stats};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Whose it is.
    pub(crate) pid: Pid,
    /// In the order of the configuration.
    pub(crate) peers: Vec<Peer>,
}

/// What it has counted for one peer. The names and the meanings are those of [`PeerStats`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) pid: Pid,
    pub(crate) state: State,
    pub(crate) last_heard: Option<Duration>,
    pub(crate) rtt: Option<Duration>,
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    pub(crate) oldest_unacknowledged: Option<Duration>,
    pub(crate) window_bytes: u64,
    pub(crate) window_limit: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) received: u64,
    pub(crate) resent: u64,
    pub(crate) dropped: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) blocked: Duration,
}

/// How a peer stands, the best first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) enum State {
    Up,
    Left,
    #[default]
    Awaited,
    OneWay,
    Down,
}

impl Snapshot {
    pub(crate) fn of(pid: Pid, stats: &Stats) -> Self {
        Self { pid, peers: stats.peers.iter().map(Peer::of).collect() }
    }
}

impl Peer {
    fn of(stats: &PeerStats) -> Self {
        Self {
            pid: stats.pid,
            state: State::of(stats.state),
            last_heard: stats.last_heard,
            rtt: stats.rtt,
            queued: stats.queued,
            in_flight: stats.in_flight,
            oldest_unacknowledged: stats.oldest_unacknowledged,
            window_bytes: stats.window_bytes,
            window_limit: stats.window_limit,
            sent: stats.sent,
            acknowledged: stats.acknowledged,
            received: stats.received,
            resent: stats.resent,
            dropped: stats.dropped.total(),
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            blocked: stats.blocked,
        }
    }

    /// Messages that are queued or in flight.
    pub(crate) fn waiting(&self) -> u64 {
        self.queued + self.in_flight
    }
}

impl State {
    fn of(state: PeerState) -> Self {
        match state {
            PeerState::Up => Self::Up,
            PeerState::OneWay => Self::OneWay,
            PeerState::Down => Self::Down,
            PeerState::Left => Self::Left,
            // Also one that this program does not know yet.
            _ => Self::Awaited,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Left => "left",
            Self::Awaited => "awaited",
            Self::OneWay => "one-way",
            Self::Down => "down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_survives_its_way_to_the_parent() {
        let mut peer = PeerStats::default();
        (peer.pid, peer.state, peer.queued) = (Pid::new(2), PeerState::OneWay, 3);
        peer.oldest_unacknowledged = Some(Duration::from_millis(1_500));
        let mut stats = Stats::default();
        stats.peers = vec![peer];
        let snapshot = Snapshot::of(Pid::new(1), &stats);
        let line = serde_json::to_string(&snapshot).unwrap();
        assert!(line.starts_with('{'), "{line}");
        assert_eq!(serde_json::from_str::<Snapshot>(&line).unwrap(), snapshot);
        assert_eq!((snapshot.peers[0].state, snapshot.peers[0].waiting()), (State::OneWay, 3));
    }
}
