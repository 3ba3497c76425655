//! A message: who sends it, how things stand with each receiver, and something to fill it.

use raft_cluster::Bytes;

use crate::SERVERS;
use crate::tally::Voice;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) generation: u32,
    pub(crate) kind: Kind,
    /// For each server.
    pub(crate) accounts: [Account; SERVERS],
}

/// How its sender stands with a server when a message is put in the outbox.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// The number of the message, of all that are for this server; or of the next one that is.
    pub(crate) place: u64,
    /// How many of those before it have been acknowledged, at least.
    pub(crate) acknowledged: u64,
    /// How often the sender has taken this server out of its list.
    pub(crate) removals: u32,
    /// What the sender has last heard of this server.
    pub(crate) heard: Voice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Traffic,
    /// Nothing follows.
    LastWord,
}

impl Stamp {
    pub(crate) const LEN: usize = 8 + Account::LEN * SERVERS;

    /// The message, with so many bytes to fill it.
    pub(crate) fn encode(&self, filling: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(Self::LEN + filling);
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(u32::from(self.kind == Kind::LastWord).to_le_bytes());
        self.accounts.iter().for_each(|account| bytes.extend(account.encode()));
        bytes.resize(Self::LEN + filling, self.filler());
        bytes.into()
    }

    /// What was encoded; none if it was damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (stamp, filling) = bytes.split_first_chunk::<{ Self::LEN }>()?;
        let (head, encoded) = stamp.split_first_chunk::<8>()?;
        let mut accounts = [Account::default(); SERVERS];
        for (account, bytes) in accounts.iter_mut().zip(encoded.chunks_exact(Account::LEN)) {
            *account = Account::decode(bytes)?;
        }
        let (generation, kind) = halves(u64::from_le_bytes(*head));
        let kind = if kind == 0 { Kind::Traffic } else { Kind::LastWord };
        let stamp = Self { generation, kind, accounts };
        filling.iter().all(|byte| *byte == stamp.filler()).then_some(stamp)
    }

    fn filler(&self) -> u8 {
        self.accounts.iter().fold(0, |sum, account| sum ^ account.place.to_le_bytes()[0])
    }
}

impl Account {
    const LEN: usize = 4 * 8;

    fn encode(&self) -> [u8; Self::LEN] {
        let Self { place, acknowledged, removals, heard } = *self;
        let words = [place, acknowledged, u64::from(removals), heard.to_word()];
        let mut bytes = [0; Self::LEN];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = [0; Self::LEN / 8];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        let [place, acknowledged, removals, heard] = words;
        let (removals, _) = halves(removals);
        Some(Self { place, acknowledged, removals, heard: Voice::from_word(heard) })
    }
}

impl Voice {
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.removals) << 32 | u64::from(self.generation)
    }

    pub(crate) fn from_word(word: u64) -> Self {
        let (generation, removals) = halves(word);
        Self { generation, removals }
    }
}

/// The lower and the upper half.
fn halves(word: u64) -> (u32, u32) {
    ((word & u64::from(u32::MAX)) as u32, (word >> 32) as u32)
}
