//! The ends of the outboxes that the output thread holds.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, TryRecvError, never};

use crate::envelope::{Envelope, Pid, Recipient};
use crate::link::LaneId;

/// An outbox, seen from the side that empties it.
#[derive(Debug)]
pub(crate) struct Outbox {
    envelopes: Receiver<Envelope>,
    /// The peer that all of it is for, whatever it says.
    pub(super) peer: Option<Pid>,
    pub(super) lane: LaneId,
    /// What was taken out and has to wait.
    deferred: VecDeque<Envelope>,
    /// What room the first of it waits for, if it does.
    pub(super) waits_for: Option<Needed>,
    has_ended: bool,
}

/// How much room an envelope needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    /// That of a batch.
    Batch,
    Bytes(usize),
}

impl Outbox {
    pub(crate) fn new(envelopes: Receiver<Envelope>, peer: Option<Pid>, lane: LaneId) -> Self {
        let deferred = VecDeque::new();
        Self { envelopes, peer, lane, deferred, waits_for: None, has_ended: false }
    }

    /// The next envelope, if there is one.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Envelope> {
        if let Some(envelope) = self.deferred.pop_front() {
            return Some(envelope);
        }
        match self.envelopes.try_recv() {
            Ok(envelope) => Some(addressed(envelope, self.peer)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.has_ended = true;
                None
            }
        }
    }

    /// Puts back what was taken out last.
    pub(super) fn put_back(&mut self, envelope: Envelope) {
        self.deferred.push_front(envelope);
    }

    /// The first envelope of those that wait.
    pub(super) fn first_deferred(&self) -> Option<&Envelope> {
        self.deferred.front()
    }

    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Whether all its senders are gone, and all that they sent is taken.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Closes it. What it holds is still to be sent, and what is put in while that is taken out; but
    /// who goes on sending must not keep it open. Returns how many envelopes are left in it: they are
    /// gone.
    pub(super) fn close(&mut self) -> usize {
        let most = 2 * self.envelopes.len().max(self.envelopes.capacity().unwrap_or_default());
        let peer = self.peer;
        let held = self.envelopes.try_iter().take(most);
        self.deferred.extend(held.map(|envelope| addressed(envelope, peer)));
        let left = self.envelopes.len();
        self.envelopes = never();
        left
    }

    /// Takes out all that waits.
    pub(super) fn take_deferred(&mut self) -> VecDeque<Envelope> {
        std::mem::take(&mut self.deferred)
    }

    /// Where the next envelope comes from, if none waits.
    pub(super) fn source(&self) -> Option<&Receiver<Envelope>> {
        self.deferred.is_empty().then_some(&self.envelopes)
    }

    /// How many envelopes it holds, of how many.
    pub(super) fn fill(&self) -> (usize, usize) {
        (self.envelopes.len(), self.envelopes.capacity().unwrap_or_default())
    }
}

/// The envelope, which is for this peer if there is one.
#[inline]
fn addressed(mut envelope: Envelope, peer: Option<Pid>) -> Envelope {
    if let Some(pid) = peer {
        envelope.to = Recipient::Peer(pid);
    }
    envelope
}
