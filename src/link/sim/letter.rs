//! What the simulated applications write to each other.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fastrand::Rng;

use crate::envelope::{Pid, Recipient};
use crate::frame::Payload;

/// Envelopes that go to the same recipients in one frame.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) to: Recipient,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// So many small envelopes.
    Batch { envelopes: u32 },
    /// One of this size, in bytes.
    Single { bytes: usize },
}

impl Letter {
    /// A letter of a server whose largest message is `largest`, to some of the servers from 1 to
    /// `servers`. A few are larger than the sender allows.
    pub(super) fn draw(rng: &mut Rng, own: Pid, servers: u32, largest: u32) -> Self {
        let broadcast = rng.u32(..3) == 0;
        let other = (own.as_u32() - 1 + rng.u32(1..servers)) % servers + 1;
        let to = if broadcast { Recipient::Broadcast } else { Recipient::Peer(Pid::new(other)) };
        let shape = if rng.u32(..4) == 0 {
            Shape::Single { bytes: rng.usize(Record::LEN..=largest as usize * 21 / 20) }
        } else {
            Shape::Batch { envelopes: rng.u32(1..=4) }
        };
        Self { to, shape }
    }

    pub(super) fn is_for(&self, peer: Pid) -> bool {
        self.to == Recipient::Broadcast || self.to == Recipient::Peer(peer)
    }

    pub(super) fn envelopes(&self) -> u32 {
        match self.shape {
            Shape::Batch { envelopes } => envelopes,
            Shape::Single { .. } => 1,
        }
    }

    /// The length of its payload.
    pub(super) fn len(&self) -> usize {
        match self.shape {
            Shape::Batch { envelopes } => envelopes as usize * Record::LEN,
            Shape::Single { bytes } => bytes,
        }
    }

    /// The letter as it goes to one peer, whose first record is this one.
    pub(super) fn payload(&self, first: Record) -> Payload {
        let mut body = BytesMut::with_capacity(self.len());
        for place in 0..self.envelopes() as usize {
            Record { number: first.number + place, ..first }.write(&mut body);
        }
        body.resize(self.len(), 0);
        let body = body.freeze();
        match self.shape {
            Shape::Batch { envelopes } => Payload::Batch { envelopes, body },
            Shape::Single { .. } => Payload::Single { to: self.to, msg_id: 0, msg: body },
        }
    }
}

/// One envelope: the process that wrote it, whom it is for, and its number among those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) writer: u64,
    pub(super) to: Pid,
    pub(super) number: usize,
}

impl Record {
    pub(super) const LEN: usize = 20;

    fn write(self, body: &mut BytesMut) {
        body.put_u64(self.writer);
        body.put_u32(self.to.as_u32());
        body.put_u64(self.number as u64);
    }

    fn read(body: &mut Bytes) -> Self {
        let writer = body.get_u64();
        let to = Pid::new(body.get_u32());
        let number = usize::try_from(body.get_u64()).unwrap();
        Self { writer, to, number }
    }

    /// All that a payload holds.
    pub(super) fn all(payload: &Payload) -> Vec<Self> {
        let mut body = payload.clone().into_body();
        (0..payload.envelopes()).map(|_| Self::read(&mut body)).collect()
    }
}
