//! What the processes tell each other.

use std::fmt;

use raft_cluster::Bytes;
use serde::{Deserialize, Serialize};

use crate::SERVERS;

/// What a child process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) config: String,
    /// Which server it is: its place among the servers, from 0 on.
    pub(crate) server: usize,
    /// Of all processes that were started, the how manieth it is.
    pub(crate) generation: u32,
    pub(crate) seed: u64,
}

/// What a child process is told later.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// To say a last word, and end.
    Finish,
}

/// What a child process has counted since its start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) resent: u64,
    /// Given up by this server, and told so.
    pub(crate) undelivered: u64,
    /// Given up by others, and told so.
    pub(crate) missed: u64,
    /// Missing without a word.
    pub(crate) lost: u64,
    /// Again, or after what was sent later.
    pub(crate) repeated: u64,
    /// Of a process after its successor was heard.
    pub(crate) outdated: u64,
    /// Times that the accounts did not balance.
    pub(crate) unbalanced: u64,
    /// The most memory it has held, beyond what it had before its server started, in KiB.
    pub(crate) grown: u64,
    /// Which generation of each server has said its last word here.
    pub(crate) last_words: [Option<u32>; SERVERS],
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.resent += other.resent;
        self.undelivered += other.undelivered;
        self.missed += other.missed;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.outdated += other.outdated;
        self.unbalanced += other.unbalanced;
        self.grown = self.grown.max(other.grown);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.repeated + self.outdated + self.unbalanced == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, resent, undelivered, missed, grown, .. } = self;
        let Self { lost, repeated, outdated, unbalanced, .. } = self;
        write!(
            f,
            "sent {sent}, received {received}, resent {resent}, undelivered {undelivered}, missed \
             {missed}, at most {} MiB more memory; lost {lost}, repeated or reordered {repeated}, \
             outdated {outdated}, accounts unbalanced {unbalanced}",
            grown / 1024
        )
    }
}

/// A message: who sends it, its number for each receiver, and something to fill it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) generation: u32,
    pub(crate) kind: Kind,
    pub(crate) places: [u64; SERVERS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Traffic,
    /// Nothing follows.
    LastWord,
}

impl Stamp {
    pub(crate) const LEN: usize = 8 + 8 * SERVERS;

    /// The message, with so many bytes to fill it.
    pub(crate) fn encode(&self, filling: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(Self::LEN + filling);
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(u32::from(self.kind == Kind::LastWord).to_le_bytes());
        self.places.iter().for_each(|place| bytes.extend(place.to_le_bytes()));
        bytes.resize(Self::LEN + filling, self.filler());
        bytes.into()
    }

    /// What was encoded; none if it was damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (stamp, filling) = bytes.split_first_chunk::<{ Self::LEN }>()?;
        let (head, numbers) = stamp.split_first_chunk::<8>()?;
        let mut places = [0; SERVERS];
        for (place, bytes) in places.iter_mut().zip(numbers.chunks_exact(8)) {
            *place = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        let head = u64::from_le_bytes(*head);
        let kind = if head >> 32 == 0 { Kind::Traffic } else { Kind::LastWord };
        let stamp = Self { generation: (head & u64::from(u32::MAX)) as u32, kind, places };
        filling.iter().all(|byte| *byte == stamp.filler()).then_some(stamp)
    }

    fn filler(&self) -> u8 {
        self.places.iter().fold(0, |sum, place| sum ^ place.to_le_bytes()[0])
    }
}
