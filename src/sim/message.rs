//! What the simulated applications write to each other.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fastrand::Rng;

use crate::envelope::{Envelope, Pid, Recipient, Role};
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
        let other = envelope.is_question() || is_answer(envelope) || is_sent_on(envelope);
        assert!(other || id == 0 || id as u64 == record.serial, "{record:?} has the id {id}");
        record
    }

    fn write(self, bytes: usize) -> BytesMut {
        let mut body = BytesMut::with_capacity(bytes);
        body.put_u64(self.writer);
        body.put_u64(self.serial);
        body
    }
}

/// What identifies a question: the process that asks, and the number among its questions. Its id on
/// the way is another number, which the next process of the server uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QuestionId {
    pub(super) asker: u64,
    pub(super) number: u64,
}

impl QuestionId {
    /// How long a question or an answer is at least, which carry it behind their records.
    pub(super) const LEN: usize = 2 * Record::LEN;

    /// That of the question which the envelope is, or answers.
    pub(super) fn of(envelope: &Envelope) -> Self {
        let mut msg = &envelope.msg[Record::LEN..];
        Self { asker: msg.get_u64(), number: msg.get_u64() }
    }

    /// What a question says, or an answer to it, in so many bytes.
    pub(super) fn write(self, record: Record, bytes: usize) -> Bytes {
        let mut body = record.write(bytes);
        body.put_u64(self.asker);
        body.put_u64(self.number);
        body.resize(bytes, 0);
        body.freeze()
    }
}

/// What stands in the place of the asker in a question that is sent on, which is none any more.
const NOBODY_ASKS: u64 = u64::MAX;

/// A question that was read is sent on to a peer, in so many bytes, as a message like any other.
pub(super) fn sent_on(question: &Envelope, to: Pid, record: Record, bytes: usize) -> Envelope {
    let id = QuestionId { asker: NOBODY_ASKS, number: 0 };
    let mut envelope = question.clone();
    (envelope.to, envelope.msg) = (to.into(), id.write(record, bytes));
    envelope
}

/// Whether an envelope is a question that was sent on.
pub(super) fn is_sent_on(envelope: &Envelope) -> bool {
    envelope.msg.len() >= QuestionId::LEN && QuestionId::of(envelope).asker == NOBODY_ASKS
}

/// Whether an envelope is the answer to a question, before it is sent or when it has come.
pub(super) fn is_answer(envelope: &Envelope) -> bool {
    envelope.role == Role::ANSWER || envelope.role.answers()
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
    let mut body = record.write(bytes);
    body.resize(bytes, 0);
    let envelope = match to {
        Recipient::Broadcast => Envelope::broadcast(body.freeze()),
        Recipient::Peer(pid) => Envelope::to(pid, body.freeze()),
    };
    // Ids that count are not sent, and those that do not are.
    if rng.bool() { envelope.with_id(record.serial as i64) } else { envelope }
}

/// The same envelope, which found no room, by its number among those that did.
pub(super) fn renumbered(mut envelope: Envelope, record: Record) -> Envelope {
    let mut body = record.write(envelope.msg.len());
    body.put(&envelope.msg[Record::LEN..]);
    envelope.msg = body.freeze();
    let counts = envelope.msg_id != 0;
    envelope.with_id(if counts { record.serial as i64 } else { 0 })
}

/// Whether an envelope goes to this peer.
pub(super) fn is_for(envelope: &Envelope, peer: Pid) -> bool {
    matches!(envelope.to, Recipient::Broadcast) || envelope.to == Recipient::Peer(peer)
}

/// Whether an envelope goes to somebody.
pub(super) fn is_for_anybody(envelope: &Envelope) -> bool {
    envelope.to != Recipient::Peer(NOBODY)
}
