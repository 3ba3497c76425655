//! Frames as bytes.
//!
//! A frame is one libzmq message of one part, the header, or of two, the header and the body. The
//! header is [`HEADER_LEN`] bytes, its numbers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 3 | `rcl`, the magic |
//! | 3 | 1 | version, 1 |
//! | 4 | 1 | kind: 0 heartbeat, 1 batch, 2 single, 3 goodbye |
//! | 5 | 1 | flags: 1 acknowledgement wanted, 2 settled, 4 broadcast (of a single), 8 closed, 16 ended |
//! | 6 | 2 | zero |
//! | 8 | 8 | cluster: FNV-1a of its name, zero for none |
//! | 16 | 4 | from, a pid |
//! | 20 | 4 | to, a pid |
//! | 24 | 8 | incarnation of the sender, not zero |
//! | 32 | 8 | sequence, from 1; of a heartbeat, the next to be sent |
//! | 40 | 8 | base: the first sequence that can still come |
//! | 48 | 4 | retransmission epoch, not zero |
//! | 52 | 4 | envelopes in a batch, else zero |
//! | 56 | 8 | envelopes given up right before this frame |
//! | 64 | 8 | `msg_id` of a single, else zero |
//! | 72 | 8 | acknowledgement: of which incarnation, zero for none |
//! | 80 | 8 | acknowledgement: the next sequence expected |
//! | 88 | 4 | acknowledgement: negative: the epoch in which a gap was seen, zero for none |
//! | 92 | 4 | acknowledgement: milliseconds of silence, all ones if never heard |
//! | 96 | 4 | the largest message the sender takes, in bytes |
//! | 100 | 4 | zero |
//!
//! The body of a single is its message; the body of a batch is described in [`batch`].

mod batch;

use bytes::{Buf, BufMut, Bytes};
use thiserror::Error;

use crate::envelope::{Pid, Recipient};
use crate::frame::{
    Acknowledgement, ClusterId, Epoch, Frame, Header, Incarnation, Intake, Payload, Sequence,
    Silence,
};
use batch::count_envelopes;
pub(crate) use batch::{Batch, ENVELOPE_OVERHEAD, Envelopes};

/// The header's length in bytes.
pub(crate) const HEADER_LEN: usize = 104;

/// The largest message that the format can hold, in bytes.
pub(crate) const MAX_MESSAGE: usize = (u32::MAX >> 1) as usize;

const MAGIC: [u8; 3] = *b"rcl";
const VERSION: u8 = 1;

const KIND_HEARTBEAT: u8 = 0;
const KIND_BATCH: u8 = 1;
const KIND_SINGLE: u8 = 2;
const KIND_GOODBYE: u8 = 3;

const FLAG_ACK_WANTED: u8 = 1;
const FLAG_SETTLED: u8 = 2;
const FLAG_BROADCAST: u8 = 4;
const FLAG_CLOSED: u8 = 8;
const FLAG_ENDED: u8 = 16;
const ALL_FLAGS: u8 = FLAG_ACK_WANTED | FLAG_SETTLED | FLAG_BROADCAST | FLAG_CLOSED | FLAG_ENDED;

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

/// The header of a frame as bytes.
pub(crate) fn encode_header(header: &Header, payload: &Payload) -> [u8; HEADER_LEN] {
    let (kind, envelopes, msg_id, cast) = match payload {
        Payload::Heartbeat => (KIND_HEARTBEAT, 0, 0, 0),
        Payload::Batch { envelopes, .. } => (KIND_BATCH, *envelopes, 0, 0),
        Payload::Single { to, msg_id, .. } => (KIND_SINGLE, 0, *msg_id, broadcast_flag(*to)),
        Payload::Goodbye => (KIND_GOODBYE, 0, 0, 0),
    };
    let ack = &header.acknowledgement;
    let mut bytes = [0; HEADER_LEN];
    let mut out = &mut bytes[..];
    out.put_slice(&MAGIC);
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u8(flags(header) | cast);
    out.put_u16_le(0);
    out.put_u64_le(header.cluster.to_wire());
    out.put_u32_le(header.from.as_u32());
    out.put_u32_le(header.to.as_u32());
    out.put_u64_le(header.incarnation.to_wire());
    out.put_u64_le(header.sequence.to_wire());
    out.put_u64_le(header.base.to_wire());
    out.put_u32_le(header.epoch.to_wire());
    out.put_u32_le(envelopes);
    out.put_u64_le(header.missed);
    out.put_i64_le(msg_id);
    out.put_u64_le(ack.of.map_or(0, Incarnation::to_wire));
    out.put_u64_le(ack.next.to_wire());
    out.put_u32_le(ack.nack.map_or(0, Epoch::to_wire));
    out.put_u32_le(ack.silence.to_wire());
    out.put_u32_le(header.max_message);
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
    wants_ack | settled | intake
}

fn broadcast_flag(to: Recipient) -> u8 {
    if to == Recipient::Broadcast { FLAG_BROADCAST } else { 0 }
}

/// The frame that these bytes are. Nothing is copied and nothing allocated: the payload is the
/// body.
pub(crate) fn decode(header: &[u8], body: Bytes) -> Result<Frame, DecodeError> {
    let bytes: &[u8; HEADER_LEN] =
        header.try_into().map_err(|_| DecodeError::HeaderLength(header.len()))?;
    let mut input = &bytes[..];
    let mut magic = [0; MAGIC.len()];
    input.copy_to_slice(&mut magic);
    if magic != MAGIC {
        return Err(DecodeError::Magic);
    }
    let version = input.get_u8();
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let kind = input.get_u8();
    let flags = input.get_u8();
    let zero = input.get_u16_le();
    if flags & !ALL_FLAGS != 0 || zero != 0 {
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
    let acknowledgement = Acknowledgement {
        of: Incarnation::from_wire(input.get_u64_le()),
        next: Sequence::from_wire(input.get_u64_le()).ok_or(field("next"))?,
        nack: Epoch::from_wire(input.get_u32_le()),
        silence: Silence::from_wire(input.get_u32_le()),
        intake: intake(flags)?,
    };
    let max_message = input.get_u32_le();
    if base > sequence || input.get_u32_le() != 0 {
        return Err(field("base"));
    }
    let payload = decode_payload(kind, flags, envelopes, msg_id, to, body)?;
    let wants_ack = flags & FLAG_ACK_WANTED != 0;
    let settled = flags & FLAG_SETTLED != 0;
    let header = Header {
        cluster,
        from,
        to,
        incarnation,
        sequence,
        base,
        epoch,
        missed,
        max_message,
        wants_ack,
        settled,
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

fn decode_payload(
    kind: u8,
    flags: u8,
    envelopes: u32,
    msg_id: i64,
    to: Pid,
    body: Bytes,
) -> Result<Payload, DecodeError> {
    let broadcast = flags & FLAG_BROADCAST != 0;
    if kind != KIND_SINGLE && (broadcast || msg_id != 0) || kind != KIND_BATCH && envelopes != 0 {
        return Err(DecodeError::Field("kind"));
    }
    match kind {
        KIND_HEARTBEAT if body.is_empty() => Ok(Payload::Heartbeat),
        KIND_GOODBYE if body.is_empty() => Ok(Payload::Goodbye),
        KIND_BATCH if count_envelopes(&body) == Some(envelopes) => {
            Ok(Payload::Batch { envelopes, body })
        }
        KIND_SINGLE => {
            let to = if broadcast { Recipient::Broadcast } else { Recipient::Peer(to) };
            Ok(Payload::Single { to, msg_id, msg: body })
        }
        KIND_HEARTBEAT..=KIND_GOODBYE => Err(DecodeError::Body),
        _ => Err(DecodeError::Field("kind")),
    }
}

#[cfg(test)]
mod tests;
