//! What the simulation, the fuzzer and the bench of the link look at.

#[cfg(test)]
use std::time::Duration;

use super::{Output, Wait};
#[cfg(test)]
use crate::envelope::Pid;
use crate::link::Outgoing;
#[cfg(test)]
use crate::link::{FRAME_OVERHEAD, Room};

impl Output {
    /// Whether what a turn waits for has come, but for the end of a channel.
    pub(crate) fn is_ready(&self, wait: Wait) -> bool {
        !self.setup.feedback.is_empty() || wait.outbox && !self.setup.outbox.is_empty()
    }

    /// The sending half of the link to each peer.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Outgoing> {
        self.setup.peers.iter().map(|peer| &peer.link)
    }

    /// Whom the outbox waits for.
    #[cfg(test)]
    pub(crate) fn held_up_by(&self, now: Duration) -> Vec<Pid> {
        let bytes = self.packer.max_batch() + FRAME_OVERHEAD;
        let waits = |link: &&Outgoing| link.room(bytes, now) == Room::Wait;
        self.links().filter(waits).map(|link| link.ends().peer).collect()
    }
}
