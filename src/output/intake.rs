//! From the outboxes into the hands of the output thread, and how it is held up there.

use std::time::Duration;

use crossbeam_channel::{TryRecvError, never};

use super::Output;
use crate::counters::add;
use crate::envelope::Recipient;
use crate::idle::back_off;
use crate::lifecycle::Step;
use crate::link::{FRAME_OVERHEAD, LEFTOVERS, Room};
use crate::output::dispatch::Dispatched;
use crate::output::outbox::{Needed, Outbox};
use crate::output::sizes::MAX_BATCH;

/// From so many envelopes in one turn on, more are on their way: the outbox is given time to fill.
const STREAM: usize = 256;

/// A turn with fewer envelopes and bytes than this hardly pays.
const FEW: usize = 32;
const FEW_BYTES: usize = 16 * 1024;

/// How many bytes a turn takes, about, however many outboxes there are.
const TURN: usize = 4 * MAX_BATCH;

/// What a turn took from the outboxes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) envelopes: usize,
    bytes: usize,
    /// How many outboxes had something, and the place of the last that had.
    outboxes: usize,
    last: usize,
}

impl Taken {
    /// How many envelopes, if they were so few, and so small, that a turn might have taken more.
    pub(super) fn few(&self) -> Option<usize> {
        let few = (1..FEW).contains(&self.envelopes) && self.bytes < FEW_BYTES;
        few.then_some(self.envelopes)
    }
}

impl Output {
    /// Takes from each outbox what one frame holds, unless somebody has no room for it.
    pub(super) fn take_outboxes(&mut self, now: Duration) {
        self.taken = Taken::default();
        self.adopt_outboxes();
        // Whoever is first finds what room there is: each time another one.
        let first = self.next_outbox;
        self.next_outbox = first.wrapping_add(1);
        for place in 0..self.outboxes.len() {
            self.take_outbox(first.wrapping_add(place) % self.outboxes.len(), now);
            if self.taken.bytes >= TURN {
                self.next_outbox = first.wrapping_add(place + 1);
                break;
            }
        }
        self.remove_ended_outboxes(now);
        self.note_stalls(now);
    }

    fn adopt_outboxes(&mut self) {
        loop {
            match self.setup.new_outboxes.try_recv() {
                Ok(outbox) => self.outboxes.push(outbox),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.setup.new_outboxes = never(),
            }
        }
    }

    fn take_outbox(&mut self, at: usize, now: Duration) {
        let mut next = self.outboxes[at].next();
        if next.is_none() {
            return;
        }
        let (peer, lane) = (self.outboxes[at].peer, self.outboxes[at].lane);
        self.outboxes[at].waits_for = None;
        self.measure_rooms(peer, lane, now);
        let before = self.taken.envelopes;
        while let Some(envelope) = next.take() {
            let bytes = envelope.msg.len();
            let dispatched = self.dispatch(&envelope, lane, now);
            match dispatched {
                Dispatched::Gathered | Dispatched::Alone => {
                    self.taken.envelopes += 1;
                    self.taken.bytes += bytes;
                }
                Dispatched::Next => self.outboxes[at].put_back(envelope),
                Dispatched::Waits(needed) => {
                    self.outboxes[at].put_back(envelope);
                    self.outboxes[at].waits_for = Some(needed);
                }
            }
            if dispatched == Dispatched::Gathered {
                next = self.outboxes[at].next();
            }
        }
        self.flush(lane, now);
        if self.taken.envelopes > before {
            self.taken.outboxes += 1;
            self.taken.last = at;
        }
    }

    /// Forgets outboxes whose senders are gone. With the last one the server begins to leave.
    fn remove_ended_outboxes(&mut self, now: Duration) {
        if !self.outboxes.iter().any(Outbox::has_ended) {
            return;
        }
        self.outboxes.retain(|outbox| !outbox.has_ended());
        if self.outboxes.is_empty() && self.setup.new_outboxes.is_empty() {
            self.advance(Step::OutboxEnded, now);
        }
    }

    /// Closes the outboxes. What they hold now is still to be sent; who goes on sending must not
    /// keep them open.
    pub(super) fn close_outboxes(&mut self) {
        self.adopt_outboxes();
        self.setup.new_outboxes = never();
        let left: usize = self.outboxes.iter_mut().map(Outbox::close).sum();
        add(&self.setup.counters.discarded, left as u64);
    }

    /// Whether nothing waits that was taken from an outbox.
    pub(super) fn has_no_deferred(&self) -> bool {
        !self.outboxes.iter().any(Outbox::has_deferred)
    }

    /// Accepts what waits for room, whether there is some or not.
    pub(super) fn accept_deferred(&mut self, now: Duration) {
        for at in 0..self.outboxes.len() {
            for envelope in self.outboxes[at].take_deferred() {
                match self.setup.peers.addressee(envelope.to) {
                    Some(addressee) => self.push_alone(&envelope, addressee, LEFTOVERS, now),
                    None => self.return_unaddressed(envelope),
                }
            }
        }
    }

    /// While envelopes stream into one outbox, has them come in larger batches, and stays out of
    /// the application's way.
    pub(super) fn let_outbox_fill(&self) {
        let streams = self.taken.envelopes >= STREAM && self.taken.outboxes == 1;
        if let Some(outbox) = self.outboxes.get(self.taken.last).filter(|_| streams) {
            let (_, capacity) = outbox.fill();
            back_off(|| outbox.fill().0, capacity / 2);
        }
    }

    fn note_stalls(&mut self, now: Duration) {
        let waits = self.outboxes.iter().any(|outbox| outbox.waits_for.is_some());
        for at in 0..self.setup.peers.len() {
            let holds_up = waits && self.holds_up(at, now);
            self.setup.peers[at].note_stall(holds_up, now);
        }
    }

    /// Whether an outbox waits for this peer.
    pub(super) fn holds_up(&self, at: usize, now: Duration) -> bool {
        self.outboxes.iter().any(|outbox| self.waits_for(outbox, at, now))
    }

    /// Whether something that was taken from an outbox need not wait any more.
    pub(super) fn can_go_on(&self, now: Duration) -> bool {
        let peers = 0..self.setup.peers.len();
        let is_free = |outbox: &Outbox| !peers.clone().any(|at| self.waits_for(outbox, at, now));
        self.outboxes.iter().any(|outbox| outbox.has_deferred() && is_free(outbox))
    }

    /// Whether the first envelope that was taken from an outbox waits for room at this peer.
    fn waits_for(&self, outbox: &Outbox, at: usize, now: Duration) -> bool {
        let (Some(needed), Some(first)) = (outbox.waits_for, outbox.first_deferred()) else {
            return false;
        };
        let link = &self.setup.peers[at].link;
        let is_for_it = match first.to {
            Recipient::Peer(pid) => pid == link.ends().peer,
            Recipient::Broadcast => true,
        };
        let bytes = match needed {
            Needed::Batch => self.packer.limit_for(at) + FRAME_OVERHEAD,
            Needed::Bytes(bytes) => bytes,
        };
        is_for_it && link.room(bytes, outbox.lane, now) == Room::Wait
    }
}
