//! Where the two threads write down what [`Stats`] shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_utils::atomic::AtomicCell;

use crate::envelope::Pid;
use crate::event::Rejection;
use crate::stats::{ConnectionFailures, PeerStats, Rejections, Stats};
use crate::transport::ConnectionFailure;

/// All that a server counts. Each number has one writer, but for those that say otherwise.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) no_such_peer: AtomicU64,
    pub(crate) discarded: AtomicU64,
    /// Written by both threads.
    rejections: Mutex<Rejections>,
    /// Written by both threads.
    pub(crate) events_missed: AtomicU64,
    /// Microseconds. Written by the input thread.
    inbox_blocked: AtomicU64,
    /// Microseconds. Written by the input thread.
    paused: AtomicU64,
    roster: RwLock<Roster>,
}

/// The peers, and what is left of those that are none any more.
#[derive(Debug)]
struct Roster {
    /// In the order of the configuration.
    peers: Vec<Arc<PeerCounters>>,
    former: Former,
}

/// What was counted for peers that are none any more.
#[derive(Clone, Copy, Debug, Default)]
struct Former {
    sent: u64,
    received: u64,
    undelivered: u64,
}

/// What is counted for one peer.
#[derive(Debug)]
pub(crate) struct PeerCounters {
    pub(crate) pid: Pid,
    /// What the sending side counts, which belongs together: who reads it sees all of one moment.
    /// Written by the output thread.
    sending: AtomicCell<Sending>,
    /// Bytes. Written by the output thread.
    pub(crate) bytes_sent: AtomicU64,
    /// When the peer was last heard, in microseconds, or [`NEVER`]. Written by the input thread.
    heard_at: AtomicU64,
    /// Bytes. Written by the input thread.
    pub(crate) bytes_received: AtomicU64,
    /// Written by the input thread.
    pub(crate) received: AtomicU64,
    /// Written by the input thread.
    pub(crate) missed: AtomicU64,
    /// Written by the output thread.
    pub(crate) failed_lookups: AtomicU64,
    /// Those of the connections by cause. Written by the input thread.
    failed_connections: [AtomicU64; ConnectionFailure::COUNT],
}

/// What the output thread knew of a peer at a time.
#[derive(Clone, Copy, Debug)]
struct Sending {
    stats: PeerStats,
    at: Duration,
}

/// No time that a clock comes to.
const NEVER: u64 = u64::MAX;

impl Counters {
    pub(crate) fn new(peers: &[Pid]) -> Self {
        let peers = peers.iter().copied().map(PeerCounters::new).collect();
        Self {
            no_such_peer: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            rejections: Mutex::default(),
            events_missed: AtomicU64::new(0),
            inbox_blocked: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            roster: RwLock::new(Roster { peers, former: Former::default() }),
        }
    }

    /// The peers, in the order of the configuration.
    pub(crate) fn listed(&self) -> Vec<Pid> {
        self.read(|roster| roster.peers.iter().map(|peer| peer.pid).collect())
    }

    /// What is counted for one peer, if it is one.
    pub(crate) fn of(&self, pid: Pid) -> Option<Arc<PeerCounters>> {
        self.read(|roster| roster.peers.iter().find(|peer| peer.pid == pid).cloned())
    }

    /// These are the peers from now on. What was counted for those that are none any more stays in
    /// the sums.
    pub(crate) fn list(&self, pids: &[Pid]) {
        let mut roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        let Roster { peers, former } = &mut *roster;
        let gone = peers.iter().filter(|peer| !pids.contains(&peer.pid));
        // No sum tells an age.
        gone.for_each(|peer| former.add(&peer.snapshot(Duration::ZERO)));
        let counters = |pid: &Pid| {
            let known = peers.iter().find(|peer| peer.pid == *pid).cloned();
            known.unwrap_or_else(|| PeerCounters::new(*pid))
        };
        roster.peers = pids.iter().map(counters).collect();
    }

    pub(crate) fn note_rejection(&self, reason: Rejection) {
        self.rejections.lock().unwrap_or_else(PoisonError::into_inner).count(reason);
    }

    /// For how long what came in has waited for room in the inbox, in all.
    pub(crate) fn publish_inbox_blocked(&self, blocked: Duration) {
        self.inbox_blocked.store(micros(blocked), Ordering::Relaxed);
    }

    /// For how long the input thread was to run and did not, in all.
    pub(crate) fn publish_paused(&self, paused: Duration) {
        self.paused.store(micros(paused), Ordering::Relaxed);
    }

    fn read<T>(&self, look: impl FnOnce(&Roster) -> T) -> T {
        look(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of it, as it is now by the server's clock.
    pub(crate) fn snapshot(&self, now: Duration) -> Stats {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let peers_of = |roster: &Roster| -> (Vec<PeerStats>, Former) {
            (roster.peers.iter().map(|peer| peer.snapshot(now)).collect(), roster.former)
        };
        let (peers, former) = self.read(peers_of);
        let rejections = *self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            messages_sent: former.sent + peers.iter().map(|peer| peer.sent).sum::<u64>(),
            messages_received: former.received
                + peers.iter().map(|peer| peer.received).sum::<u64>(),
            no_such_peer: load(&self.no_such_peer),
            discarded: load(&self.discarded),
            removed: former.undelivered,
            rejected: rejections.total(),
            rejections,
            events_missed: load(&self.events_missed),
            inbox_blocked: Duration::from_micros(load(&self.inbox_blocked)),
            paused: Duration::from_micros(load(&self.paused)),
            peers,
        }
    }
}

impl Former {
    fn add(&mut self, peer: &PeerStats) {
        self.sent += peer.sent;
        self.received += peer.received;
        self.undelivered += peer.accepted - peer.acknowledged;
    }
}

impl PeerCounters {
    pub(crate) fn new(pid: Pid) -> Arc<Self> {
        let stats = PeerStats { pid, ..PeerStats::default() };
        Arc::new(Self {
            pid,
            sending: AtomicCell::new(Sending { stats, at: Duration::ZERO }),
            bytes_sent: AtomicU64::new(0),
            heard_at: AtomicU64::new(NEVER),
            bytes_received: AtomicU64::new(0),
            received: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            failed_lookups: AtomicU64::new(0),
            failed_connections: Default::default(),
        })
    }

    /// What the sending side counts, as of now.
    pub(crate) fn publish(&self, stats: PeerStats, at: Duration) {
        self.sending.store(Sending { stats, at });
    }

    /// The peer was heard.
    pub(crate) fn hear(&self, at: Duration) {
        self.heard_at.store(micros(at), Ordering::Relaxed);
    }

    /// An attempt to connect to it failed.
    pub(crate) fn note_failure(&self, failure: ConnectionFailure) {
        add(&self.failed_connections[failure as usize], 1);
    }

    /// All of it, as it is now by the server's clock: what tells an age goes on since it was written
    /// down.
    pub(crate) fn snapshot(&self, now: Duration) -> PeerStats {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let Sending { stats, at } = self.sending.load();
        let since = now.saturating_sub(at);
        let heard_at = Some(load(&self.heard_at)).filter(|micros| *micros != NEVER);
        PeerStats {
            last_heard: heard_at.map(|micros| now.saturating_sub(Duration::from_micros(micros))),
            oldest_unacknowledged: stats.oldest_unacknowledged.map(|age| age + since),
            bytes_sent: load(&self.bytes_sent),
            bytes_received: load(&self.bytes_received),
            received: load(&self.received),
            missed: load(&self.missed),
            connection_failures: self.connection_failures(),
            ..stats
        }
    }

    fn connection_failures(&self) -> ConnectionFailures {
        let failed = |failure| self.failed_connections[failure as usize].load(Ordering::Relaxed);
        ConnectionFailures {
            name: self.failed_lookups.load(Ordering::Relaxed),
            refused: failed(ConnectionFailure::Refused),
            unanswered: failed(ConnectionFailure::Unanswered),
            handshake: failed(ConnectionFailure::Handshake),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(NEVER)
}

/// Adds to a number that only the calling thread writes. It stays at the end of its type: a peer
/// may claim to have given up any number of messages.
pub(crate) fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn ages_go_on_after_they_were_written_down() {
        let peer = PeerCounters::new(Pid::new(2));
        let before = peer.snapshot(at(1_000));
        assert_eq!((before.last_heard, before.oldest_unacknowledged), (None, None));
        peer.hear(at(1_500));
        let stats = PeerStats { oldest_unacknowledged: Some(at(100)), ..before };
        peer.publish(stats, at(2_000));
        let after = peer.snapshot(at(5_000));
        assert_eq!(after.last_heard, Some(at(3_500)));
        assert_eq!(after.oldest_unacknowledged, Some(at(3_100)));
        let early = peer.snapshot(at(1_400));
        assert_eq!(early.last_heard, Some(at(0)), "another thread may be ahead");
        assert_eq!(early.oldest_unacknowledged, Some(at(100)));
    }
}
