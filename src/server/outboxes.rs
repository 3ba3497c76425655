//! Further outboxes, each for one peer.

use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::envelope::{Envelope, Pid};
use crate::link::LaneId;
use crate::output::Outbox;

/// The number of the one outbox that every server has.
pub(crate) const FIRST: LaneId = 0;

/// What it takes to give the application further outboxes.
#[derive(Debug)]
pub(crate) struct Outboxes {
    /// Takes their other ends to the output thread.
    ends: Sender<Outbox>,
    given: AtomicU32,
    /// How many envelopes each holds.
    capacity: usize,
}

impl Outboxes {
    /// Outboxes of this capacity, and where their other ends come out.
    pub(crate) fn new(capacity: usize) -> (Self, Receiver<Outbox>) {
        let (ends, receiver) = unbounded();
        (Self { ends, given: AtomicU32::new(FIRST), capacity }, receiver)
    }

    /// Opens one for a peer.
    pub(crate) fn open(&self, peer: Pid) -> Sender<Envelope> {
        let (outbox, end) = bounded(self.capacity);
        let lane = self.given.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        // A server that is ending takes no more: the outbox is closed then.
        let _ = self.ends.send(Outbox::new(end, Some(peer), lane));
        outbox
    }
}
