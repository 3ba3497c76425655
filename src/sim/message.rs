//! What the simulated applications write to each other.

use bytes::{Buf, BufMut, BytesMut};
use fastrand::Rng;

use crate::envelope::{Envelope, Pid, Recipient};
use crate::session::Session;

/// A pid that no server has.
const NOBODY: Pid = Pid::new(99);

/// What identifies an envelope: the process that wrote it, and its number among all that this one
/// wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) writer: u64,
    pub(super) serial: u64,
}

impl Record {
    const LEN: usize = 16;

    /// The record that an envelope carries.
    pub(super) fn of(envelope: &Envelope) -> Self {
        let mut msg = &envelope.msg[..];
        let record = Self { writer: msg.get_u64(), serial: msg.get_u64() };
        let id = envelope.msg_id;
        assert!(id == 0 || id as u64 == record.serial, "{record:?} has the id {id}");
        record
    }
}

/// What an envelope asks for besides an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It waits, and any process of the peer may get it.
    None,
    /// It waits for nobody.
    OrReturn,
    /// It is for this process.
    ForSession(Session),
}

impl Wish {
    pub(super) fn of(envelope: &Envelope) -> Self {
        match envelope.delivery {
            delivery if delivery.or_return => Self::OrReturn,
            delivery if delivery.bound => Self::ForSession(envelope.session),
            _ => Self::None,
        }
    }

    pub(super) fn apply(self, envelope: Envelope) -> Envelope {
        match self {
            Self::None => envelope,
            Self::OrReturn => envelope.or_return(),
            Self::ForSession(session) => envelope.for_session(session),
        }
    }
}

/// An envelope of a server, to some of the servers from 1 to `servers`. A few are larger than
/// `max_message`, which the sender allows, and a few are for nobody.
pub(super) fn draw(
    rng: &mut Rng,
    record: Record,
    own: Pid,
    servers: u32,
    max_message: u32,
) -> Envelope {
    let other = (own.as_u32() - 1 + rng.u32(1..servers)) % servers + 1;
    let to = match rng.u32(..60) {
        0 => Recipient::Peer(NOBODY),
        1..20 => Recipient::Broadcast,
        _ => Recipient::Peer(Pid::new(other)),
    };
    let largest = max_message as usize * 21 / 20;
    let bytes = if rng.u32(..4) == 0 {
        rng.usize(Record::LEN..=largest)
    } else {
        rng.usize(Record::LEN..=largest.min(60))
    };
    let mut body = BytesMut::with_capacity(bytes);
    body.put_u64(record.writer);
    body.put_u64(record.serial);
    body.resize(bytes, 0);
    let envelope = match to {
        Recipient::Broadcast => Envelope::broadcast(body.freeze()),
        Recipient::Peer(pid) => Envelope::to(pid, body.freeze()),
    };
    // Ids that count are not sent, and those that do not are.
    if rng.bool() { envelope.with_id(record.serial as i64) } else { envelope }
}

/// Whether an envelope goes to this peer.
pub(super) fn is_for(envelope: &Envelope, peer: Pid) -> bool {
    matches!(envelope.to, Recipient::Broadcast) || envelope.to == Recipient::Peer(peer)
}

/// Whether an envelope goes to somebody.
pub(super) fn is_for_anybody(envelope: &Envelope) -> bool {
    envelope.to != Recipient::Peer(NOBODY)
}
