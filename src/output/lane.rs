//! One peer, as the output thread sees it.

use std::io;
use std::time::Duration;

use crate::counters::{EventSink, Ledger};
use crate::envelope::{Envelope, Pid};
use crate::event::{Event, Reason, Rejection};
use crate::frame::Payload;
use crate::link::{Heard, Outgoing, Room};
use crate::report::PeerReport;
use crate::socket::{Context, Destination, Outlet};
use crate::wire::Envelopes;

/// How long a socket goes on sending the last words, at most: the peer is there, so it takes no time.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The sending half of the link to one peer, and the socket its frames go through.
pub(crate) struct Lane {
    own: Pid,
    pub(crate) peer: Pid,
    destination: Destination,
    outgoing: Outgoing,
    outlet: Outlet,
}

impl Lane {
    pub(crate) fn new(
        own: Pid,
        peer: Pid,
        destination: Destination,
        outgoing: Outgoing,
        outlet: Outlet,
    ) -> Self {
        Self { own, peer, destination, outgoing, outlet }
    }

    /// Whether there is room for a payload of `bytes`.
    pub(crate) fn room(&self, bytes: usize, now: Duration) -> Room {
        self.outgoing.room(bytes, now)
    }

    /// Takes a payload: to be sent if there is room for it, else to be reported.
    pub(crate) fn push(&mut self, payload: Payload, now: Duration) {
        match self.outgoing.room(payload.len(), now) {
            Room::Refuse(reason) => self.outgoing.refuse(payload, reason),
            Room::Yes | Room::Wait => self.outgoing.push(payload),
        }
    }

    /// Takes a payload that this server itself does not send.
    pub(crate) fn refuse(&mut self, payload: Payload, reason: Reason) {
        self.outgoing.refuse(payload, reason);
    }

    pub(crate) fn say_goodbye(&mut self) {
        self.outgoing.say_goodbye();
    }

    pub(crate) fn awaits_nothing(&self) -> bool {
        self.outgoing.awaits_nothing()
    }

    pub(crate) fn handle_heard(&mut self, heard: &Heard) -> Result<(), Rejection> {
        self.outgoing.handle_heard(heard)
    }

    pub(crate) fn forgive(&mut self, pause: Duration) {
        self.outgoing.forgive(pause);
    }

    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        self.outgoing.poll_timeout(now)
    }

    /// Sends what there is to send. A socket that takes nothing any more is replaced.
    pub(crate) fn transmit(&mut self, context: &Context, now: Duration) {
        if self.outgoing.wants_renewal(now) {
            self.renew(context, now);
        }
        while let Some(frame) = self.outgoing.poll_transmit(now) {
            if self.outlet.send(frame).is_err() {
                return self.renew(context, now);
            }
        }
    }

    /// Replaces the socket. When the process has no room for another, the old one has to do until the
    /// next time.
    fn renew(&mut self, context: &Context, now: Duration) {
        if let Ok(outlet) = Outlet::connect(context, &self.destination) {
            self.outlet = outlet;
        }
        self.outgoing.handle_renewal(now);
    }

    /// Tells the application what has been given up, as far as it listens.
    pub(crate) fn report_dropped(&mut self, events: &EventSink) {
        while let Some((payload, reason)) = self.outgoing.poll_dropped() {
            let mut left = payload.envelopes();
            for envelope in Envelopes::new(payload, self.own, self.peer) {
                if events.is_full() {
                    events.count_missed(left);
                    break;
                }
                left -= 1;
                events.emit(Event::Undeliverable { peer: self.peer, envelope, reason });
            }
        }
    }

    pub(crate) fn publish(&self, ledger: &Ledger, now: Duration) {
        ledger.write(&self.outgoing.stats(now));
    }

    /// Says that this process ends, and tells what the peer has not acknowledged.
    pub(crate) fn end(mut self, now: Duration) -> PeerReport {
        let linger = if self.outgoing.has_listener(now) { LAST_WORDS } else { Duration::ZERO };
        if !self.outgoing.is_finished() && !linger.is_zero() {
            // The last words only spare the peer a wait; nobody is left to hear that they failed.
            let _: io::Result<()> = self.outlet.send(self.outgoing.last_words(now));
        }
        self.outlet.close(linger);
        let envelopes = |payload| Envelopes::new(payload, self.own, self.peer);
        let undelivered: Vec<Envelope> =
            self.outgoing.into_undelivered().flat_map(envelopes).collect();
        PeerReport { pid: self.peer, undelivered }
    }
}
