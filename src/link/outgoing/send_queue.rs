//! What was accepted for a peer and is not settled yet.

mod acknowledgement;
mod ages;
mod fairness;
mod insertion;
mod suspension;
mod withdrawal;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::Delivery;
use crate::event::Reason;
use crate::frame::{Incarnation, Payload, Position, Sequence};
use crate::link::FRAME_OVERHEAD;
use crate::link::outgoing::send_queue::ages::Ages;
pub(crate) use crate::link::outgoing::send_queue::fairness::{LEFTOVERS, LaneId};
use crate::link::outgoing::send_queue::fairness::{Lanes, Tag};
use crate::stats::{Dropped, PeerStats};

/// The payloads of one stream that are not acknowledged, in order, and the accounts of all there
/// were.
///
/// ```text
///   acknowledged │       in flight        │   queued    │
///   ─────────────┼────────────────────────┼─────────────┼── position ──►
///               base      ▲             sent           end
///                       cursor, which a gap sets back to what is acknowledged
/// ```
///
/// A payload larger than a frame goes out in pieces, as large as a frame is at that time. What has
/// come by several outboxes is queued [in turns](Lanes).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SendQueue {
    payloads: VecDeque<Queued>,
    /// The sequence of the first payload.
    base: Sequence,
    /// How much of the first payload the peer has, in bytes.
    partial: usize,
    /// What comes next, since the last time the sender went back.
    cursor: Cursor,
    /// What has ever been sent.
    sent: Cursor,
    /// How many payloads count as sent again, since the last time the sender went back.
    repeated: usize,
    /// What the payloads before the cursor take of the window, in bytes.
    before_cursor: usize,
    /// Envelopes given up since the last payload was queued.
    missed: u64,
    dropped: VecDeque<GivenUp>,
    /// What was acknowledged, and is to be told.
    receipts: VecDeque<Payload>,
    lanes: Lanes,
    ages: Ages,
    /// What was acknowledged, for whoever looks at it.
    #[cfg(test)]
    acknowledged: Vec<Payload>,
    pub(super) counts: Counts,
}

/// A place in the queue: in front of which payload, or how far in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Cursor {
    index: usize,
    /// In bytes, less than the payload has.
    offset: usize,
}

impl Cursor {
    /// The first payload has gone.
    fn shift(&mut self) {
        *self = match self.index.checked_sub(1) {
            Some(index) => Self { index, ..*self },
            None => Self::default(),
        };
    }
}

/// A payload that is not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Queued {
    payload: Payload,
    /// Envelopes given up right before it.
    missed: u64,
    /// The process that the envelopes are for which are for one only, if there are any.
    bound_to: Option<Incarnation>,
    tag: Tag,
    /// When it was accepted.
    since: Duration,
    /// Whether a message may be broken off for it.
    short: bool,
    /// The part of the payload that has this place in the stream, in bytes: all of it, unless it was
    /// broken off.
    start: usize,
    end: usize,
    /// Whether its envelopes count as sent.
    counted: bool,
}

impl Queued {
    fn new(payload: Payload, missed: u64, bound_to: Option<Incarnation>, tag: Tag) -> Self {
        let bound_to = bound_to.filter(|_| payload.is_bound());
        let (since, end) = (Duration::ZERO, payload.len());
        Self { payload, missed, bound_to, tag, since, short: false, start: 0, end, counted: false }
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    /// What it takes on its way.
    fn bytes(&self) -> usize {
        self.len() + FRAME_OVERHEAD
    }

    /// What it takes of the window. The peer has to hold a message that was broken off until it is
    /// whole.
    fn window_bytes(&self) -> usize {
        FRAME_OVERHEAD + if self.is_broken_off() { 0 } else { self.end }
    }

    /// Its place in virtual time.
    fn place(&self) -> Tag {
        self.tag + self.start as Tag
    }

    fn is_message(&self) -> bool {
        matches!(self.payload, Payload::Single { .. })
    }

    /// How much of it the peer can say to have without having taken its place, in bytes.
    fn most_in_part(&self) -> usize {
        if self.is_broken_off() { self.len() } else { self.len().saturating_sub(1) }
    }

    /// Whether the payload goes on at a later place.
    fn is_broken_off(&self) -> bool {
        self.end < self.payload.len()
    }

    /// How many envelopes are there with it.
    fn envelopes(&self) -> u64 {
        if self.is_broken_off() { 0 } else { self.payload.envelopes() }
    }
}

/// What is not going to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GivenUp {
    pub(crate) payload: Payload,
    pub(crate) reason: Reason,
    /// The process that the envelopes were for which were for one only.
    pub(crate) bound_to: Option<Incarnation>,
}

/// What one frame takes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) payload: Payload,
    /// Envelopes given up right before the payload that it is of.
    pub(super) missed: u64,
}

impl Piece {
    /// What it takes of the window.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }
}

/// Envelopes, but for what says bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) queued: u64,
    pub(super) in_flight: u64,
    pub(super) window_bytes: usize,
    pub(super) acknowledged: u64,
    pub(super) accepted_bytes: u64,
    pub(super) acknowledged_bytes: u64,
    pub(super) sent: u64,
    pub(super) resent: u64,
    pub(super) dropped: Dropped,
}

impl Counts {
    pub(super) fn accept(&mut self, payload: &Payload) {
        self.accepted += payload.envelopes();
        self.accepted_bytes += payload.len() as u64;
    }
}

impl SendQueue {
    pub(super) fn new() -> Self {
        Self {
            payloads: VecDeque::new(),
            base: Sequence::FIRST,
            partial: 0,
            cursor: Cursor::default(),
            sent: Cursor::default(),
            repeated: 0,
            before_cursor: 0,
            missed: 0,
            dropped: VecDeque::new(),
            receipts: VecDeque::new(),
            lanes: Lanes::default(),
            ages: Ages::default(),
            #[cfg(test)]
            acknowledged: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Whether nothing but a goodbye is left.
    pub(super) fn holds_no_envelopes(&self) -> bool {
        self.payloads.iter().all(|queued| queued.payload == Payload::Goodbye)
    }

    /// Whether something is sent and not acknowledged.
    pub(super) fn is_in_flight(&self) -> bool {
        self.sent > Cursor::default()
    }

    /// Whether something is still to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.cursor.index < self.payloads.len()
    }

    /// Whether what has come by an outbox waits for its turn.
    pub(super) fn is_waiting(&self, lane: LaneId) -> bool {
        self.has_unsent() && self.lanes.is_waiting(lane)
    }

    /// Whether something is on its way or waits, and an outbox that puts in so many bytes needs
    /// little beside the others.
    pub(super) fn is_filled_by_others(&self, lane: LaneId, bytes: usize) -> bool {
        !self.is_empty() && self.lanes.is_light(lane, bytes + FRAME_OVERHEAD)
    }

    /// What the peer has not acknowledged, in bytes.
    pub(super) fn unacknowledged(&self) -> usize {
        self.counts.window_bytes - self.partial
    }

    /// How much was sent since the sender went back last, and is not acknowledged, in bytes.
    pub(super) fn flight(&self) -> usize {
        (self.before_cursor + self.cursor.offset).saturating_sub(self.partial)
    }

    /// Whether envelopes were given up of which the peer has not been told.
    pub(super) fn has_missed(&self) -> bool {
        self.missed > 0
    }

    /// The first sequence that is not settled.
    pub(super) fn base(&self) -> Sequence {
        self.base
    }

    /// Where the frame to be sent next begins.
    pub(super) fn next(&self) -> Position {
        self.position(self.cursor)
    }

    /// Behind all that was ever sent.
    pub(super) fn end_of_sent(&self) -> Position {
        self.position(self.sent)
    }

    fn position(&self, cursor: Cursor) -> Position {
        let start = self.payloads.get(cursor.index).map_or(0, |queued| queued.start);
        let offset = u32::try_from(start + cursor.offset).unwrap_or(u32::MAX);
        Position { sequence: self.base.plus(cursor.index), offset }
    }

    /// How many payloads were ever begun to be sent.
    fn begun(&self) -> usize {
        self.sent.index + usize::from(self.sent.offset > 0)
    }

    /// What was acknowledged since the last time, in order.
    #[cfg(test)]
    pub(super) fn take_acknowledged(&mut self) -> Vec<Payload> {
        mem::take(&mut self.acknowledged)
    }

    /// What the next piece takes of the window, if it has `max` bytes at most beside its header.
    pub(super) fn next_bytes(&self, max: usize) -> Option<usize> {
        let queued = self.payloads.get(self.cursor.index)?;
        Some((queued.len() - self.cursor.offset).min(max) + FRAME_OVERHEAD)
    }

    /// The next piece to send, of `max` bytes at most, which counts as sent from here on.
    pub(super) fn take_next(&mut self, max: usize) -> Option<Piece> {
        let Cursor { index, offset } = self.cursor;
        let queued = self.payloads.get(index)?;
        let missed = queued.missed;
        let start = queued.start + offset;
        let payload = queued.payload.piece(start, max.min(queued.end - start));
        self.lanes.advance(queued.tag + start as Tag);
        let end = offset + payload.len();
        if end < queued.len() {
            self.cursor.offset = end;
        } else {
            self.before_cursor += queued.bytes();
            self.cursor = Cursor { index: index + 1, offset: 0 };
        }
        self.count(index, offset);
        self.sent = self.sent.max(self.cursor);
        Some(Piece { payload, missed })
    }

    /// Counts the envelopes of a payload that is sent from `offset` on.
    fn count(&mut self, index: usize, offset: usize) {
        let again = (Cursor { index, offset }) < self.sent;
        let Some(queued) = self.payloads.get_mut(index) else { return };
        let envelopes = queued.payload.envelopes();
        if !mem::replace(&mut queued.counted, true) {
            self.counts.queued -= envelopes;
            self.counts.in_flight += envelopes;
            self.counts.sent += envelopes;
        } else if again && index >= self.repeated {
            self.repeated = index + 1;
            self.counts.resent += envelopes;
        }
    }

    /// Sends again all that is not acknowledged.
    pub(super) fn go_back(&mut self) {
        (self.cursor, self.before_cursor) = self.first_missing();
        self.repeated = 0;
    }

    /// What comes behind that which the peer has, and what is before it.
    fn first_missing(&self) -> (Cursor, usize) {
        match self.payloads.front() {
            Some(first) if first.is_broken_off() && self.partial == first.len() => {
                (Cursor { index: 1, offset: 0 }, first.bytes())
            }
            _ => (Cursor { index: 0, offset: self.partial }, 0),
        }
    }

    /// Another process speaks for the peer, which has nothing of what its predecessor had in part.
    pub(super) fn forget_partial(&mut self) {
        self.partial = 0;
        self.mend();
        self.go_back();
    }

    /// What was acknowledged since the last time, of that which asked for a receipt.
    pub(super) fn poll_receipt(&mut self) -> Option<Payload> {
        self.receipts.pop_front()
    }

    /// What has been given up and is to be reported.
    pub(super) fn poll_dropped(&mut self) -> Option<GivenUp> {
        self.dropped.pop_front()
    }

    /// What is left, in order, and the process that it is for as far as it is for one only.
    pub(super) fn into_payloads(self) -> impl Iterator<Item = (Payload, Option<Incarnation>)> {
        let whole = self.payloads.into_iter().filter(|queued| !queued.is_broken_off());
        whole.map(|queued| (queued.payload, queued.bound_to))
    }

    /// The accounts, as the application sees them.
    pub(super) fn stats(&self) -> PeerStats {
        let counts = &self.counts;
        PeerStats {
            accepted: counts.accepted,
            queued: counts.queued,
            in_flight: counts.in_flight,
            window_bytes: counts.window_bytes as u64,
            acknowledged: counts.acknowledged,
            accepted_bytes: counts.accepted_bytes,
            acknowledged_bytes: counts.acknowledged_bytes,
            sent: counts.sent,
            resent: counts.resent,
            dropped: counts.dropped,
            ..PeerStats::default()
        }
    }
}

/// A payload that only says how many envelopes are missing before it.
fn marker() -> Payload {
    Payload::Batch { envelopes: 0, largest: 0, delivery: Delivery::default(), body: Bytes::new() }
}
