//! From an envelope to the links of those whom it is for.

use std::time::Duration;

use super::Output;
use crate::counters::add;
use crate::envelope::{Envelope, Pid, Recipient};
use crate::event::{Event, Reason};
use crate::frame::Payload;
use crate::link::{FRAME_OVERHEAD, GivenUp, LaneId, Room};
use crate::output::outbox::Needed;
use crate::output::packer::{Addressee, Fit};
use crate::output::peer_sender::PeerSender;

/// What became of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dispatched {
    /// It travels with others, or has come back.
    Gathered,
    /// It travels alone.
    Alone,
    /// It travels with others, but not with those that have been gathered.
    Next,
    /// It waits until somebody has room.
    Waits(Needed),
}

impl Output {
    /// Finds out how much there is room for, at everybody or at one peer, if it is one.
    pub(super) fn measure_rooms(&mut self, peer: Option<Pid>, lane: LaneId, now: Duration) {
        let peers = &self.setup.peers;
        let one = |peer| peers.place(peer).map_or(0..0, |at| at..at + 1);
        self.somebody_is_away = false;
        for peer in peer.map_or(0..peers.len(), one) {
            let link = &self.setup.peers[peer].link;
            let limit = self.packer.limit(peer, link.max_batch().unwrap_or(usize::MAX));
            self.rooms[peer] = link.room(limit + FRAME_OVERHEAD, lane, now);
            self.somebody_is_away |= !link.has_listener(now);
        }
        self.packer.share_limits();
        self.somebody_waits = self.rooms.contains(&Room::Wait);
    }

    pub(super) fn dispatch(
        &mut self,
        envelope: &Envelope,
        lane: LaneId,
        now: Duration,
    ) -> Dispatched {
        let Some(addressee) = self.setup.peers.addressee(envelope.to) else {
            self.return_unaddressed(envelope.clone());
            return Dispatched::Gathered;
        };
        if envelope.delivery.bound && !self.is_for_listener(envelope, addressee, now) {
            return self.dispatch_bound(envelope, addressee, lane, now);
        }
        if envelope.delivery.or_return && self.somebody_is_away {
            self.look_for_those_away(lane, now);
        }
        match self.packer.fit(envelope.msg.len(), addressee) {
            Fit::Full => Dispatched::Next,
            Fit::Single => {
                self.flush(lane, now);
                self.dispatch_alone(envelope, addressee, lane, now)
            }
            Fit::Batch if self.must_wait(envelope, addressee) => Dispatched::Waits(Needed::Batch),
            Fit::Batch => {
                self.packer.push(envelope, addressee);
                Dispatched::Gathered
            }
        }
    }

    /// If the application has heard that a peer is there, the input thread has told so before.
    fn look_for_those_away(&mut self, lane: LaneId, now: Duration) {
        if self.setup.feedback.is_empty() {
            return;
        }
        self.flush(lane, now);
        self.take_feedback(now);
        self.measure_rooms(None, lane, now);
    }

    /// Whether somebody has no room for a batch with this envelope in it.
    fn must_wait(&self, envelope: &Envelope, addressee: Addressee) -> bool {
        let full = match addressee {
            Addressee::All => self.somebody_waits,
            Addressee::One(peer) => self.rooms[peer] == Room::Wait,
        };
        full && !envelope.delivery.or_return
    }

    /// Whether an envelope for one process is for the one that speaks for its peer, and is there.
    fn is_for_listener(&self, envelope: &Envelope, addressee: Addressee, now: Duration) -> bool {
        let Addressee::One(peer) = addressee else { return false };
        let link = &self.setup.peers[peer].link;
        link.speaker() == envelope.session.process() && link.has_listener(now)
    }

    /// Sends an envelope for one process that is not known, or not there.
    fn dispatch_bound(
        &mut self,
        envelope: &Envelope,
        addressee: Addressee,
        lane: LaneId,
        now: Duration,
    ) -> Dispatched {
        self.flush(lane, now);
        // If the application has heard of the process, the input thread has told so before. That it
        // has ended shows in the next turn.
        self.take_feedback(now);
        self.dispatch_alone(envelope, addressee, lane, now)
    }

    fn dispatch_alone(
        &mut self,
        envelope: &Envelope,
        addressee: Addressee,
        lane: LaneId,
        now: Duration,
    ) -> Dispatched {
        let bytes = envelope.msg.len();
        let waits = |peer: &PeerSender| {
            peer.link.room(bytes, lane, now) == Room::Wait && !peer.is_too_late_for(envelope)
        };
        let may_wait = bytes <= self.setup.max_message && !envelope.delivery.or_return;
        if may_wait && self.setup.peers.all_of(addressee).iter().any(waits) {
            return Dispatched::Waits(Needed::Bytes(bytes));
        }
        self.push_alone(envelope, addressee, lane, now);
        Dispatched::Alone
    }

    /// Sends an envelope as a payload of its own, whether there is room or not.
    pub(super) fn push_alone(
        &mut self,
        envelope: &Envelope,
        addressee: Addressee,
        lane: LaneId,
        now: Duration,
    ) {
        let (max_message, bytes) = (self.setup.max_message, envelope.msg.len());
        let Envelope { to, session, msg_id, ref msg, delivery, role, .. } = *envelope;
        for peer in self.setup.peers.all_of_mut(addressee) {
            let (role, msg) = (role.sent(), msg.clone());
            let payload = Payload::Single { to, msg_id, role, msg, delivery };
            let bound_to = if delivery.bound { session.process() } else { peer.link.speaker() };
            if bytes > max_message {
                peer.link.refuse(GivenUp { payload, reason: Reason::TooLarge, bound_to });
            } else if peer.is_too_late_for(envelope) {
                peer.link.refuse(GivenUp { payload, reason: Reason::Restarted, bound_to });
            } else {
                let room = peer.link.room(bytes, lane, now);
                peer.push(payload, lane, bound_to, room, now);
            }
        }
    }

    pub(super) fn return_unaddressed(&mut self, mut envelope: Envelope) {
        let Recipient::Peer(peer) = envelope.to else { return };
        add(&self.setup.counters.no_such_peer, 1);
        envelope.from = self.setup.own;
        envelope.role = envelope.role.sent();
        let were = self.setup.peers.were(peer);
        let reason = if were { Reason::Removed } else { Reason::NoSuchPeer };
        if self.setup.questions.has_told_asker(peer, &envelope, reason) {
            return;
        }
        self.setup.events.emit(Event::Undeliverable { peer, envelope, reason });
    }

    pub(super) fn flush(&mut self, lane: LaneId, now: Duration) {
        let (peers, rooms) = (&mut self.setup.peers, &self.rooms);
        self.packer.flush(|at, payload| {
            // Whether there was room when it was gathered: what waits for nobody is not to find
            // some where others have to wait.
            let bound_to = peers[at].link.speaker();
            peers[at].push(payload, lane, bound_to, rooms[at], now);
        });
    }
}
