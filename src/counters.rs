//! Where the two threads write down what [`Stats`] shows.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam_channel::Sender;

use crate::envelope::Pid;
use crate::event::Event;
use crate::stats::{Dropped, PeerState, PeerStats, Stats};

/// All that a server counts. Each number has one writer, but for those that say otherwise.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) no_such_peer: AtomicU64,
    /// Written by both threads.
    pub(crate) rejected: AtomicU64,
    /// Written by both threads.
    pub(crate) events_missed: AtomicU64,
    pub(crate) peers: Vec<PeerCounters>,
}

/// What is counted for one peer.
#[derive(Debug)]
pub(crate) struct PeerCounters {
    pid: Pid,
    /// Written by the output thread.
    pub(crate) sending: Ledger,
    /// Written by the input thread.
    pub(crate) received: AtomicU64,
    /// Written by the input thread.
    pub(crate) missed: AtomicU64,
}

impl Counters {
    pub(crate) fn new(peers: &[Pid]) -> Self {
        let counters = |pid: &Pid| PeerCounters {
            pid: *pid,
            sending: Ledger::default(),
            received: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        };
        Self {
            no_such_peer: AtomicU64::new(0),
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
            rejected: load(&self.rejected),
            events_missed: load(&self.events_missed),
            peers,
        }
    }
}

impl PeerCounters {
    fn snapshot(&self) -> PeerStats {
        PeerStats {
            pid: self.pid,
            received: self.received.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            ..self.sending.read()
        }
    }
}

/// Adds to a number that only the calling thread writes. It stays at the end of its type: a peer may
/// claim to have given up any number of messages.
pub(crate) fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
}

const WORDS: usize = 11;

/// The sending side's counts, which belong together: a reader sees all of one moment, and neither side
/// waits for a lock. It is a sequence lock: the version is odd while the one writer writes, and a reader
/// that saw it change reads again.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Ledger {
    /// Writes the counts down. One thread only may call this.
    pub(crate) fn write(&self, stats: &PeerStats) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(to_words(stats)) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    fn read(&self) -> PeerStats {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let words = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before % 2 == 0 && self.version.load(Ordering::Relaxed) == before {
                return from_words(words);
            }
            std::hint::spin_loop();
        }
    }
}

const STATES: [PeerState; 5] =
    [PeerState::Awaited, PeerState::Up, PeerState::OneWay, PeerState::Down, PeerState::Left];

fn to_words(stats: &PeerStats) -> [u64; WORDS] {
    let Dropped { too_large, peer_down, inbox_closed } = stats.dropped;
    [
        stats.state as u64,
        stats.accepted,
        stats.queued,
        stats.in_flight,
        stats.window_bytes,
        stats.sent,
        stats.acknowledged,
        stats.resent,
        too_large,
        peer_down,
        inbox_closed,
    ]
}

fn from_words(words: [u64; WORDS]) -> PeerStats {
    let [
        state,
        accepted,
        queued,
        in_flight,
        window_bytes,
        sent,
        acknowledged,
        resent,
        dropped @ ..,
    ] = words;
    let [too_large, peer_down, inbox_closed] = dropped;
    PeerStats {
        state: STATES.into_iter().find(|known| *known as u64 == state).unwrap_or_default(),
        accepted,
        queued,
        in_flight,
        window_bytes,
        sent,
        acknowledged,
        resent,
        dropped: Dropped { too_large, peer_down, inbox_closed },
        ..PeerStats::default()
    }
}

/// The way of events to the application, which may not be listening.
#[derive(Clone, Debug)]
pub(crate) struct EventSink {
    events: Sender<Event>,
    counters: std::sync::Arc<Counters>,
}

impl EventSink {
    pub(crate) fn new(events: Sender<Event>, counters: std::sync::Arc<Counters>) -> Self {
        Self { events, counters }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.events.is_full()
    }

    /// Shows the event to the application, or counts it if there is no room.
    pub(crate) fn emit(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.count_missed(1);
        }
    }

    /// Counts events that found no room.
    pub(crate) fn count_missed(&self, events: u64) {
        self.counters.events_missed.fetch_add(events, Ordering::Relaxed);
    }
}
