//! What the simulation looks at.

use super::{BoundedInbox, Input};
use crate::envelope::Pid;
use crate::frame::Incarnation;
use crate::link::Presence;

impl Input {
    /// Whether there is room in the inbox.
    pub(crate) fn has_room(&self) -> bool {
        self.setup.inbox.as_ref().is_some_and(BoundedInbox::has_room)
    }

    pub(crate) fn is_inbox_open(&self) -> bool {
        self.setup.inbox.is_some()
    }

    /// For each peer, the process that speaks for it, and how it stands.
    pub(crate) fn speakers(&self) -> impl Iterator<Item = (Pid, Option<u64>, Presence)> + '_ {
        self.setup.peers.iter().map(|peer| {
            let speaker = peer.link.speaker().map(Incarnation::to_wire);
            (peer.pid(), speaker, peer.link.presence())
        })
    }
}
