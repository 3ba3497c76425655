//! What has entered the inboxes, and what the listeners have been told of what has not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use raft_cluster::internals::Progress;
use raft_cluster::{Bytes, Envelope};

use crate::setup::PEER_TIMEOUT;

/// A process, by its incarnation.
pub type Process = u64;

/// How many processes of its peer a link remembers: the present one, and those it replaced.
const REMEMBERED: usize = 9;

/// The bytes at either end of a message that show whether it is whole.
const STAMP: usize = 2;

/// The place of a process in the id of a message; its number is below.
const NUMBER_BITS: u32 = 32;

/// The number of an envelope that is for nobody who runs.
const UNNUMBERED: i64 = -1;

/// One of the envelopes that a process sends to its peer, which are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub writer: Process,
    pub number: u64,
}

impl Record {
    pub fn id(self) -> i64 {
        (self.writer << NUMBER_BITS | self.number).cast_signed()
    }

    /// The record of an envelope, which has to be as it was sent.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        if envelope.msg_id == UNNUMBERED {
            return None;
        }
        let id = envelope.msg_id.cast_unsigned();
        let record = Self { writer: id >> NUMBER_BITS, number: id & ((1 << NUMBER_BITS) - 1) };
        let stamp = [record.number as u8, envelope.msg.len() as u8];
        let msg = &envelope.msg;
        let is_whole = msg.len() < 2 * STAMP || msg.starts_with(&stamp) && msg.ends_with(&stamp);
        assert!(is_whole, "{record:?} is not what was sent: {} bytes", msg.len());
        Some(record)
    }
}

/// The id of an envelope, and a message of so many bytes that shows whether it is whole.
pub fn write(record: Option<Record>, bytes: usize) -> (i64, Bytes) {
    let Some(record) = record else { return (UNNUMBERED, vec![7; bytes].into()) };
    let stamp = [record.number as u8, bytes as u8];
    let mut msg = vec![7; bytes];
    if bytes >= 2 * STAMP {
        msg[..STAMP].copy_from_slice(&stamp);
        msg[bytes - STAMP..].copy_from_slice(&stamp);
    }
    (record.id(), msg.into())
}

/// What a listener has to know of what a process leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// All of it: it has listened from the start.
    All,
    /// All after the first envelope that it has read: one before it may have read the others.
    AfterTheFirst,
    Nothing,
}

/// What one process has received from another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream {
    /// The number that comes next, unless some are left out.
    due: u64,
    /// How many were left out.
    left_out: u64,
    /// How many of them before the first that was read, once one was.
    before: Option<u64>,
    /// How many the listener was told to have missed.
    told: u64,
}

/// What one process has received.
#[derive(Debug, Default)]
pub struct Received(BTreeMap<Process, Stream>);

impl Received {
    /// The listener is told that it missed some envelopes of this process.
    pub fn miss(&mut self, writer: Process, count: u64) {
        self.0.entry(writer).or_default().told += count;
    }

    /// The listener has read an envelope.
    pub fn read(&mut self, record: Record, knows: Knows) {
        let stream = self.0.entry(record.writer).or_default();
        assert!(stream.due <= record.number, "{record:?} comes again or late: {stream:?}");
        stream.left_out += record.number - stream.due;
        stream.due = record.number + 1;
        let before = *stream.before.get_or_insert(stream.left_out);
        let untold = stream.left_out.saturating_sub(stream.told);
        let is_fair = match knows {
            Knows::All => untold == 0,
            Knows::AfterTheFirst => untold <= before,
            Knows::Nothing => true,
        };
        assert!(is_fair, "before {record:?}: {stream:?}");
    }

    /// The listener has read the last envelope that this process has sent.
    pub fn close(&self, writer: Process) {
        let stream = self.0.get(&writer).copied().unwrap_or_default();
        assert!(stream.told <= stream.left_out, "{writer} left out fewer: {stream:?}");
    }
}

/// The processes of a peer that were listened to and how far their frames have entered the inbox,
/// the present one last.
#[derive(Debug, Default)]
pub struct Speakers {
    known: Vec<(Process, u64)>,
    /// When the present one was heard last.
    heard_at: Duration,
}

impl Speakers {
    /// Takes note of the process that is listened to, of the frame that comes next, and whether one
    /// was heard. No frame enters twice. Nor is a process that was replaced listened to, while the
    /// present one is heard: this a forged frame can change.
    pub fn note(&mut self, place: Progress, is_heard: bool, is_true: bool, now: Duration) {
        let Progress { speaker, next, .. } = place;
        let is_other = self.known.last().is_none_or(|(last, _)| speaker != *last);
        let is_old = self.known.last().is_some_and(|(last, _)| speaker < *last);
        let is_fair = !is_true || now >= self.heard_at + PEER_TIMEOUT;
        assert!(!is_old || is_fair, "it listens to {speaker} again: {self:?}, now {now:?}");
        if is_heard || is_other {
            self.heard_at = now;
        }
        let known = self.known.iter().position(|(known, _)| *known == speaker);
        let before = known.map_or(0, |at| self.known.remove(at).1);
        assert!(before <= next, "frame {next} of {speaker} enters again: {before} came next");
        self.known.push((speaker, next));
        if self.known.len() > REMEMBERED {
            self.known.remove(0);
        }
    }
}

/// What each process has sent that entered an inbox.
#[derive(Debug, Default)]
pub struct Ledger {
    entered: BTreeMap<Process, BTreeSet<u64>>,
    /// Who spoke for the peer when a process started.
    first_listeners: BTreeMap<Process, Process>,
}

impl Ledger {
    pub fn start(&mut self, process: Process, listener: Process) {
        self.first_listeners.insert(process, listener);
    }

    pub fn is_first_listener(&self, writer: Process, listener: Process) -> bool {
        self.first_listeners.get(&writer) == Some(&listener)
    }

    pub fn enter(&mut self, record: Record) {
        self.entered.entry(record.writer).or_default().insert(record.number);
    }

    /// How many envelopes of this process have entered an inbox.
    pub fn entered(&self, writer: Process) -> u64 {
        self.entered.get(&writer).map_or(0, |numbers| numbers.len() as u64)
    }
}
