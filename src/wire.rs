//! Frames as bytes.
//!
//! A frame is one libzmq message of one part, the header, or of two, the header and the body. The
//! header is [`HEADER_LEN`] bytes, its numbers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 3 | `rcl`, the magic |
//! | 3 | 1 | version, 2 |
//! | 4 | 1 | kind: 0 heartbeat, 1 batch, 2 single, 3 goodbye |
//! | 5 | 1 | flags: 1 acknowledgement wanted, 2 settled, 4 broadcast (of a single), 8 closed, 16 ended, 32 question, 64 answer (of a single), 128 goes on after a goodbye |
//! | 6 | 2 | zero |
//! | 8 | 8 | cluster: FNV-1a of its name, zero for none |
//! | 16 | 4 | from, a pid |
//! | 20 | 4 | to, a pid |
//! | 24 | 8 | incarnation of the sender, not zero |
//! | 32 | 8 | sequence of the payload, from 1; of a heartbeat, of the one to be sent next |
//! | 40 | 8 | base: the first sequence that can still come |
//! | 48 | 4 | retransmission epoch, not zero |
//! | 52 | 4 | envelopes in a batch, else zero |
//! | 56 | 8 | envelopes given up right before this frame |
//! | 64 | 8 | `msg_id` of a single, else zero |
//! | 72 | 8 | acknowledgement: of which incarnation, zero for none; the payload is for that one only |
//! | 80 | 8 | acknowledgement: the next sequence expected |
//! | 88 | 4 | acknowledgement: negative: the epoch in which a gap was seen, zero for none |
//! | 92 | 4 | acknowledgement: milliseconds of silence, all ones if never heard |
//! | 96 | 4 | the largest message the sender takes, in bytes |
//! | 100 | 4 | acknowledgement: how many bytes of the payload expected have come |
//! | 104 | 4 | offset: how many bytes of the payload come before this frame's |
//! | 108 | 4 | length of the payload in bytes, of a heartbeat zero |
//! | 112 | 4 | when it was sent, in microseconds by the sender's clock |
//! | 116 | 4 | acknowledgement: how long the last frame that wanted one took, in microseconds |
//! | 120 | 4 | how many bytes have come of the payload before, if it is broken off here, else zero |
//!
//! The body of a single is its message; the body of a batch is described in [`batch`]. A frame whose
//! body is shorter than its payload is a fragment of it.

mod batch;

use bytes::{Buf, BufMut, Bytes};
use thiserror::Error;

use crate::envelope::{Delivery, Pid, Recipient, Role};
use crate::frame::{
    Acknowledgement, ClusterId, Epoch, Frame, Header, Incarnation, Intake, Payload, Position,
    Sequence, Silence, Stamp, Whole, WholeKind,
};
use batch::measure;
pub(crate) use batch::{
    Batch, ENVELOPE_OVERHEAD, Envelopes, Run, join, runs_by_delivery, runs_by_size,
};

/// The header's length in bytes.
pub(crate) const HEADER_LEN: usize = 124;

/// The largest message that the format can hold, in bytes.
pub(crate) const MAX_MESSAGE: usize = (u32::MAX >> 1) as usize;

const MAGIC: [u8; 3] = *b"rcl";
const VERSION: u8 = 2;

const KIND_HEARTBEAT: u8 = 0;
const KIND_BATCH: u8 = 1;
const KIND_SINGLE: u8 = 2;
const KIND_GOODBYE: u8 = 3;

const FLAG_ACK_WANTED: u8 = 1;
const FLAG_SETTLED: u8 = 2;
const FLAG_BROADCAST: u8 = 4;
const FLAG_CLOSED: u8 = 8;
const FLAG_ENDED: u8 = 16;
const FLAG_QUESTION: u8 = 32;
const FLAG_ANSWER: u8 = 64;
const FLAG_RESUMED: u8 = 128;

/// Flags that only a single has.
const SINGLE_FLAGS: u8 = FLAG_BROADCAST | FLAG_QUESTION | FLAG_ANSWER;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum DecodeError {
    #[error("the message has more than two parts")]
    Parts,
    #[error("the header has {0} bytes")]
    HeaderLength(usize),
    #[error("the magic is not that of this protocol")]
    Magic,
    #[error("protocol version {0} is not spoken here")]
    Version(u8),
    #[error("the {0} field holds a value that it cannot have")]
    Field(&'static str),
    #[error("the body is not what the header says")]
    Body,
}

/// How many bytes a frame has.
pub(crate) fn frame_len(frame: &Frame) -> u64 {
    (HEADER_LEN + frame.payload.len()) as u64
}

/// The header of a frame as bytes.
pub(crate) fn encode_header(header: &Header, payload: &Payload) -> [u8; HEADER_LEN] {
    let of_batch = |envelopes| (KIND_BATCH, envelopes, 0, 0);
    let of_single =
        |to, msg_id, role| (KIND_SINGLE, 0, msg_id, broadcast_flag(to) | role_flag(role));
    let (kind, envelopes, msg_id, single_flags) = match *payload {
        Payload::Heartbeat => (KIND_HEARTBEAT, 0, 0, 0),
        Payload::Batch { envelopes, .. } => of_batch(envelopes),
        Payload::Single { to, msg_id, role, .. } => of_single(to, msg_id, role),
        Payload::Fragment { whole, .. } => match whole.kind {
            WholeKind::Batch { envelopes } => of_batch(envelopes),
            WholeKind::Single { to, msg_id, role } => of_single(to, msg_id, role),
        },
        Payload::Goodbye => (KIND_GOODBYE, 0, 0, 0),
    };
    let len = match payload {
        Payload::Fragment { whole, .. } => whole.len,
        whole => u32::try_from(whole.len()).unwrap_or(u32::MAX),
    };
    let ack = &header.acknowledgement;
    let mut bytes = [0; HEADER_LEN];
    let mut out = &mut bytes[..];
    out.put_slice(&MAGIC);
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u8(flags(header) | single_flags);
    out.put_u16_le(0);
    out.put_u64_le(header.cluster.to_wire());
    out.put_u32_le(header.from.as_u32());
    out.put_u32_le(header.to.as_u32());
    out.put_u64_le(header.incarnation.to_wire());
    out.put_u64_le(header.position.sequence.to_wire());
    out.put_u64_le(header.base.to_wire());
    out.put_u32_le(header.epoch.to_wire());
    out.put_u32_le(envelopes);
    out.put_u64_le(header.missed);
    out.put_i64_le(msg_id);
    out.put_u64_le(ack.of.map_or(0, Incarnation::to_wire));
    out.put_u64_le(ack.next.sequence.to_wire());
    out.put_u32_le(ack.nack.map_or(0, Epoch::to_wire));
    out.put_u32_le(ack.silence.to_wire());
    out.put_u32_le(header.max_message);
    out.put_u32_le(ack.next.offset);
    out.put_u32_le(header.position.offset);
    out.put_u32_le(len);
    out.put_u32_le(header.stamp.to_wire());
    out.put_u32_le(ack.delay.to_wire());
    out.put_u32_le(header.suspends);
    bytes
}

fn flags(header: &Header) -> u8 {
    let wants_ack = if header.wants_ack { FLAG_ACK_WANTED } else { 0 };
    let settled = if header.settled { FLAG_SETTLED } else { 0 };
    let intake = match header.acknowledgement.intake {
        Intake::Open => 0,
        Intake::Closed => FLAG_CLOSED,
        Intake::Ended => FLAG_ENDED,
    };
    let resumed = if header.resumed { FLAG_RESUMED } else { 0 };
    wants_ack | settled | intake | resumed
}

fn broadcast_flag(to: Recipient) -> u8 {
    if to == Recipient::Broadcast { FLAG_BROADCAST } else { 0 }
}

/// The flags of a role are its two bits, one place lower.
fn role_flag(role: Role) -> u8 {
    role.to_wire() >> 1
}

/// The frame that these bytes are. Nothing is copied and nothing allocated: the payload is the
/// body.
pub(crate) fn decode(header: &[u8], body: Bytes) -> Result<Frame, DecodeError> {
    let Some((&[magic @ .., version], _)) = header.split_first_chunk::<4>() else {
        return Err(DecodeError::HeaderLength(header.len()));
    };
    if magic != MAGIC {
        return Err(DecodeError::Magic);
    }
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let bytes: &[u8; HEADER_LEN] =
        header.try_into().map_err(|_| DecodeError::HeaderLength(header.len()))?;
    let mut input = &bytes[MAGIC.len() + 1..];
    let kind = input.get_u8();
    let flags = input.get_u8();
    let zero = input.get_u16_le();
    if zero != 0 {
        return Err(DecodeError::Field("flags"));
    }
    decode_rest(input, kind, flags, body)
}

fn decode_rest(mut input: &[u8], kind: u8, flags: u8, body: Bytes) -> Result<Frame, DecodeError> {
    let field = DecodeError::Field;
    let cluster = ClusterId::from_wire(input.get_u64_le());
    let from = Pid::new(input.get_u32_le());
    let to = Pid::new(input.get_u32_le());
    let incarnation = Incarnation::from_wire(input.get_u64_le()).ok_or(field("incarnation"))?;
    let sequence = Sequence::from_wire(input.get_u64_le()).ok_or(field("sequence"))?;
    let base = Sequence::from_wire(input.get_u64_le()).ok_or(field("base"))?;
    let epoch = Epoch::from_wire(input.get_u32_le()).ok_or(field("epoch"))?;
    let envelopes = input.get_u32_le();
    let missed = input.get_u64_le();
    let msg_id = input.get_i64_le();
    let of = Incarnation::from_wire(input.get_u64_le());
    let next = Sequence::from_wire(input.get_u64_le()).ok_or(field("next"))?;
    let nack = Epoch::from_wire(input.get_u32_le());
    let silence = Silence::from_wire(input.get_u32_le());
    let max_message = input.get_u32_le();
    let next = Position { sequence: next, offset: input.get_u32_le() };
    let position = Position { sequence, offset: input.get_u32_le() };
    let len = input.get_u32_le();
    let stamp = Stamp::from_wire(input.get_u32_le());
    let delay = Stamp::from_wire(input.get_u32_le());
    let suspends = input.get_u32_le();
    if base > sequence {
        return Err(field("base"));
    }
    let (offset, role) = (position.offset, role(flags)?);
    let shape = Shape { kind, envelopes, msg_id, to: recipient(flags, to), role, offset, len };
    let payload = shape.payload(flags, body)?;
    let acknowledgement =
        Acknowledgement { of, next, nack, intake: intake(flags)?, silence, delay };
    let header = Header {
        cluster,
        from,
        to,
        incarnation,
        position,
        base,
        epoch,
        missed,
        suspends,
        max_message,
        wants_ack: flags & FLAG_ACK_WANTED != 0,
        stamp,
        settled: flags & FLAG_SETTLED != 0,
        resumed: flags & FLAG_RESUMED != 0,
        acknowledgement,
    };
    Ok(Frame { header, payload })
}

fn intake(flags: u8) -> Result<Intake, DecodeError> {
    match flags & (FLAG_CLOSED | FLAG_ENDED) {
        0 => Ok(Intake::Open),
        FLAG_CLOSED => Ok(Intake::Closed),
        FLAG_ENDED => Ok(Intake::Ended),
        _ => Err(DecodeError::Field("flags")),
    }
}

fn recipient(flags: u8, to: Pid) -> Recipient {
    if flags & FLAG_BROADCAST == 0 { Recipient::Peer(to) } else { Recipient::Broadcast }
}

fn role(flags: u8) -> Result<Role, DecodeError> {
    Role::from_wire(flags << 1).ok_or(DecodeError::Field("flags"))
}

/// What a header says of the body that follows.
#[derive(Clone, Copy)]
struct Shape {
    kind: u8,
    envelopes: u32,
    msg_id: i64,
    to: Recipient,
    role: Role,
    offset: u32,
    /// Of the whole payload.
    len: u32,
}

impl Shape {
    /// The payload with this body, if it is what the header says.
    fn payload(self, flags: u8, body: Bytes) -> Result<Payload, DecodeError> {
        let Self { kind, envelopes, msg_id, to, role, offset, len } = self;
        let is_of_single = flags & SINGLE_FLAGS != 0 || msg_id != 0;
        if kind != KIND_SINGLE && is_of_single || kind != KIND_BATCH && envelopes != 0 {
            return Err(DecodeError::Field("kind"));
        }
        let is_whole = body.len() == len as usize;
        match kind {
            KIND_HEARTBEAT if body.is_empty() && is_whole => Ok(Payload::Heartbeat),
            KIND_GOODBYE if body.is_empty() && is_whole && offset == 0 => Ok(Payload::Goodbye),
            KIND_BATCH if is_whole && offset == 0 => {
                batch(envelopes, body).ok_or(DecodeError::Body)
            }
            KIND_SINGLE if is_whole && offset == 0 => {
                let delivery = Delivery::default();
                Ok(Payload::Single { to, msg_id, role, msg: body, delivery })
            }
            KIND_BATCH => self.fragment(WholeKind::Batch { envelopes }, body),
            KIND_SINGLE => self.fragment(WholeKind::Single { to, msg_id, role }, body),
            KIND_HEARTBEAT | KIND_GOODBYE => Err(DecodeError::Body),
            _ => Err(DecodeError::Field("kind")),
        }
    }

    fn fragment(self, kind: WholeKind, body: Bytes) -> Result<Payload, DecodeError> {
        let end = self.offset as usize + body.len();
        if body.is_empty() || body.len() == self.len as usize || end > self.len as usize {
            return Err(DecodeError::Body);
        }
        Ok(Payload::Fragment { whole: Whole { kind, len: self.len }, body })
    }
}

/// A payload that came in fragments, if it is what they said.
pub(crate) fn assemble(whole: Whole, body: Bytes) -> Option<Payload> {
    match whole.kind {
        _ if body.len() != whole.len as usize => None,
        WholeKind::Batch { envelopes } => batch(envelopes, body),
        WholeKind::Single { to, msg_id, role } => {
            let delivery = Delivery::default();
            Some(Payload::Single { to, msg_id, role, msg: body, delivery })
        }
    }
}

fn batch(envelopes: u32, body: Bytes) -> Option<Payload> {
    measure(body).filter(|batch| batch.envelopes() == u64::from(envelopes))
}

#[cfg(test)]
mod tests;
