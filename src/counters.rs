//! Where the two threads write down what [`Stats`] shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_utils::atomic::AtomicCell;

use crate::envelope::Pid;
use crate::stats::{PeerStats, Stats};

/// All that a server counts. Each number has one writer, but for those that say otherwise.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) no_such_peer: AtomicU64,
    pub(crate) discarded: AtomicU64,
    /// Written by both threads.
    pub(crate) rejected: AtomicU64,
    /// Written by both threads.
    pub(crate) events_missed: AtomicU64,
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
    pub(crate) sending: AtomicCell<PeerStats>,
    /// Written by the input thread.
    pub(crate) received: AtomicU64,
    /// Written by the input thread.
    pub(crate) missed: AtomicU64,
}

impl Counters {
    pub(crate) fn new(peers: &[Pid]) -> Self {
        let peers = peers.iter().copied().map(PeerCounters::new).collect();
        Self {
            no_such_peer: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            events_missed: AtomicU64::new(0),
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
        gone.for_each(|peer| former.add(&peer.snapshot()));
        let counters = |pid: &Pid| {
            let known = peers.iter().find(|peer| peer.pid == *pid).cloned();
            known.unwrap_or_else(|| PeerCounters::new(*pid))
        };
        roster.peers = pids.iter().map(counters).collect();
    }

    fn read<T>(&self, look: impl FnOnce(&Roster) -> T) -> T {
        look(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let peers_of = |roster: &Roster| -> (Vec<PeerStats>, Former) {
            (roster.peers.iter().map(|peer| peer.snapshot()).collect(), roster.former)
        };
        let (peers, former) = self.read(peers_of);
        Stats {
            messages_sent: former.sent + peers.iter().map(|peer| peer.sent).sum::<u64>(),
            messages_received: former.received
                + peers.iter().map(|peer| peer.received).sum::<u64>(),
            no_such_peer: load(&self.no_such_peer),
            discarded: load(&self.discarded),
            removed: former.undelivered,
            rejected: load(&self.rejected),
            events_missed: load(&self.events_missed),
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
        Arc::new(Self {
            pid,
            sending: AtomicCell::new(PeerStats { pid, ..PeerStats::default() }),
            received: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        })
    }

    pub(crate) fn snapshot(&self) -> PeerStats {
        PeerStats {
            received: self.received.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            ..self.sending.load()
        }
    }
}

/// Adds to a number that only the calling thread writes. It stays at the end of its type: a peer
/// may claim to have given up any number of messages.
pub(crate) fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
}
