//! The network on the way to one server.

use std::collections::VecDeque;
use std::time::Duration;

use raft_cluster::internals::Frame;

use crate::setup::PEER_TIMEOUT;

/// How many letters the network holds for each server.
pub const LETTERS: usize = 64;

/// What the network may deliver.
#[derive(Default)]
pub struct Letters {
    /// Oldest first.
    letters: VecDeque<Letter>,
    /// The last frame that was sent.
    last: Option<Frame>,
}

struct Letter {
    frame: Frame,
    sent: Duration,
}

impl Letters {
    pub fn post(&mut self, frame: Frame, now: Duration) {
        self.last = Some(frame.clone());
        self.letters.push_back(Letter { frame, sent: now });
        if self.letters.len() > LETTERS {
            self.letters.pop_front();
        }
    }

    /// Letters come within the peer timeout, or not at all.
    pub fn expire(&mut self, now: Duration) {
        self.letters.retain(|letter| now < letter.sent + PEER_TIMEOUT);
    }

    pub fn lose(&mut self) {
        self.letters.clear();
    }

    pub fn take(&mut self, place: u8, again: bool) -> Option<Frame> {
        let place = usize::from(place) % self.letters.len().max(1);
        if again {
            return self.letters.get(place).map(|letter| letter.frame.clone());
        }
        self.letters.remove(place).map(|letter| letter.frame)
    }

    /// A true frame to forge others from.
    pub fn sample(&self) -> Option<Frame> {
        self.last.clone()
    }
}
