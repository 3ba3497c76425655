//! What comes from one process of a peer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{
    Acknowledgement, Epoch, Header, Incarnation, Payload, Position, Sequence, Stamp, Whole,
    WholeKind,
};
use crate::link::incoming::assembly::Assembly;
use crate::link::{FRAME_OVERHEAD, Limits, MAX_INTERJECTION};

/// The largest batch that is taken, in bytes, whatever the largest message is: more than any server
/// gathers.
const LARGEST_BATCH: u32 = 1 << 20;

/// What is known of the one process that is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    pub(super) incarnation: Incarnation,
    /// What comes next.
    pub(super) expected: Position,
    /// The epoch in which frames were seen beyond the one expected.
    pub(super) nack: Option<Epoch>,
    /// What was turned away for want of room, until there is room again.
    pub(super) overflow: Option<Overflow>,
    /// In order, and not in the inbox yet.
    pub(super) arrivals: VecDeque<Arrival>,
    /// The payload of which some has come.
    assembly: Option<Assembly>,
    /// One that was broken off, and goes on later.
    pub(super) suspended: Option<Assembly>,
    /// What the arrivals cost, in bytes.
    pub(super) bytes: usize,
    /// How many envelopes of the first arrival have entered the inbox, or of the next that is to come.
    pub(super) entered: usize,
    pub(super) received_ack: Acknowledgement,
    /// How long the last frame that asked for an acknowledgement was on its way, by two clocks.
    pub(super) delay: Stamp,
    pub(super) max_message: u32,
    pub(super) settled: bool,
    /// The last payload before which the application was told of missed ones, and of how many.
    told_missed: Option<(Sequence, u64)>,
    /// Where the last goodbye was, and from where on the peer has said that it goes on after one.
    pub(super) goodbye: Option<Sequence>,
    pub(super) resumed: Option<Sequence>,
}

/// A payload that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Overflow {
    pub(super) epoch: Epoch,
    /// What it costs.
    bytes: usize,
}

/// What became of a frame that goes on where the last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Its payload is among the arrivals.
    Whole,
    /// There is more to come of its payload.
    Part,
    /// There is no room for its payload.
    NoRoom,
    /// It is of another payload than the frames before it, whose beginning has not come.
    Gap,
    /// It is the last of a payload that is not what its frames said,
    Malformed,
    /// or has a message that is too large.
    TooLarge,
}

/// A payload that came in order, waiting to enter the inbox.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Replaced {
    pub(super) incarnation: Incarnation,
    pub(super) at: Duration,
    /// What came next of it, should it turn out to be the one that still runs, and how many
    /// envelopes of that had entered the inbox.
    pub(super) next: Sequence,
    pub(super) entered: usize,
    /// What was broken off: it has nothing but the rest to send, if what came after it is acknowledged.
    pub(super) suspended: Option<Assembly>,
}

impl Stream {
    /// The stream of a process whose first frame this header is of. `known` is what was remembered
    /// of the process, if it was replaced and comes back.
    pub(super) fn new(header: &Header, known: Option<Replaced>) -> Self {
        let known = known.filter(|known| known.next >= header.base);
        let expected = known.as_ref().map_or(header.base, |known| known.next);
        let (entered, suspended) =
            known.map_or((0, None), |known| (known.entered, known.suspended));
        Self {
            incarnation: header.incarnation,
            expected: Position::start_of(expected),
            nack: None,
            overflow: None,
            arrivals: VecDeque::new(),
            assembly: None,
            suspended,
            bytes: 0,
            entered,
            received_ack: header.acknowledgement,
            delay: Stamp::ZERO,
            max_message: header.max_message,
            settled: header.settled,
            told_missed: None,
            goodbye: None,
            resumed: None,
        }
    }

    /// What to remember of the process, which is replaced now.
    pub(super) fn replace(self, now: Duration) -> Replaced {
        let next = self.next().sequence;
        let Self { incarnation, entered, suspended, .. } = self;
        Replaced { incarnation, at: now, next, entered, suspended }
    }

    /// Turns back what has not entered the inbox.
    pub(super) fn clear(&mut self) {
        self.expected = Position::start_of(self.next().sequence);
        self.arrivals.clear();
        self.assembly = None;
        self.suspended = None;
        self.bytes = 0;
        self.entered = 0;
        self.nack = None;
        self.overflow = None;
    }

    /// All before this has come, and what comes next.
    pub(super) fn next(&self) -> Position {
        let front = self.arrivals.front();
        front.map_or(self.expected, |arrival| Position::start_of(arrival.sequence))
    }

    /// How many were missed right before the first arrival, of those that were not told yet.
    pub(super) fn take_missed(&mut self) -> u64 {
        let Some(Arrival { sequence, missed, .. }) = self.arrivals.front() else { return 0 };
        let told = self.told_missed.replace((*sequence, *missed));
        let before = told.filter(|(told, _)| told == sequence).map_or(0, |(_, missed)| missed);
        missed.saturating_sub(before)
    }

    /// Nothing before this can still come.
    pub(super) fn skip_to(&mut self, base: Sequence) {
        if self.expected.sequence < base {
            self.expected = Position::start_of(base);
            self.assembly = None;
            self.suspended = None;
            if self.arrivals.is_empty() {
                // It was of one that was still to come again, and never will.
                self.entered = 0;
            }
        }
    }

    /// Whether something is to come before this frame that has not.
    pub(super) fn misses_some_before(&self, header: &Header, payload: &Payload) -> bool {
        let known = self.is_broken_off_by(header) || self.is_resumed_by(header, payload);
        header.position > self.expected && !known
    }

    /// Whether the payload of which some has come is broken off by this frame, and all has come
    /// that was to come before.
    fn is_broken_off_by(&self, header: &Header) -> bool {
        let Position { sequence, offset } = self.expected;
        let here = offset > 0 && header.suspends == offset;
        here && header.position == Position::start_of(sequence.next()) && self.suspended.is_none()
    }

    /// Whether a payload that was broken off goes on with this frame, or after this heartbeat.
    fn is_resumed_by(&self, header: &Header, payload: &Payload) -> bool {
        let Some(suspended) = &self.suspended else { return false };
        let is_of_it = match payload {
            Payload::Fragment { whole, .. } => suspended.is_of(*whole),
            _ => matches!(payload, Payload::Heartbeat),
        };
        let Position { sequence, offset } = header.position;
        let is_next = offset > 0 && Position::start_of(sequence) == self.expected;
        is_of_it && is_next && offset <= suspended.len()
    }

    /// Whether all of the frame has come before.
    pub(super) fn has(&self, header: &Header, payload: &Payload) -> bool {
        let Position { sequence, offset } = header.position;
        if sequence != self.expected.sequence {
            return sequence < self.expected.sequence;
        }
        let Payload::Fragment { whole, body } = payload else { return false };
        let end = offset as usize + body.len();
        end <= self.expected.offset as usize && self.goes_on(*whole)
    }

    /// Whether a fragment of this whole is of the payload of which some has come.
    fn goes_on(&self, whole: Whole) -> bool {
        self.assembly.as_ref().is_some_and(|assembly| assembly.is_of(whole))
    }

    /// Takes a frame that goes on where the last one ended, if there is room for its payload: a
    /// peer has one window, and one payload of any size.
    pub(super) fn take(&mut self, header: &Header, payload: Payload, limits: &Limits) -> Taken {
        if self.is_broken_off_by(header) {
            self.suspended = self.assembly.take();
            self.expected = header.position;
        } else if self.is_resumed_by(header, &payload) {
            self.assembly = self.suspended.take();
            self.expected.offset = self.assembly.as_ref().map_or(0, Assembly::len);
        }
        match payload {
            Payload::Fragment { whole, body } => self.take_fragment(header, whole, &body, limits),
            whole if !self.has_room(whole.len(), limits.window) => {
                self.turn_away(header, whole.len())
            }
            whole => self.complete(header, whole),
        }
    }

    fn take_fragment(
        &mut self,
        header: &Header,
        whole: Whole,
        body: &[u8],
        limits: &Limits,
    ) -> Taken {
        if !self.goes_on(whole) {
            self.assembly = None;
            self.expected.offset = 0;
            if header.position.offset > 0 {
                return Taken::Gap;
            }
            // A message that was broken off may begin anew, but nothing else that is large.
            let _ = self.suspended.take_if(|suspended| suspended.is_of(whole));
            if self.suspended.is_some() && whole.len as usize > MAX_INTERJECTION {
                return Taken::Malformed;
            }
            if !self.has_room(whole.len as usize, limits.window) {
                return self.turn_away(header, whole.len as usize);
            }
        }
        let assembly = self.assembly.get_or_insert_with(|| Assembly::new(whole));
        self.expected.offset = assembly.append(header.position.offset, body);
        self.nack = None;
        if self.expected.offset < whole.len {
            return Taken::Part;
        }
        let refused = match self.assembly.take().and_then(Assembly::finish) {
            Some(payload) if exceeds(&payload, limits.max_message) => Taken::TooLarge,
            Some(payload) => return self.complete(header, payload),
            None => Taken::Malformed,
        };
        self.expected.offset = 0;
        refused
    }

    /// Whether there is room for a payload of so many bytes.
    fn has_room(&self, bytes: usize, window: usize) -> bool {
        self.arrivals.is_empty() || self.bytes + bytes + FRAME_OVERHEAD <= window
    }

    fn turn_away(&mut self, header: &Header, bytes: usize) -> Taken {
        self.overflow = Some(Overflow { epoch: header.epoch, bytes });
        Taken::NoRoom
    }

    fn complete(&mut self, header: &Header, payload: Payload) -> Taken {
        let sequence = header.position.sequence;
        let arrival =
            Arrival { sequence, wants_ack: header.wants_ack, missed: header.missed, payload };
        self.expected = Position::start_of(sequence.next());
        self.assembly = None;
        self.nack = None;
        self.bytes += arrival.bytes();
        self.arrivals.push_back(arrival);
        Taken::Whole
    }

    /// Whether there is room again, and not just a little, for what was turned away. The peer is
    /// asked for it.
    pub(super) fn makes_room(&mut self, window: usize) -> bool {
        let room =
            |overflow: &Overflow| self.bytes <= window / 2 && self.has_room(overflow.bytes, window);
        let Some(overflow) = self.overflow.filter(room) else { return false };
        self.overflow = None;
        self.nack = Some(overflow.epoch);
        true
    }
}

/// Whether a payload has a message of more than `max` bytes, or may have to be held whole although
/// it is too large.
pub(super) fn exceeds(payload: &Payload, max: u32) -> bool {
    let held = match payload {
        Payload::Fragment { whole: Whole { kind: WholeKind::Batch { .. }, len }, .. } => *len,
        _ => 0,
    };
    payload.largest() > max || held > max.max(LARGEST_BATCH)
}
