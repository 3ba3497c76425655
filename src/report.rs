//! What the ending of a server left behind.

use std::io;

use crate::envelope::{Envelope, Pid};
use crate::stats::Stats;

/// What a server left behind when it ended, out of [`Server::join`](crate::Server::join) and
/// [`Server::shutdown`](crate::Server::shutdown).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// For each peer, in the order of the configuration, what it did not acknowledge.
    pub peers: Vec<PeerReport>,
    /// The last counts.
    pub stats: Stats,
    /// Why the server ended by itself, if its own socket failed.
    pub failure: Option<io::Error>,
}

impl Report {
    /// Whether every message the server accepted was acknowledged by its recipient.
    pub fn all_acknowledged(&self) -> bool {
        self.undelivered() == 0
    }

    /// How many messages were not: those in this report, and those that came back as
    /// [`Event::Undeliverable`](crate::Event::Undeliverable) before.
    pub fn undelivered(&self) -> u64 {
        let stats = &self.stats;
        let peers = stats.peers.iter();
        stats.no_such_peer + peers.map(|peer| peer.accepted - peer.acknowledged).sum::<u64>()
    }
}

/// What one peer did not acknowledge.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerReport {
    /// The peer.
    pub pid: Pid,
    /// The envelopes that were accepted for it and never acknowledged, in the order they were put
    /// in the outbox. The peer may have received the first of them, if its acknowledgement was
    /// lost.
    pub undelivered: Vec<Envelope>,
}
