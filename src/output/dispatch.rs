//! From the outbox to the links of those whom an envelope is for.

use std::time::Duration;

use super::{Output, PeerSender};
use crate::counters::add;
use crate::envelope::{Envelope, Recipient};
use crate::event::{Event, Reason};
use crate::frame::Payload;
use crate::link::Room;

impl Output {
    pub(super) fn pack(&mut self, envelope: &Envelope) {
        match self.setup.peers.addressee(envelope.to) {
            Some(addressee) => self.packer.push(envelope, addressee),
            None => self.return_unaddressed(envelope.clone()),
        }
    }

    pub(super) fn return_unaddressed(&mut self, mut envelope: Envelope) {
        let Recipient::Peer(peer) = envelope.to else { return };
        add(&self.setup.counters.no_such_peer, 1);
        envelope.from = self.setup.own;
        let reason = Reason::NoSuchPeer;
        self.setup.events.emit(Event::Undeliverable { peer, envelope, reason });
    }

    /// Sends an envelope as a frame of its own, or hands it back to wait for room.
    pub(super) fn push_large(&mut self, envelope: Envelope, now: Duration) -> Option<Envelope> {
        let bytes = envelope.msg.len();
        let fits = bytes <= self.setup.max_message;
        let waits = |peer: &PeerSender| peer.link.room(bytes, now) == Room::Wait;
        if fits && self.setup.peers.recipients(envelope.to).iter().any(waits) {
            return Some(envelope);
        }
        self.push_single(envelope, now);
        None
    }

    pub(super) fn push_single(&mut self, envelope: Envelope, now: Duration) {
        if self.setup.peers.addressee(envelope.to).is_none() {
            return self.return_unaddressed(envelope);
        }
        let max_message = self.setup.max_message;
        let Envelope { to, msg_id, msg, .. } = envelope;
        for peer in self.setup.peers.recipients(to) {
            let payload = Payload::Single { to, msg_id, msg: msg.clone() };
            if msg.len() <= max_message {
                peer.push(payload, now);
            } else {
                peer.link.refuse(payload, Reason::TooLarge);
            }
        }
    }

    pub(super) fn flush(&mut self, now: Duration) {
        let peers = &mut self.setup.peers;
        self.packer.flush(|at, payload| peers[at].push(payload, now));
    }
}
