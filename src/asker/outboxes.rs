//! The outboxes by which questions and answers go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;

use crate::asker::Questions;
use crate::envelope::{Envelope, Pid};
use crate::server::outboxes::Outboxes;

/// What goes to one peer.
#[derive(Clone, Debug)]
pub(super) struct PeerOutboxes {
    pub(super) questions: Sender<Envelope>,
    pub(super) answers: Sender<Envelope>,
}

/// Two outboxes for each peer, which last as long as this.
#[derive(Debug)]
pub(super) struct AskerOutboxes {
    outboxes: Arc<Outboxes>,
    opened: Mutex<HashMap<Pid, PeerOutboxes>>,
}

impl AskerOutboxes {
    /// Opens those to these peers.
    pub(super) fn new(outboxes: Arc<Outboxes>, peers: &[Pid]) -> Self {
        let opened = peers.iter().map(|peer| (*peer, PeerOutboxes::open(&outboxes, *peer)));
        let opened = Mutex::new(opened.collect());
        Self { outboxes, opened }
    }

    /// Those to one peer. If it was added since, they are opened now, and those to peers that were
    /// removed are closed.
    pub(super) fn to(&self, peer: Pid, questions: &Questions) -> PeerOutboxes {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outboxes) = opened.get(&peer) {
            return outboxes.clone();
        }
        opened.retain(|peer, _| questions.lists(*peer));
        opened.entry(peer).or_insert_with(|| PeerOutboxes::open(&self.outboxes, peer)).clone()
    }
}

impl PeerOutboxes {
    fn open(outboxes: &Outboxes, peer: Pid) -> Self {
        Self { questions: outboxes.open(peer), answers: outboxes.open(peer) }
    }
}
