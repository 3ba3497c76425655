//! The plain model: what became of every envelope, told step by step by the simulation.

mod questions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::envelope::Pid;
use crate::event::Reason;
use crate::frame::Incarnation;
use crate::sim::audit::questions::QuestionAudit;
use crate::sim::message::{Record, Wish};
use crate::stats::{Dropped, PeerStats};

/// A process, by its incarnation.
pub(super) type ProcessId = u64;

/// Checks every step of every server; what must not be ends the test.
#[derive(Default)]
pub(super) struct Audit {
    streams: BTreeMap<(ProcessId, Pid), Stream>,
    pub(super) questions: QuestionAudit,
}

/// What one process sends to one peer, whatever process speaks for that.
#[derive(Default)]
struct Stream {
    entries: Vec<Entry>,
    /// The places of those that are neither acknowledged nor given up, in order.
    pending: BTreeSet<usize>,
    acknowledged: u64,
    dropped: Dropped,
    /// What each process that spoke for the peer has received.
    listeners: BTreeMap<ProcessId, Listener>,
    /// All before this was accepted before the peer was last heard to take nothing.
    closed_at: usize,
    /// Whether the sender has lost events, so that nobody knows what was given up.
    blind: bool,
    /// The first of those that count, since the peer was put into the list.
    first: usize,
}

struct Entry {
    serial: u64,
    /// By which outbox it came, and what it asked for.
    lane: u32,
    wish: Wish,
    fate: Fate,
    /// Who is never to get it, since it has come back.
    barred: Option<ProcessId>,
    /// Whose inboxes it entered, as far as they have been read.
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
#[derive(Clone, Default)]
struct Listener {
    /// The last that entered by each outbox.
    last: BTreeMap<u32, usize>,
    /// How many it was told it missed, each time, as far as that is not accounted for.
    missed: VecDeque<u64>,
    /// How many it missed that it need not be told of, and may be.
    excused: u64,
    /// How many it was told of before they were due.
    ahead: u64,
}

impl Audit {
    fn stream(&mut self, from: ProcessId, to: Pid) -> &mut Stream {
        self.streams.entry((from, to)).or_default()
    }

    /// An envelope has been put in the outbox.
    pub(super) fn put(&mut self, to: Pid, record: Record, lane: u32, wish: Wish) {
        let stream = self.stream(record.writer, to);
        stream.pending.insert(stream.entries.len());
        let (serial, fate, entered) = (record.serial, Fate::Pending, Vec::new());
        stream.entries.push(Entry { serial, lane, wish, fate, barred: None, entered, told: None });
    }

    /// The sender counts an envelope as acknowledged by this process.
    pub(super) fn acknowledge(&mut self, to: Pid, record: Record, by: Option<ProcessId>) {
        let stream = self.stream(record.writer, to);
        let by = by.expect("acknowledged by nobody");
        let place = stream.place(record);
        assert!(stream.pending.remove(&place), "{record:?} is acknowledged and not pending");
        stream.entries[place].fate = Fate::Acknowledged { by };
        stream.acknowledged += 1;
    }

    /// The sender reports an envelope as given up. One that is too large for the sender itself
    /// leaves no gap that the recipient is told of.
    pub(super) fn give_up(
        &mut self,
        (to, speaker): (Pid, Option<ProcessId>),
        record: Record,
        reason: Reason,
        own: bool,
    ) {
        let stream = self.stream(record.writer, to);
        if reason == Reason::Removed {
            return stream.take_back(record);
        }
        let place = stream.place(record);
        assert!(stream.pending.remove(&place), "{record:?} is given up and not pending");
        let wish = stream.entries[place].wish;
        let dropped = &mut stream.dropped;
        let (count, fate) = match reason {
            Reason::TooLarge if own => (&mut dropped.too_large, Fate::Settled),
            Reason::TooLarge => (&mut dropped.too_large, Fate::Missed),
            Reason::PeerDown => (&mut dropped.peer_down, Fate::Missed),
            Reason::WindowFull => {
                assert_eq!(wish, Wish::OrReturn, "{record:?} was to wait");
                (&mut dropped.window_full, Fate::Missed)
            }
            Reason::Restarted => {
                assert_ne!(wish, Wish::None, "{record:?} was for anybody");
                (&mut dropped.restarted, Fate::Settled)
            }
            _ => (&mut dropped.inbox_closed, Fate::Settled),
        };
        *count += 1;
        stream.entries[place].fate = fate;
        if reason == Reason::Restarted {
            stream.entries[place].barred = speaker;
        }
    }

    /// The sender learns that the peer takes nothing more.
    pub(super) fn close(&mut self, from: ProcessId, to: Pid) {
        let stream = self.stream(from, to);
        stream.closed_at = stream.entries.len();
    }

    /// The sender goes by a list without the peer: what is not acknowledged comes back, and what is for
    /// all goes to the others. What the peer missed before, it may never be told.
    pub(super) fn unlist(&mut self, from: ProcessId, to: Pid) {
        let stream = self.stream(from, to);
        for place in std::mem::take(&mut stream.pending) {
            stream.entries[place].fate = Fate::Settled;
        }
        stream.closed_at = stream.entries.len();
    }

    /// The peer is in the list again, and all is counted anew.
    pub(super) fn relist(&mut self, from: ProcessId, to: Pid) {
        let stream = self.stream(from, to);
        assert!(stream.pending.is_empty(), "put for {to} while it was no peer");
        (stream.acknowledged, stream.dropped) = (0, Dropped::default());
        stream.first = stream.entries.len();
    }

    /// The sender gives up more than its application is told of: what became of its envelopes is not known
    /// any more, but for those that come.
    pub(super) fn lose_sight(&mut self, from: ProcessId) {
        let own = self.streams.iter_mut().filter(|((sender, _), _)| *sender == from);
        own.for_each(|(_, stream)| stream.blind = true);
    }

    /// The sender's counts, after a turn.
    pub(super) fn check_stats(&mut self, (from, to): (ProcessId, Pid), stats: &PeerStats) {
        let stream = self.stream(from, to);
        assert_eq!(stats.acknowledged, stream.acknowledged, "{from} to {to}: acknowledged");
        let places = stats.acknowledged + stats.dropped.total() + stats.queued + stats.in_flight;
        assert_eq!(stats.accepted, places, "{from} to {to}: something is nowhere: {stats:?}");
        assert_eq!(stats.dropped, stream.dropped, "{from} to {to}: dropped");
        let unacknowledged = stats.queued + stats.in_flight > 0;
        let told = stats.oldest_unacknowledged.is_some();
        assert_eq!(told, unacknowledged, "{from} to {to}: oldest {stats:?}");
        let put = (stream.entries.len() - stream.first) as u64;
        assert!(stats.accepted <= put, "{from} to {to}: accepted {stats:?} of {put}");
        let waiting = put - stats.accepted;
        let pending = stats.queued + stats.in_flight + waiting;
        assert_eq!(pending, stream.pending.len() as u64, "{from} to {to}: pending {stats:?}");
    }

    /// An envelope came out of the inbox of a process that speaks for its recipient.
    pub(super) fn enter(&mut self, (at, to): (ProcessId, Pid), record: Record) {
        let stream = self.stream(record.writer, to);
        let place = stream.place(record);
        let Entry { lane, wish, barred, .. } = stream.entries[place];
        let last = stream.listeners.entry(at).or_default().last.get(&lane).copied();
        assert!(last.is_none_or(|last| last < place), "{at} got {record:?} after {last:?}");
        stream.account_for_all_until(place, at, lane);
        stream.listeners.entry(at).or_default().last.insert(lane, place);
        let entered = &mut stream.entries[place].entered;
        let fits = match wish {
            Wish::None => true,
            Wish::OrReturn => entered.is_empty(),
            Wish::ForSession(session) => session.process().map(Incarnation::to_wire) == Some(at),
        };
        assert!(fits && barred != Some(at), "{at} got {record:?}, which was not for it");
        entered.push(at);
    }

    /// A process that speaks for a peer is told that it missed some.
    pub(super) fn miss(&mut self, (at, to): (ProcessId, Pid), from: ProcessId, count: u64) {
        self.stream(from, to).listeners.entry(at).or_default().missed.push_back(count);
    }

    /// How many are neither acknowledged nor given up, as far as anybody knows.
    pub(super) fn pending(&self, from: ProcessId, to: Pid) -> usize {
        let stream = self.streams.get(&(from, to)).filter(|stream| !stream.blind);
        stream.map_or(0, |stream| stream.pending.len())
    }

    /// What the sender hands over at its end is exactly what was pending, in order.
    pub(super) fn check_undelivered(&self, from: ProcessId, to: Pid, undelivered: &[Record]) {
        let stream = self.streams.get(&(from, to));
        let pending = stream.map_or(Vec::new(), |stream| {
            stream.pending.iter().map(|place| stream.entries[*place].serial).collect()
        });
        let mut serials: Vec<_> = undelivered.iter().map(|record| record.serial).collect();
        // Between what came by several outboxes there is no order.
        if stream.is_some_and(Stream::has_several_lanes) {
            serials.sort_unstable();
        }
        assert_eq!(serials, pending, "{from} to {to}: left behind");
    }

    /// A process has read all that ever entered its inbox, or has died and cannot: what it
    /// acknowledged is there.
    pub(super) fn check_acknowledged(&self, at: ProcessId) {
        for ((from, to), stream) in &self.streams {
            for entry in &stream.entries {
                let acknowledged = entry.fate == Fate::Acknowledged { by: at };
                let entered = entry.entered.contains(&at);
                let Entry { serial, .. } = entry;
                assert!(!acknowledged || entered, "{from} to {to}: {at} never got {serial}");
            }
        }
    }

    /// All is quiet: what one process sent to another one that still takes it was acknowledged, or
    /// the other knows how many it missed.
    pub(super) fn check_quiet(&mut self, from: ProcessId, to: Pid, at: ProcessId) {
        let stream = self.stream(from, to);
        let settled = stream.blind || stream.pending.is_empty();
        assert!(settled, "{from} to {to}: {:?} still pending", stream.pending);
        stream.account_for_all(at);
    }
}

impl Stream {
    fn has_several_lanes(&self) -> bool {
        self.entries.iter().any(|entry| entry.lane != 0)
    }

    /// An envelope comes back since its peer is none any more. It may have been put in since.
    fn take_back(&mut self, record: Record) {
        let found = self.entries.binary_search_by_key(&record.serial, |entry| entry.serial);
        let Ok(place) = found else { return };
        self.pending.remove(&place);
        let entry = &mut self.entries[place];
        assert!(matches!(entry.fate, Fate::Pending | Fate::Settled), "{record:?} came back twice");
        entry.fate = Fate::Settled;
    }

    fn place(&self, record: Record) -> usize {
        let found = self.entries.binary_search_by_key(&record.serial, |entry| entry.serial);
        found.unwrap_or_else(|_| panic!("{record:?} was never sent"))
    }

    /// Every envelope that a process did not get, from the last one that it got up to `end` by the
    /// same outbox, is one that it was told of, or another process's, or reported for another
    /// reason.
    fn account_for_all_until(&mut self, end: usize, at: ProcessId, lane: u32) {
        if self.blind {
            return;
        }
        let needed = self.count_missed(end, at, lane);
        // What was missed by another outbox may be told before something comes by that.
        let early = if self.has_several_lanes() { u64::MAX } else { self.dropped.too_large };
        self.listeners.entry(at).or_default().take_told(needed, Some(early), at);
    }

    /// At the end the same is true of all that came by any outbox, and nothing is told that did not
    /// happen.
    fn account_for_all(&mut self, at: ProcessId) {
        if self.blind {
            return;
        }
        let end = self.entries.len();
        let lanes: BTreeSet<u32> = self.entries.iter().map(|entry| entry.lane).collect();
        let needed = lanes.into_iter().map(|lane| self.count_missed(end, at, lane)).sum();
        self.listeners.entry(at).or_default().take_told(needed, None, at);
    }

    /// How many envelopes a process needs to be told that it missed, from the last one that it got
    /// up to `end`.
    fn count_missed(&mut self, end: usize, at: ProcessId, lane: u32) -> u64 {
        let others = self.listeners.iter().filter(|(listener, _)| **listener != at);
        let told = |listener: &Listener| !listener.missed.is_empty() || listener.ahead > 0;
        let others_told = others.into_iter().any(|(_, listener)| told(listener));
        let last = self.listeners.entry(at).or_default().last.get(&lane).copied();
        let (mut needed, mut excused) = (0, 0);
        for place in last.map_or(0, |last| last + 1)..end {
            let entry = &mut self.entries[place];
            if entry.lane != lane {
                continue;
            }
            match entry.fate {
                Fate::Missed => {
                    let known = entry.told.is_some() || !entry.entered.is_empty();
                    if known || others_told || place < self.closed_at {
                        excused += 1;
                    } else {
                        needed += 1;
                    }
                    entry.told = Some(at);
                }
                Fate::Acknowledged { by } => {
                    assert_ne!(by, at, "{at} never got {}", entry.serial);
                }
                Fate::Settled => {}
                Fate::Pending => panic!("{at} skipped {}, which is pending", entry.serial),
            }
        }
        self.listeners.entry(at).or_default().excused += excused;
        needed
    }
}

impl Listener {
    /// It was told of what it needed to know. What it was told besides is excused, or comes later:
    /// of what is too large in a batch that was on its way to the process before, it is told at the
    /// batch's beginning. No more than so many may come later, and none at the end.
    fn take_told(&mut self, needed: u64, early: Option<u64>, at: ProcessId) {
        let known = self.ahead.min(needed);
        self.ahead -= known;
        let needed = needed - known;
        let mut told = 0;
        while told < needed || early.is_none() && !self.missed.is_empty() {
            let next = self.missed.pop_front();
            told += next.unwrap_or_else(|| panic!("{at} was told of {told} missed, not {needed}"));
        }
        self.ahead += told - needed;
        let most = early.unwrap_or(0);
        // As long as more may come by other outboxes, nobody knows what is excused.
        if most < u64::MAX {
            let excused = self.ahead.min(self.excused);
            self.excused -= excused;
            self.ahead -= excused;
        }
        assert!(self.ahead <= most, "{at} was told of {told} missed instead of {needed}");
    }
}
