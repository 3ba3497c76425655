//! What the two threads of a child process tell each other of one peer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use raft_cluster::Pid;

use crate::SERVERS;
use crate::tally::Voice;

/// How a process stands with each server.
pub(crate) type Standings = [Standing; SERVERS];

#[derive(Default)]
pub(crate) struct Standing {
    /// How often the peer was taken out of the list; counted right before.
    removals: AtomicU32,
    /// How many of its messages were told to be missed until it was taken out last: it is counted
    /// anew when it is put back.
    missed: AtomicU64,
    /// How many messages have come back that were for it.
    returned: AtomicU64,
    /// How many should have come back, and have not.
    unreturned: AtomicU64,
    /// What was last heard of it.
    heard: AtomicU64,
}

impl Standing {
    pub(crate) fn note_removal(&self, missed: u64) {
        self.missed.fetch_add(missed, Ordering::SeqCst);
        self.removals.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn removals(&self) -> u32 {
        self.removals.load(Ordering::SeqCst)
    }

    pub(crate) fn missed_before(&self) -> u64 {
        self.missed.load(Ordering::SeqCst)
    }

    pub(crate) fn note_return(&self) {
        self.returned.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn returned(&self) -> u64 {
        self.returned.load(Ordering::SeqCst)
    }

    pub(crate) fn note_unreturned(&self, messages: u64) {
        self.unreturned.fetch_add(messages, Ordering::SeqCst);
    }

    pub(crate) fn unreturned(&self) -> u64 {
        self.unreturned.load(Ordering::SeqCst)
    }

    pub(crate) fn hear(&self, voice: Voice) {
        self.heard.store(voice.to_word(), Ordering::SeqCst);
    }

    pub(crate) fn heard(&self) -> Voice {
        Voice::from_word(self.heard.load(Ordering::SeqCst))
    }
}

/// The pid of a server, which is its place in the list, from 1 on.
pub(crate) fn pid_of(server: usize) -> Pid {
    Pid::new(server as u32 + 1)
}
