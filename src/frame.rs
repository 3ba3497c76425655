//! What crosses the network: a [`Frame`], its [`Header`] and the numbers in it. Values only.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::envelope::{Delivery, Pid, Recipient, Role};

/// One unit of sending, of resending and of acknowledging.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) payload: Payload,
}

/// What stands before every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Header {
    pub(crate) cluster: ClusterId,
    pub(crate) from: Pid,
    pub(crate) to: Pid,
    /// The sending process.
    pub(crate) incarnation: Incarnation,
    /// Where the frame begins in the stream; of a heartbeat, where the next frame is going to.
    pub(crate) position: Position,
    /// The first sequence that can still come: all before it is settled.
    pub(crate) base: Sequence,
    /// How often the sender has gone back, so that a gap is answered once.
    pub(crate) epoch: Epoch,
    /// Envelopes that were given up right before this frame.
    pub(crate) missed: u64,
    /// How much has come before this frame of a payload that is broken off here, in bytes, or zero.
    /// It goes on later, where it was.
    pub(crate) suspends: u32,
    /// The largest message that the sending server takes, in bytes.
    pub(crate) max_message: u32,
    /// Whether the sender asks for an immediate acknowledgement.
    pub(crate) wants_ack: bool,
    /// When it was sent, by the sender's clock.
    pub(crate) stamp: Stamp,
    /// Whether all that the sender sent is acknowledged, its goodbye too.
    pub(crate) settled: bool,
    /// What the sender says about the other direction. The payload is only for the process of which
    /// it speaks.
    pub(crate) acknowledgement: Acknowledgement,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Payload {
    /// Nothing: the header is the message, as a heartbeat or an acknowledgement. It has no place in
    /// the stream of its own.
    Heartbeat,
    /// Small envelopes, one after the other. The longest message in it has `largest` bytes, and the
    /// `delivery` is what any of them asks for.
    Batch { envelopes: u32, largest: u32, delivery: Delivery, body: Bytes },
    /// One large envelope, whose message is the body as it is. How it is delivered is the sender's
    /// affair.
    Single { to: Recipient, msg_id: i64, role: Role, msg: Bytes, delivery: Delivery },
    /// A piece of a batch or a single that is too large for one frame.
    Fragment { whole: Whole, body: Bytes },
    /// Nothing follows on this link.
    Goodbye,
}

/// What a fragment is a piece of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Whole {
    pub(crate) kind: WholeKind,
    /// The length of the whole body, in bytes.
    pub(crate) len: u32,
}

/// What is in the whole of which a fragment is a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WholeKind {
    Batch { envelopes: u32 },
    Single { to: Recipient, msg_id: i64, role: Role },
}

impl Payload {
    /// How many envelopes it carries.
    pub(crate) fn envelopes(&self) -> u64 {
        match self {
            Self::Heartbeat | Self::Goodbye | Self::Fragment { .. } => 0,
            Self::Batch { envelopes, .. } => u64::from(*envelopes),
            Self::Single { .. } => 1,
        }
    }

    /// The length of the longest message in it, in bytes, as far as that is known: of a batch, not
    /// before it is whole.
    pub(crate) fn largest(&self) -> u32 {
        match self {
            Self::Heartbeat | Self::Goodbye => 0,
            Self::Batch { largest, .. } => *largest,
            Self::Single { msg, .. } => u32::try_from(msg.len()).unwrap_or(u32::MAX),
            Self::Fragment { whole, .. } => match whole.kind {
                WholeKind::Batch { .. } => 0,
                WholeKind::Single { .. } => whole.len,
            },
        }
    }

    /// Whether some of it is for one process only.
    pub(crate) fn is_bound(&self) -> bool {
        self.delivery().is_for_one_process()
    }

    /// What any envelope in it asks for.
    pub(crate) fn delivery(&self) -> Delivery {
        match self {
            Self::Heartbeat | Self::Goodbye | Self::Fragment { .. } => Delivery::default(),
            Self::Batch { delivery, .. } | Self::Single { delivery, .. } => *delivery,
        }
    }

    /// The piece from `offset` on that has `max` bytes at most: all of it, if it is not more.
    pub(crate) fn piece(&self, offset: usize, max: usize) -> Self {
        let kind = match self {
            Self::Batch { envelopes, .. } => WholeKind::Batch { envelopes: *envelopes },
            Self::Single { to, msg_id, role, .. } => {
                WholeKind::Single { to: *to, msg_id: *msg_id, role: *role }
            }
            Self::Heartbeat | Self::Goodbye | Self::Fragment { .. } => return self.clone(),
        };
        let body = self.body();
        let end = offset.saturating_add(max.max(1)).min(body.len());
        if offset == 0 && end == body.len() {
            return self.clone();
        }
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        Self::Fragment { whole: Whole { kind, len }, body: body.slice(offset.min(end)..end) }
    }

    /// The part that follows the header.
    pub(crate) fn body(&self) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        match self {
            Self::Heartbeat | Self::Goodbye => &NOTHING,
            Self::Batch { body, .. } | Self::Fragment { body, .. } => body,
            Self::Single { msg, .. } => msg,
        }
    }

    /// The part that follows the header, taken out.
    pub(crate) fn into_body(self) -> Bytes {
        match self {
            Self::Heartbeat | Self::Goodbye => Bytes::new(),
            Self::Batch { body, .. } | Self::Fragment { body, .. } => body,
            Self::Single { msg, .. } => msg,
        }
    }

    /// The length of the part that follows the header, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.body().len()
    }
}

/// What the receiving half of a link says about what it has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Acknowledgement {
    /// Whose frames it speaks of; none before the first was heard.
    pub(crate) of: Option<Incarnation>,
    /// All payloads before this have entered the inbox, and of the one that begins or goes on here
    /// all before has come.
    pub(crate) next: Position,
    /// A negative acknowledgement: frames after `next` came in this epoch while earlier ones did
    /// not. Send again from `next`.
    pub(crate) nack: Option<Epoch>,
    pub(crate) intake: Intake,
    /// How long ago, in milliseconds, anything came in from that incarnation.
    pub(crate) silence: Silence,
    /// How long the last frame that asked for an acknowledgement was on its way, give or take the
    /// difference between the clocks.
    pub(crate) delay: Stamp,
}

impl Acknowledgement {
    /// Before anything was heard.
    pub(crate) const NONE: Self = Self {
        of: None,
        next: Position::FIRST,
        nack: None,
        intake: Intake::Open,
        silence: Silence::NEVER_HEARD,
        delay: Stamp::ZERO,
    };
}

/// Whether a receiver takes envelopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Intake {
    #[default]
    Open,
    /// Its inbox is closed: what comes is not acknowledged, and never will be.
    Closed,
    /// The whole server has ended.
    Ended,
}

/// A time of a clock whose zero is anywhere, in microseconds, or the difference between two. It
/// starts again after some hour: only that between two soon after each other has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) fn new(now: Duration) -> Self {
        let micros = now.as_micros() & u128::from(u32::MAX);
        Self(u32::try_from(micros).unwrap_or(u32::MAX))
    }

    pub(crate) const fn from_wire(micros: u32) -> Self {
        Self(micros)
    }

    pub(crate) const fn to_wire(self) -> u32 {
        self.0
    }

    /// How much later than another one this is, which may be negative.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self(self.0.wrapping_sub(earlier.0))
    }

    /// The time that it stands for, if that is not negative.
    pub(crate) fn duration(self) -> Option<Duration> {
        (self.0 <= u32::MAX / 2).then(|| Duration::from_micros(self.0.into()))
    }
}

/// A duration in whole milliseconds, as it crosses the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Silence(u32);

impl Silence {
    pub(crate) const NEVER_HEARD: Self = Self(u32::MAX);

    /// `duration`, rounded down to milliseconds.
    pub(crate) fn new(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX - 1))
    }

    pub(crate) const fn from_wire(millis: u32) -> Self {
        Self(millis)
    }

    pub(crate) const fn to_wire(self) -> u32 {
        self.0
    }

    /// How long it was, if there was a start of it.
    pub(crate) fn duration(self) -> Option<Duration> {
        (self != Self::NEVER_HEARD).then(|| Duration::from_millis(self.0.into()))
    }
}

/// A byte's place in the stream from one process to a peer: in which payload, and how far in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) sequence: Sequence,
    pub(crate) offset: u32,
}

impl Position {
    pub(crate) const FIRST: Self = Self::start_of(Sequence::FIRST);

    /// Where a payload begins.
    pub(crate) const fn start_of(sequence: Sequence) -> Self {
        Self { sequence, offset: 0 }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, offset } = self;
        if *offset == 0 { write!(f, "{sequence:?}") } else { write!(f, "{sequence:?}+{offset}") }
    }
}

/// A payload's place in the stream from one process to a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence(u64);

impl Sequence {
    pub(crate) const FIRST: Self = Self(1);

    /// The last place there is. The upper half of the type is out of bounds, so that no peer can
    /// bring a link to its end.
    const LAST: Self = Self(u64::MAX / 2);

    /// The number, if it is one that a stream can reach.
    pub(crate) fn from_wire(number: u64) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0).contains(&number).then_some(Self(number))
    }

    pub(crate) const fn to_wire(self) -> u64 {
        self.0
    }

    /// The place `payloads` further on, or the last there is: what is acknowledged to a peer that
    /// claims to have come that far must still be a number that crosses the network.
    pub(crate) fn plus(self, payloads: usize) -> Self {
        Self(self.0.saturating_add(payloads as u64)).min(Self::LAST)
    }

    pub(crate) fn next(self) -> Self {
        self.plus(1)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One process of a server. A later process of the same server has a greater one, as long as the
/// clock of its machine does not go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Incarnation(NonZeroU64);

impl Incarnation {
    /// A new one, different from all others of this process and greater than those of earlier ones:
    /// the time of day in nanoseconds.
    #[expect(
        clippy::disallowed_methods,
        reason = "read once, and the order it gives is only a hint"
    )]
    pub(crate) fn draw() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = since_epoch.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0));
        let after = |last: u64| Some(clock.max(last.saturating_add(1)));
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).unwrap_or(0);
        let drawn = clock.max(last.saturating_add(1));
        Self(NonZeroU64::new(drawn).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) fn from_wire(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    pub(crate) const fn to_wire(self) -> u64 {
        self.0.get()
    }
}

/// The retransmission epoch: how often a sender has gone back to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Epoch(u32);

impl Epoch {
    pub(crate) const FIRST: Self = Self(1);

    /// The epoch after this one. Zero is no epoch.
    pub(crate) const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(number) => Self(number),
            None => Self::FIRST,
        }
    }

    pub(crate) fn from_wire(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    pub(crate) const fn to_wire(self) -> u32 {
        self.0
    }
}

/// A cluster's name, as frames carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClusterId(u64);

impl ClusterId {
    /// The FNV-1a hash of the name; zero for a cluster without one.
    pub(crate) fn new(name: Option<&str>) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let hash = |name: &str| {
            name.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
        };
        Self(name.map_or(0, hash))
    }

    pub(crate) const fn from_wire(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn to_wire(self) -> u64 {
        self.0
    }
}
