//! One peer, as the output thread sees it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::envelope::{Envelope, Pid};
use crate::event::{Event, EventSink};
use crate::frame::Payload;
use crate::link::{Outgoing, Room};
use crate::report::PeerReport;
use crate::transport::Outlet;
use crate::wire::Envelopes;

/// How long the last words may still be sent, at most: the peer is there, so it takes no time.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The sending half of the link to one peer, and the way its frames go.
pub(crate) struct PeerSender {
    pub(crate) link: Outgoing,
    outlet: Box<dyn Outlet>,
}

impl PeerSender {
    pub(crate) fn new(link: Outgoing, outlet: Box<dyn Outlet>) -> Self {
        Self { link, outlet }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.link.ends().peer
    }

    /// Takes a payload: to be sent if there is room for it, else to be reported.
    pub(crate) fn push(&mut self, payload: Payload, now: Duration) {
        match self.link.room(payload.len(), now) {
            Room::Refuse(reason) => self.link.refuse(payload, reason),
            Room::Yes | Room::Wait => self.link.push(payload),
        }
    }

    /// The process did not run for `pause`: the silence was its own.
    pub(crate) fn handle_pause(&mut self, pause: Duration) {
        self.link.handle_pause(pause);
        self.outlet.handle_pause(pause);
    }

    /// Takes the addresses that the peer's name has.
    pub(crate) fn handle_addresses(&mut self, addresses: &[SocketAddr]) {
        self.outlet.handle_addresses(addresses);
    }

    /// Sends what there is to send. A connection that is stuck is replaced.
    pub(crate) fn transmit(&mut self, now: Duration) {
        if self.stuck_at().is_some_and(|due| now >= due) {
            self.renew(now);
        }
        while let Some(frame) = self.link.poll_transmit(now) {
            if self.outlet.send(frame).is_err() {
                return self.renew(now);
            }
        }
    }

    fn renew(&mut self, now: Duration) {
        self.outlet.renew(self.link.evidence(), now);
        self.link.handle_renewal();
    }

    /// When the connection is to be replaced, unless the peer confirms something by then.
    fn stuck_at(&self) -> Option<Duration> {
        if self.link.is_resting() {
            return None;
        }
        self.outlet.stuck_at(self.link.evidence())
    }

    /// When to [transmit](Self::transmit) again although nothing has come in.
    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        [self.link.poll_timeout(now), self.stuck_at()].into_iter().flatten().min()
    }

    /// Tells the application what has been given up, as far as it listens.
    pub(crate) fn report_dropped(&mut self, events: &mut EventSink) {
        let ends = self.link.ends();
        while let Some((payload, reason)) = self.link.poll_dropped() {
            let mut left = payload.envelopes();
            for envelope in Envelopes::new(payload, ends.own, ends.peer) {
                if !events.has_room(envelope.msg.len()) {
                    events.count_missed(left);
                    break;
                }
                left -= 1;
                events.emit(Event::Undeliverable { peer: ends.peer, envelope, reason });
            }
        }
    }

    /// Says that this process ends, and tells what the peer has not acknowledged.
    pub(crate) fn end(mut self, now: Duration) -> PeerReport {
        let ends = self.link.ends();
        let heard = self.link.has_listener(now);
        if heard && !self.link.is_finished() {
            // The last words only spare the peer a wait; nobody is left to hear that they failed.
            let _ = self.outlet.send(self.link.last_words(now));
        }
        self.outlet.close(if heard { LAST_WORDS } else { Duration::ZERO });
        let envelopes = |payload| Envelopes::new(payload, ends.own, ends.peer);
        let undelivered: Vec<Envelope> = self.link.into_undelivered().flat_map(envelopes).collect();
        PeerReport { pid: ends.peer, undelivered }
    }
}
