//! Where the two threads write down what [`Stats`] shows.

use std::sync::atomic::{AtomicU64, Ordering};

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
    pub(crate) peers: Vec<PeerCounters>,
}

/// What is counted for one peer.
#[derive(Debug)]
pub(crate) struct PeerCounters {
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
        let counters = |pid: &Pid| PeerCounters {
            sending: AtomicCell::new(PeerStats { pid: *pid, ..PeerStats::default() }),
            received: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        };
        Self {
            no_such_peer: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            events_missed: AtomicU64::new(0),
            peers: peers.iter().map(counters).collect(),
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let peers: Vec<_> = self.peers.iter().map(PeerCounters::snapshot).collect();
        Stats {
            messages_sent: peers.iter().map(|peer| peer.sent).sum(),
            messages_received: peers.iter().map(|peer| peer.received).sum(),
            no_such_peer: load(&self.no_such_peer),
            discarded: load(&self.discarded),
            rejected: load(&self.rejected),
            events_missed: load(&self.events_missed),
            peers,
        }
    }
}

impl PeerCounters {
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
