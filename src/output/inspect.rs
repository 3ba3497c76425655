//! What the simulation looks at.

use std::time::Duration;

use super::{Output, PeerSender, Wait};
use crate::envelope::Pid;
use crate::link::{FRAME_OVERHEAD, Room};

impl Output {
    /// Whether what a turn waits for has come, but for the end of a channel.
    pub(crate) fn is_ready(&self, wait: Wait) -> bool {
        !self.setup.feedback.is_empty() || wait.outbox && !self.setup.outbox.is_empty()
    }

    /// Whom the outbox waits for.
    pub(crate) fn held_up_by(&self, now: Duration) -> Vec<Pid> {
        let bytes = self.packer.max_batch() + FRAME_OVERHEAD;
        let waits = |peer: &&PeerSender| peer.link.room(bytes, now) == Room::Wait;
        self.setup.peers.iter().filter(waits).map(PeerSender::pid).collect()
    }
}
