//! What the input thread knows between two turns, so that the model can go on from any state.

use std::time::Duration;

use super::{Input, peer_receiver};
use crate::envelope::Envelope;
use crate::input::bounded_inbox::Put;
use crate::lifecycle::Stage;

/// An input thread with one peer, without its channels and without the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    pub(crate) peer: peer_receiver::Snapshot,
    pub(crate) stage: Stage,
    /// Whether the inbox has not ended.
    pub(crate) open: bool,
    /// Whether only partings are left to wait for.
    pub(crate) parting: bool,
}

impl Input {
    /// What it knows, as if all of it had happened right now.
    pub(crate) fn snapshot(&self, now: Duration) -> Snapshot {
        Snapshot {
            peer: self.setup.peers[0].snapshot(now),
            stage: self.stage,
            open: self.setup.inbox.is_some(),
            parting: self.parting_since.is_some(),
        }
    }

    /// Goes on from a snapshot, with these envelopes still in the inbox.
    pub(crate) fn resume(
        &mut self,
        snapshot: &Snapshot,
        waiting: impl Iterator<Item = Envelope>,
        now: Duration,
    ) {
        self.setup.peers[0].resume(&snapshot.peer);
        self.stage = snapshot.stage;
        self.parting_since = snapshot.parting.then_some(now);
        let put = self.setup.inbox.as_mut().map(|inbox| inbox.put_all(waiting));
        assert!(matches!(put, Some(Put::All)), "{put:?}");
        if !snapshot.open {
            self.setup.inbox = None;
        }
    }

    /// The stages of the output thread that it has not taken yet.
    pub(crate) fn pending_control(&self) -> Vec<Stage> {
        self.setup.control.try_iter().collect()
    }
}
