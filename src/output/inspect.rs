//! What the simulation, the fuzzer and the bench of the link look at.

#[cfg(test)]
use std::time::Duration;

use super::{Outbox, Output, Setup, Wait};
#[cfg(test)]
use crate::envelope::{Envelope, Pid};
#[cfg(feature = "internals")]
use crate::link::Outgoing;
#[cfg(test)]
use crate::wire::Envelopes;

impl Output {
    /// Whether what a turn waits for has come, but for the end of a channel.
    pub(crate) fn is_ready(&self, wait: Wait) -> bool {
        let filled = |outbox: &Outbox| outbox.source().is_some_and(|source| !source.is_empty());
        let Setup { feedback, new_outboxes, changes, .. } = &self.setup;
        let told = !feedback.is_empty() || !new_outboxes.is_empty() || !changes.is_empty();
        told || wait.outbox && self.outboxes.iter().any(filled)
    }

    /// The sending half of the link to each peer.
    #[cfg(feature = "internals")]
    pub(crate) fn links(&self) -> impl Iterator<Item = &Outgoing> {
        self.setup.peers.iter().map(|peer| &peer.link)
    }

    /// What each peer has acknowledged since the last time, in order.
    #[cfg(test)]
    pub(crate) fn take_acknowledged(&mut self) -> Vec<(Pid, Envelope)> {
        let mut acknowledged = Vec::new();
        for peer in self.setup.peers.iter_mut() {
            let ends = peer.link.ends();
            for payload in peer.link.take_acknowledged() {
                let envelopes =
                    Envelopes::returned(payload, ends.own, ends.incarnation, ends.peer, None);
                acknowledged.extend(envelopes.map(|envelope| (ends.peer, envelope)));
            }
        }
        acknowledged
    }

    /// Whether all that was put in the outboxes is taken.
    #[cfg(test)]
    pub(crate) fn is_drained(&self) -> bool {
        let empty = |outbox: &Outbox| !outbox.has_deferred() && outbox.fill().0 == 0;
        self.outboxes.iter().all(empty) && self.setup.new_outboxes.is_empty()
    }

    /// Whom the outbox waits for.
    #[cfg(test)]
    pub(crate) fn held_up_by(&self, now: Duration) -> Vec<Pid> {
        let holders = (0..self.setup.peers.len()).filter(|peer| self.holds_up(*peer, now));
        holders.map(|peer| self.setup.peers[peer].pid()).collect()
    }
}
