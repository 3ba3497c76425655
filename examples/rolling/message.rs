//! A message: its number, and something to fill it.

use raft_cluster::{Bytes, Envelope, Pid, Recipient};

/// The number of broadcasts before it, in bytes: so small is the smallest message.
const SMALLEST: usize = 8;

/// The largest of the usual ones, in bytes, and the largest of all, of which there is one in so
/// many.
const USUAL: usize = 64 << 10;
const LARGEST: usize = 1 << 20;
const ONE_IN: u32 = 2_000;

/// What a message says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) way: Way,
    /// The how manieth it is of the broadcasts of its sender, or of what was for this peer alone.
    pub(crate) number: u64,
    /// How many broadcasts were put in the outbox before it.
    pub(crate) broadcasts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Single,
    Broadcast,
}

impl Message {
    pub(crate) fn broadcast(number: u64, size: usize) -> Envelope {
        let message = Self { way: Way::Broadcast, number, broadcasts: number };
        Envelope::broadcast(message.encode(size)).with_id(number as i64)
    }

    pub(crate) fn single(to: Pid, number: u64, broadcasts: u64, size: usize) -> Envelope {
        let message = Self { way: Way::Single, number, broadcasts };
        Envelope::to(to, message.encode(size)).with_id(number as i64)
    }

    fn encode(&self, size: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(size);
        bytes.extend(self.broadcasts.to_le_bytes());
        bytes.resize(size.max(SMALLEST), self.filler());
        bytes.into()
    }

    /// What was encoded; none if it was damaged.
    pub(crate) fn decode(envelope: &Envelope) -> Option<Self> {
        let (broadcasts, filling) = envelope.msg.split_first_chunk::<SMALLEST>()?;
        let way = match envelope.to {
            Recipient::Broadcast => Way::Broadcast,
            Recipient::Peer(_) => Way::Single,
        };
        let number = u64::try_from(envelope.msg_id).ok()?;
        let message = Self { way, number, broadcasts: u64::from_le_bytes(*broadcasts) };
        filling.iter().all(|byte| *byte == message.filler()).then_some(message)
    }

    fn filler(&self) -> u8 {
        self.number.to_le_bytes()[0]
    }
}

/// Small ones are as frequent as large ones of each order.
pub(crate) fn draw_size(random: &mut fastrand::Rng) -> usize {
    if random.u32(0..ONE_IN) == 0 {
        return LARGEST;
    }
    let orders = (USUAL / SMALLEST).ilog2();
    let order = random.u32(0..=orders);
    random.usize(SMALLEST..=SMALLEST << order)
}
