//! The body of a batch: its envelopes, one after the other.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | bit 0: whether it is a broadcast; bits 1 and 2: where the `msg_id` is; above them the message's length in bytes |
//! | 8 or 0 | `msg_id` |
//! | length | the message |
//!
//! The `msg_id` follows if the two bits are 0. Else it is that of the envelope before (1), or one
//! more (2); before the first it is zero. So whoever counts, or uses no ids, sends none.

use bytes::Bytes;

use crate::envelope::{Envelope, Pid, Recipient};
use crate::frame::Payload;

/// What an envelope in a batch needs beside its message, in bytes, at most.
pub(crate) const ENVELOPE_OVERHEAD: usize = 12;

/// How long a message in a batch can be, in bytes.
const LONGEST: usize = (u32::MAX >> LENGTH_SHIFT) as usize;

const BROADCAST: u32 = 1;
const ID_SHIFT: u32 = 1;
const LENGTH_SHIFT: u32 = 3;

const ID_FOLLOWS: u32 = 0;
const ID_SAME: u32 = 1;
const ID_NEXT: u32 = 2;

/// What precedes a message.
#[derive(Clone, Copy, Debug)]
struct Head {
    broadcast: bool,
    msg_id: i64,
    length: usize,
}

impl Head {
    /// Adds it to a body, after an envelope with the id `before`.
    #[inline]
    fn write(self, body: &mut Vec<u8>, before: i64) {
        let id = match self.msg_id.wrapping_sub(before) {
            0 => ID_SAME,
            1 => ID_NEXT,
            _ => ID_FOLLOWS,
        };
        let length = u32::try_from(self.length).unwrap_or(u32::MAX) << LENGTH_SHIFT;
        let word = length | id << ID_SHIFT | u32::from(self.broadcast);
        body.extend_from_slice(&word.to_le_bytes());
        if id == ID_FOLLOWS {
            body.extend_from_slice(&self.msg_id.to_le_bytes());
        }
    }

    /// Reads it after an envelope with the id `before`, and what comes after it; none if this is no
    /// head, or the body too short for what it says.
    #[inline]
    fn read(body: &[u8], before: i64) -> Option<(Self, &[u8])> {
        let (word, mut rest) = body.split_first_chunk()?;
        let word = u32::from_le_bytes(*word);
        let msg_id = match word >> ID_SHIFT & 3 {
            ID_FOLLOWS => {
                let (id, after) = rest.split_first_chunk()?;
                rest = after;
                i64::from_le_bytes(*id)
            }
            ID_SAME => before,
            ID_NEXT => before.wrapping_add(1),
            _ => return None,
        };
        let length = (word >> LENGTH_SHIFT) as usize;
        let broadcast = word & BROADCAST == BROADCAST;
        (length <= rest.len()).then_some((Self { broadcast, msg_id, length }, rest))
    }
}

/// How many envelopes the body of a batch holds, and the length of the longest message, in bytes;
/// none if it is damaged. What passes here can be taken apart by [`Envelopes`] without a remainder.
pub(super) fn measure_envelopes(mut body: &[u8]) -> Option<(u32, u32)> {
    let mut envelopes = 0_u32;
    let mut largest = 0;
    let mut before = 0;
    while !body.is_empty() {
        let (head, rest) = Head::read(body, before)?;
        body = &rest[head.length..];
        before = head.msg_id;
        largest = largest.max(head.length);
        envelopes = envelopes.checked_add(1)?;
    }
    Some((envelopes, u32::try_from(largest).ok()?))
}

/// A batch in the making.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    body: Vec<u8>,
    envelopes: u32,
    /// The length of the longest message, in bytes.
    largest: usize,
    /// The id of the last envelope.
    before: i64,
    /// How large the last one became, as a guess at the next.
    last: usize,
}

impl Batch {
    /// Adds an envelope, which must not be larger than [`LONGEST`].
    pub(crate) fn push(&mut self, envelope: &Envelope) {
        self.append(envelope.to == Recipient::Broadcast, envelope.msg_id, &envelope.msg);
    }

    #[inline]
    fn append(&mut self, broadcast: bool, msg_id: i64, msg: &[u8]) {
        debug_assert!(msg.len() <= LONGEST);
        if self.envelopes == 0 {
            self.body.reserve(self.last);
        }
        let head = Head { broadcast, msg_id, length: msg.len() };
        head.write(&mut self.body, self.before);
        self.body.extend_from_slice(msg);
        self.before = msg_id;
        self.envelopes += 1;
        self.largest = self.largest.max(msg.len());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.envelopes == 0
    }

    /// The batch as a payload, and an empty one in its place. The payload holds at most twice the
    /// memory it needs, since the window counts what it needs.
    pub(crate) fn take(&mut self) -> Payload {
        let mut body = std::mem::take(&mut self.body);
        let envelopes = std::mem::take(&mut self.envelopes);
        let largest = u32::try_from(std::mem::take(&mut self.largest)).unwrap_or(u32::MAX);
        self.before = 0;
        self.last = body.len();
        if body.len() < body.capacity() / 2 {
            body.shrink_to_fit();
        }
        Payload::Batch { envelopes, largest, body: body.into() }
    }
}

/// Consecutive envelopes of a payload, of which all or none exceed a size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) payload: Payload,
    pub(crate) exceeds: bool,
}

/// Takes a payload apart into the envelopes of `max` bytes at most and the larger ones, in their
/// order.
pub(crate) fn runs_by_size(payload: Payload, max: u32) -> Vec<Run> {
    let Payload::Batch { body, .. } = payload else {
        let exceeds = payload.len() > max as usize;
        return vec![Run { payload, exceeds }];
    };
    let mut runs = Vec::new();
    let mut run = Batch::default();
    let mut exceeds = false;
    let mut rest = Unpacking { body, at: 0, before: 0 };
    while let Some((head, msg)) = rest.next() {
        if (head.length > max as usize) != exceeds && !run.is_empty() {
            runs.push(Run { payload: run.take(), exceeds });
        }
        exceeds = head.length > max as usize;
        run.append(head.broadcast, head.msg_id, &msg);
    }
    if !run.is_empty() {
        runs.push(Run { payload: run.take(), exceeds });
    }
    runs
}

/// The envelopes of several batches as one.
pub(crate) fn join(batches: impl IntoIterator<Item = Payload>) -> Payload {
    let mut joined = Batch::default();
    for batch in batches {
        let mut rest = Unpacking { body: batch.into_body(), at: 0, before: 0 };
        while let Some((head, msg)) = rest.next() {
            joined.append(head.broadcast, head.msg_id, &msg);
        }
    }
    joined.take()
}

/// The envelopes of a payload, one after the other, as slices of its body.
#[derive(Clone, Debug)]
pub(crate) struct Envelopes {
    from: Pid,
    to: Pid,
    rest: Rest,
}

/// What is left of a payload.
#[derive(Clone, Debug)]
enum Rest {
    Batch(Unpacking),
    Single(Option<(Recipient, i64, Bytes)>),
}

/// What is left of a batch.
#[derive(Clone, Debug)]
struct Unpacking {
    body: Bytes,
    at: usize,
    /// The id of the last envelope.
    before: i64,
}

impl Envelopes {
    /// The envelopes of a payload that went `from` a server `to` another.
    pub(crate) fn new(payload: Payload, from: Pid, to: Pid) -> Self {
        let rest = match payload {
            Payload::Batch { body, .. } => Rest::Batch(Unpacking { body, at: 0, before: 0 }),
            Payload::Single { to, msg_id, msg } => Rest::Single(Some((to, msg_id, msg))),
            Payload::Heartbeat | Payload::Goodbye | Payload::Fragment { .. } => Rest::Single(None),
        };
        Self { from, to, rest }
    }
}

impl Unpacking {
    /// The head of the next envelope, and its message.
    #[inline]
    fn next(&mut self) -> Option<(Head, Bytes)> {
        let (head, rest) = Head::read(self.body.get(self.at..)?, self.before)?;
        let start = self.body.len() - rest.len();
        self.at = start + head.length;
        self.before = head.msg_id;
        Some((head, self.body.slice(start..self.at)))
    }
}

impl Iterator for Envelopes {
    type Item = Envelope;

    #[inline]
    fn next(&mut self) -> Option<Envelope> {
        let (to, msg_id, msg) = match &mut self.rest {
            Rest::Batch(unpacking) => {
                let (head, msg) = unpacking.next()?;
                let to =
                    if head.broadcast { Recipient::Broadcast } else { Recipient::Peer(self.to) };
                (to, head.msg_id, msg)
            }
            Rest::Single(single) => single.take()?,
        };
        Some(Envelope { to, from: self.from, msg_id, msg })
    }
}
