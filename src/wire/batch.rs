//! The body of a batch: its envelopes, one after the other.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | bit 0: whether it is a broadcast; bits 1 and 2: where the `msg_id` is; bit 3: whether it is bound to a session; bit 4: whether it was to be returned rather than wait; bit 5: whether a receipt was asked for; bit 6: whether it is a question; bit 7: whether it is an answer; above them the message's length in bytes |
//! | 8 or 0 | `msg_id` |
//! | length | the message |
//!
//! The `msg_id` follows if the two bits are 0. Else it is that of the envelope before (1), or one
//! more (2); before the first it is zero. So whoever counts, or uses no ids, sends none.

use bytes::Bytes;

use crate::envelope::{Delivery, Envelope, Pid, Recipient, Role};
use crate::frame::{Incarnation, Payload};
use crate::session::Session;

/// What an envelope in a batch needs beside its message, in bytes, at most.
pub(crate) const ENVELOPE_OVERHEAD: usize = 12;

/// How long a message in a batch can be, in bytes.
const LONGEST: usize = (u32::MAX >> LENGTH_SHIFT) as usize;

const BROADCAST: u32 = 1;
const ID_SHIFT: u32 = 1;
const BOUND: u32 = 1 << 3;
const OR_RETURN: u32 = 1 << 4;
const RECEIPT: u32 = 1 << 5;
const LENGTH_SHIFT: u32 = 8;

const ID_FOLLOWS: u32 = 0;
const ID_SAME: u32 = 1;
const ID_NEXT: u32 = 2;

/// What precedes a message.
#[derive(Clone, Copy, Debug)]
struct Head {
    broadcast: bool,
    msg_id: i64,
    delivery: Delivery,
    role: Role,
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
        let how = delivery_bits(self.delivery) | u32::from(self.role.to_wire());
        let word = length | how | id << ID_SHIFT | u32::from(self.broadcast);
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
        let is_set = |bit: u32| word & bit != 0;
        let (bound, or_return, receipt) = (is_set(BOUND), is_set(OR_RETURN), is_set(RECEIPT));
        let delivery = Delivery { bound, or_return, receipt };
        let role = Role::from_wire(word.to_le_bytes()[0])?;
        (length <= rest.len()).then_some((Self { broadcast, msg_id, delivery, role, length }, rest))
    }
}

#[inline]
fn delivery_bits(delivery: Delivery) -> u32 {
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    bit(delivery.bound, BOUND) | bit(delivery.or_return, OR_RETURN) | bit(delivery.receipt, RECEIPT)
}

/// The payload that the body of a batch is; none if it is damaged. What passes here can be taken
/// apart by [`Envelopes`] without a remainder.
pub(super) fn measure(whole: Bytes) -> Option<Payload> {
    let mut body = &whole[..];
    let mut envelopes = 0_u32;
    let mut largest = 0;
    let mut delivery = Delivery::default();
    let mut before = 0;
    while !body.is_empty() {
        let (head, rest) = Head::read(body, before)?;
        body = &rest[head.length..];
        before = head.msg_id;
        largest = largest.max(head.length);
        delivery = delivery.or(head.delivery);
        envelopes = envelopes.checked_add(1)?;
    }
    let largest = u32::try_from(largest).ok()?;
    Some(Payload::Batch { envelopes, largest, delivery, body: whole })
}

/// A batch in the making.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    body: Vec<u8>,
    envelopes: u32,
    /// The length of the longest message, in bytes.
    largest: usize,
    /// What any of the envelopes asks for.
    delivery: Delivery,
    /// The id of the last envelope.
    before: i64,
    /// How large the last one became, as a guess at the next.
    last: usize,
}

impl Batch {
    /// Adds an envelope, which must not be larger than [`LONGEST`].
    pub(crate) fn push(&mut self, envelope: &Envelope) {
        let Envelope { msg_id, ref msg, delivery, role, .. } = *envelope;
        let broadcast = envelope.to == Recipient::Broadcast;
        self.append(Head { broadcast, msg_id, delivery, role, length: msg.len() }, msg);
    }

    #[inline]
    fn append(&mut self, head: Head, msg: &[u8]) {
        debug_assert!(msg.len() <= LONGEST);
        if self.envelopes == 0 {
            self.body.reserve(self.last);
        }
        head.write(&mut self.body, self.before);
        self.body.extend_from_slice(msg);
        self.before = head.msg_id;
        self.envelopes += 1;
        self.largest = self.largest.max(msg.len());
        self.delivery = self.delivery.or(head.delivery);
    }

    /// How long its body is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
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
        let delivery = std::mem::take(&mut self.delivery);
        self.before = 0;
        self.last = body.len();
        if body.len() < body.capacity() / 2 {
            body.shrink_to_fit();
        }
        Payload::Batch { envelopes, largest, delivery, body: body.into() }
    }
}

/// Consecutive envelopes of a payload that all meet a condition, or none of which does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) payload: Payload,
    pub(crate) meets: bool,
}

/// Takes a payload apart into the envelopes of more than `max` bytes and the others, in their order.
pub(crate) fn runs_by_size(payload: Payload, max: u32) -> Vec<Run> {
    runs(payload, |_, length| length > max as usize)
}

/// Takes a payload apart into the envelopes that are delivered in some way and the others, in their
/// order.
pub(crate) fn runs_by_delivery(payload: Payload, meets: fn(Delivery) -> bool) -> Vec<Run> {
    runs(payload, |delivery, _| meets(delivery))
}

fn runs(payload: Payload, meets: impl Fn(Delivery, usize) -> bool) -> Vec<Run> {
    let body = match payload {
        Payload::Batch { body, .. } => body,
        Payload::Single { delivery, ref msg, .. } => {
            let meets = meets(delivery, msg.len());
            return vec![Run { payload, meets }];
        }
        _ => return vec![Run { payload, meets: false }],
    };
    let mut runs = Vec::new();
    let mut run = Batch::default();
    let mut met = false;
    let mut rest = Unpacking { body, at: 0, before: 0 };
    while let Some((head, msg)) = rest.next() {
        let meets = meets(head.delivery, head.length);
        if meets != met && !run.is_empty() {
            runs.push(Run { payload: run.take(), meets: met });
        }
        met = meets;
        run.append(head, &msg);
    }
    if !run.is_empty() {
        runs.push(Run { payload: run.take(), meets: met });
    }
    runs
}

/// The envelopes of several batches as one.
pub(crate) fn join(batches: impl IntoIterator<Item = Payload>) -> Payload {
    let mut joined = Batch::default();
    for batch in batches {
        let mut rest = Unpacking { body: batch.into_body(), at: 0, before: 0 };
        while let Some((head, msg)) = rest.next() {
            joined.append(head, &msg);
        }
    }
    joined.take()
}

/// The envelopes of a payload, one after the other, as slices of its body.
#[derive(Clone, Debug)]
pub(crate) struct Envelopes {
    ends: Ends,
    rest: Rest,
}

/// Whose envelopes they are.
#[derive(Clone, Copy, Debug)]
struct Ends {
    from: Pid,
    session: Session,
    to: Pid,
    /// Whether they have come back, to the process that sent them: then they are as that process
    /// has sent them.
    returned: bool,
    /// The process that those are for which are for one only.
    bound_to: Session,
}

/// What is left of a payload.
#[derive(Clone, Debug)]
enum Rest {
    Batch(Unpacking),
    Single(Option<(Recipient, Role, i64, Delivery, Bytes)>),
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
    /// The envelopes of a payload that has come `from` a server, and a process of it, `to` this one.
    pub(crate) fn received(payload: Payload, from: Pid, process: Incarnation, to: Pid) -> Self {
        let session = Session::of(process);
        let ends = Ends { from, session, to, returned: false, bound_to: session };
        Self::new(payload, ends)
    }

    /// The envelopes of a payload that this server, and this `process` of it, has given up. What was
    /// for one process only was for that of `bound_to`.
    pub(crate) fn returned(
        payload: Payload,
        own: Pid,
        process: Incarnation,
        peer: Pid,
        bound_to: Option<Incarnation>,
    ) -> Self {
        let session = Session::of(process);
        let bound_to = bound_to.map_or(session, Session::of);
        Self::new(payload, Ends { from: own, session, to: peer, returned: true, bound_to })
    }

    fn new(payload: Payload, ends: Ends) -> Self {
        let rest = match payload {
            Payload::Batch { body, .. } => Rest::Batch(Unpacking { body, at: 0, before: 0 }),
            Payload::Single { to, msg_id, role, msg, delivery } => {
                Rest::Single(Some((to, role, msg_id, delivery, msg)))
            }
            Payload::Heartbeat | Payload::Goodbye | Payload::Fragment { .. } => Rest::Single(None),
        };
        Self { ends, rest }
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

    // Without this it is a call for each envelope, which copies that twice more: a fifth of the speed.
    #[inline(always)]
    fn next(&mut self) -> Option<Envelope> {
        let Ends { from, session, to: peer, returned, bound_to } = self.ends;
        let (to, role, msg_id, delivery, msg) = match &mut self.rest {
            Rest::Batch(unpacking) => {
                let (head, msg) = unpacking.next()?;
                let to = if head.broadcast { Recipient::Broadcast } else { Recipient::Peer(peer) };
                (to, head.role, head.msg_id, head.delivery, msg)
            }
            Rest::Single(single) => single.take()?,
        };
        let delivery = if returned { delivery } else { Delivery::default() };
        let session = if delivery.bound { bound_to } else { session };
        let role = if returned { role } else { role.received() };
        Some(Envelope { to, from, session, msg_id, msg, delivery, role })
    }
}
