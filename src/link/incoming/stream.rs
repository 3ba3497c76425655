//! What comes from one process of a peer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{Acknowledgement, Epoch, Header, Incarnation, Payload, Sequence};
use crate::link::FRAME_OVERHEAD;

/// What is known of the one process that is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    pub(super) incarnation: Incarnation,
    /// The frame that comes next.
    pub(super) expected: Sequence,
    /// The epoch in which frames were seen beyond the one expected.
    pub(super) nack: Option<Epoch>,
    /// The epoch in which a frame was turned away for want of room, until there is room again.
    pub(super) overflow: Option<Epoch>,
    /// In order, and not in the inbox yet.
    pub(super) arrivals: VecDeque<Arrival>,
    /// What the arrivals cost, in bytes.
    pub(super) bytes: usize,
    /// How many envelopes of the first arrival have entered the inbox.
    pub(super) entered: usize,
    pub(super) received_ack: Acknowledgement,
    pub(super) max_message: u32,
    pub(super) settled: bool,
}

/// A frame that came in order, waiting to enter the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Arrival {
    pub(crate) sequence: Sequence,
    pub(super) wants_ack: bool,
    /// Envelopes that the peer gave up right before this frame.
    pub(crate) missed: u64,
    pub(crate) payload: Payload,
}

impl Arrival {
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }
}

/// A process that spoke for the peer until another did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Replaced {
    pub(super) incarnation: Incarnation,
    pub(super) at: Duration,
    /// What came next of it, should it turn out to be the one that still runs, and how many
    /// envelopes of that had entered the inbox.
    pub(super) next: Sequence,
    pub(super) entered: usize,
}

impl Stream {
    /// The stream of a process whose first frame this header is of. `known` is what was remembered
    /// of the process, if it was replaced and comes back.
    pub(super) fn new(header: &Header, known: Option<Replaced>) -> Self {
        let expected = known.map_or(header.base, |known| known.next.max(header.base));
        let entered = known.filter(|known| known.next == expected).map_or(0, |known| known.entered);
        Self {
            incarnation: header.incarnation,
            expected,
            nack: None,
            overflow: None,
            arrivals: VecDeque::new(),
            bytes: 0,
            entered,
            received_ack: header.acknowledgement,
            max_message: header.max_message,
            settled: header.settled,
        }
    }

    /// What to remember of the process, which is replaced now.
    pub(super) fn replace(self, now: Duration) -> Replaced {
        let (next, entered) = (self.next(), self.entered);
        Replaced { incarnation: self.incarnation, at: now, next, entered }
    }

    /// Turns back what has not entered the inbox.
    pub(super) fn clear(&mut self) {
        self.expected = self.next();
        self.arrivals.clear();
        self.bytes = 0;
        self.entered = 0;
        self.nack = None;
        self.overflow = None;
    }

    /// All before this has entered the inbox.
    pub(super) fn next(&self) -> Sequence {
        self.arrivals.front().map_or(self.expected, |arrival| arrival.sequence)
    }

    /// Takes the frame expected, if there is room: a peer has one window, and one frame of any
    /// size.
    pub(super) fn take(&mut self, arrival: Arrival, window: usize) -> bool {
        let bytes = arrival.bytes();
        if !self.arrivals.is_empty() && self.bytes + bytes > window {
            return false;
        }
        self.expected = arrival.sequence.next();
        self.nack = None;
        self.bytes += bytes;
        self.arrivals.push_back(arrival);
        debug_assert!(self.bytes <= window || self.arrivals.len() == 1);
        true
    }
}
