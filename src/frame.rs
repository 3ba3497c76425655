//! What crosses the network: a [`Frame`], its [`Header`] and the numbers in it. Values only.

mod numbers;

use bytes::Bytes;

use crate::envelope::{Delivery, Pid, Recipient, Role};
pub(crate) use numbers::{ClusterId, Epoch, Incarnation, Position, Sequence, Silence, Stamp};

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
    /// Whether the stream goes on although there was a goodbye in it.
    pub(crate) resumed: bool,
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
