//! The plain model: what became of every envelope, told step by step by the simulation.

use std::collections::{BTreeMap, VecDeque};

use crate::envelope::Pid;
use crate::event::Reason;
use crate::link::sim::letter::Record;
use crate::stats::{Dropped, PeerStats};

/// A process, by its incarnation.
pub(super) type ProcessId = u64;

/// Whether an envelope that is given up leaves a gap that its recipient is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    Told,
    Untold,
}

/// Checks every step of every link; what must not be ends the test.
#[derive(Default)]
pub(super) struct Audit {
    streams: BTreeMap<(ProcessId, Pid), Stream>,
}

/// What one process sends to one peer, whatever process speaks for that.
#[derive(Default)]
struct Stream {
    entries: Vec<Entry>,
    /// The numbers of those that are neither acknowledged nor given up, in order.
    pending: VecDeque<usize>,
    acknowledged: u64,
    dropped: Dropped,
    /// What each process that spoke for the peer has received.
    listeners: BTreeMap<ProcessId, Listener>,
    /// All before this was accepted before the peer was last heard to take nothing.
    closed_at: usize,
}

struct Entry {
    fate: Fate,
    /// Whose inboxes it entered.
    entered: Vec<ProcessId>,
    /// Who was told last that it was missed.
    told: Option<ProcessId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Acknowledged {
        by: ProcessId,
    },
    /// Given up, and the recipient is to be told.
    Missed,
    /// Given up for good reason.
    Settled,
}

/// What one process has received of a stream.
#[derive(Clone, Copy, Default)]
struct Listener {
    last: Option<usize>,
    /// How many it was told it missed since.
    missed: usize,
}

impl Audit {
    fn stream(&mut self, from: ProcessId, to: Pid) -> &mut Stream {
        self.streams.entry((from, to)).or_default()
    }

    /// The number of the envelope that is accepted next.
    pub(super) fn next_number(&mut self, from: ProcessId, to: Pid) -> usize {
        self.stream(from, to).entries.len()
    }

    pub(super) fn accept(&mut self, from: ProcessId, to: Pid, envelopes: u32) {
        let stream = self.stream(from, to);
        for _ in 0..envelopes {
            stream.pending.push_back(stream.entries.len());
            stream.entries.push(Entry { fate: Fate::Pending, entered: Vec::new(), told: None });
        }
    }

    /// The sender reports an envelope as given up.
    pub(super) fn give_up(&mut self, from: ProcessId, record: Record, reason: Reason, gap: Gap) {
        assert_eq!(record.writer, from, "an envelope of another process is given up");
        let stream = self.stream(from, record.to);
        let place = stream.pending.iter().position(|number| *number == record.number);
        let place = place.unwrap_or_else(|| panic!("{record:?} is given up and was not pending"));
        stream.pending.remove(place);
        let dropped = &mut stream.dropped;
        let (count, fate) = match (reason, gap) {
            (Reason::TooLarge, Gap::Told) => (&mut dropped.too_large, Fate::Missed),
            (Reason::TooLarge, Gap::Untold) => (&mut dropped.too_large, Fate::Settled),
            (Reason::PeerDown, _) => (&mut dropped.peer_down, Fate::Missed),
            _ => (&mut dropped.inbox_closed, Fate::Settled),
        };
        *count += 1;
        stream.entries[record.number].fate = fate;
    }

    /// The sender learns that the peer takes nothing more.
    pub(super) fn close(&mut self, from: ProcessId, to: Pid) {
        let stream = self.stream(from, to);
        stream.closed_at = stream.entries.len();
    }

    /// The sender counts so many as acknowledged. Those that it did not before were acknowledged by this
    /// process of the peer.
    pub(super) fn acknowledge(
        &mut self,
        from: ProcessId,
        to: Pid,
        by: Option<ProcessId>,
        total: u64,
    ) {
        let stream = self.stream(from, to);
        while stream.acknowledged < total {
            stream.acknowledge_next(by);
        }
    }

    /// Compares the sender's own counts with what is known here.
    pub(super) fn check_stats(&mut self, from: ProcessId, to: Pid, stats: &PeerStats) {
        let stream = self.stream(from, to);
        let places = stats.acknowledged + stats.dropped.total() + stats.queued + stats.in_flight;
        assert_eq!(stats.accepted, places, "{from} to {to}: something is nowhere: {stats:?}");
        assert_eq!(stats.accepted, stream.entries.len() as u64, "{from} to {to}: accepted");
        assert_eq!(stats.dropped, stream.dropped, "{from} to {to}: dropped");
        let pending = stats.queued + stats.in_flight;
        assert_eq!(pending, stream.pending.len() as u64, "{from} to {to}: pending");
    }

    /// An envelope enters the inbox of a process that speaks for its recipient.
    pub(super) fn enter(&mut self, at: ProcessId, record: Record) {
        let stream = self.stream(record.writer, record.to);
        let number = record.number;
        assert!(number < stream.entries.len(), "{at} got {record:?}, which was never accepted");
        let last = stream.listeners.entry(at).or_default().last;
        assert!(last.is_none_or(|last| last < number), "{at} got {record:?} after {last:?}");
        stream.account_for_all_until(number, at);
        stream.listeners.insert(at, Listener { last: Some(number), missed: 0 });
        stream.entries[number].entered.push(at);
    }

    /// A process that speaks for a peer is told that it missed some.
    pub(super) fn miss(&mut self, at: ProcessId, to: Pid, from: ProcessId, count: u64) {
        let listener = self.stream(from, to).listeners.entry(at).or_default();
        listener.missed += usize::try_from(count).unwrap();
    }

    /// How many are neither acknowledged nor given up.
    pub(super) fn pending(&self, from: ProcessId, to: Pid) -> usize {
        self.streams.get(&(from, to)).map_or(0, |stream| stream.pending.len())
    }

    /// What the sender hands over at its end is exactly what was pending, in order.
    pub(super) fn check_undelivered(&self, from: ProcessId, to: Pid, undelivered: &[Record]) {
        let numbers: VecDeque<usize> = undelivered.iter().map(|record| record.number).collect();
        let pending = self.streams.get(&(from, to)).map(|stream| stream.pending.clone());
        assert_eq!(numbers, pending.unwrap_or_default(), "{from} to {to}: left behind");
    }

    /// All is quiet: what one process sent to another one that still takes it was acknowledged, or the
    /// other knows how many it missed.
    pub(super) fn check_quiet(&mut self, from: ProcessId, to: Pid, at: ProcessId) {
        let stream = self.stream(from, to);
        assert!(stream.pending.is_empty(), "{from} to {to}: {:?} still pending", stream.pending);
        stream.account_for_all_until(stream.entries.len(), at);
    }
}

impl Stream {
    fn acknowledge_next(&mut self, by: Option<ProcessId>) {
        let by = by.expect("acknowledged by nobody");
        let number = self.pending.pop_front().expect("acknowledged and not pending");
        let entry = &mut self.entries[number];
        entry.fate = Fate::Acknowledged { by };
        self.acknowledged += 1;
        assert!(entry.entered.contains(&by), "{number} acknowledged before it entered {by}");
    }

    /// Every envelope that a process did not get is one that it was told of, or another process's, or
    /// reported for another reason. Those it was told of come last.
    fn account_for_all_until(&mut self, end: usize, at: ProcessId) {
        let Listener { last, missed } = self.listeners.get(&at).copied().unwrap_or_default();
        let others = self.listeners.iter().filter(|(listener, _)| **listener != at);
        let others_told = others.into_iter().any(|(_, listener)| listener.missed > 0);
        let mut told = missed;
        for number in (last.map_or(0, |last| last + 1)..end).rev() {
            let forgiven = number < self.closed_at || others_told;
            let entry = &mut self.entries[number];
            match entry.fate {
                Fate::Missed if told > 0 => {
                    told -= 1;
                    entry.told = Some(at);
                }
                Fate::Missed => {
                    let known = entry.told.is_some() || !entry.entered.is_empty();
                    assert!(known || forgiven, "{at} was not told of {number}");
                }
                Fate::Acknowledged { by } => assert_ne!(by, at, "{at} never got {number}"),
                Fate::Settled => {}
                Fate::Pending => panic!("{at} skipped {number}, which is pending"),
            }
        }
        assert_eq!(told, 0, "{at} was told that it missed more before {end}");
    }
}
