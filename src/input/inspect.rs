//! What the simulation, the fuzzer and the bench of the link look at.

use super::{BoundedInbox, Input};
#[cfg(test)]
use crate::envelope::Pid;
#[cfg(test)]
use crate::frame::Incarnation;
use crate::link::Incoming;
#[cfg(test)]
use crate::link::Presence;

impl Input {
    /// Whether there is room in the inbox.
    pub(crate) fn has_room(&self) -> bool {
        self.setup.inbox.as_ref().is_some_and(BoundedInbox::has_room)
    }

    pub(crate) fn is_inbox_open(&self) -> bool {
        self.setup.inbox.is_some()
    }

    /// The receiving half of the link from each peer.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Incoming> {
        self.setup.peers.iter().map(|peer| &peer.link)
    }

    /// For each peer, the process that speaks for it, and how it stands.
    #[cfg(test)]
    pub(crate) fn speakers(&self) -> impl Iterator<Item = (Pid, Option<u64>, Presence)> + '_ {
        self.links().map(|link| {
            let speaker = link.speaker().map(Incarnation::to_wire);
            (link.ends().peer, speaker, link.presence())
        })
    }
}
