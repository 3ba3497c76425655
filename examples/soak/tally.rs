//! What the processes tell each other.

use std::fmt;

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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// To go by another list of servers.
    Reconfigure { config: String },
    /// To say a last word, and end.
    Finish,
}

/// Who speaks for a server, and how often it had taken who hears it out of its list by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Voice {
    pub(crate) generation: u32,
    pub(crate) removals: u32,
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
    /// For a peer that was taken out of the list, and not come back.
    pub(crate) unreturned: u64,
    /// Again, or after what was sent later.
    pub(crate) repeated: u64,
    /// Of a process after its successor was heard.
    pub(crate) outdated: u64,
    /// Times that the accounts did not balance.
    pub(crate) unbalanced: u64,
    /// The most memory it has held, beyond what it had before its server started, in KiB.
    pub(crate) grown: u64,
    /// What was last heard of each server.
    pub(crate) heard: [Voice; SERVERS],
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
        self.unreturned += other.unreturned;
        self.repeated += other.repeated;
        self.outdated += other.outdated;
        self.unbalanced += other.unbalanced;
        self.grown = self.grown.max(other.grown);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.unreturned + self.repeated + self.outdated + self.unbalanced == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, resent, undelivered, missed, grown, .. } = self;
        let Self { lost, unreturned, repeated, outdated, unbalanced, .. } = self;
        write!(
            f,
            "sent {sent}, received {received}, resent {resent}, undelivered {undelivered}, missed \
             {missed}, at most {} MiB more memory; lost {lost}, not come back {unreturned}, \
             repeated or reordered {repeated}, outdated {outdated}, accounts unbalanced {unbalanced}",
            grown / 1024
        )
    }
}
