//! One peer, as the output thread sees it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::asker::Questions;
use crate::counters::{PeerCounters, add};
use crate::envelope::{Envelope, Pid};
use crate::event::{Event, EventSink, Reason};
use crate::frame::{Frame, Incarnation, Payload};
use crate::key::{Keyring, PublicKey};
use crate::link::{Ends, GivenUp, LaneId, Outgoing, Room};
use crate::output::stall::{Change, Stall};
use crate::report::PeerReport;
use crate::session::Session;
use crate::stats::PeerStats;
use crate::trace::{self, Renewal};
use crate::transport::{Outlet, Resolved};
use crate::wire::{self, Envelopes, Run, runs_by_delivery};

/// How long the last words may still be sent, at most: the peer is there, so it takes no time.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The sending half of the link to one peer, and the way its frames go.
pub(crate) struct PeerSender {
    pub(crate) link: Outgoing,
    outlet: Box<dyn Outlet>,
    /// For how the peer stands.
    standings: EventSink,
    /// Those that are put to it.
    questions: Arc<Questions>,
    counters: Arc<PeerCounters>,
    stall: Stall,
}

impl PeerSender {
    /// A peer that holds an outbox up for longer than the `patience` is told of as stalled.
    pub(crate) fn new(
        link: Outgoing,
        outlet: Box<dyn Outlet>,
        standings: EventSink,
        questions: Arc<Questions>,
        counters: Arc<PeerCounters>,
        patience: Duration,
    ) -> Self {
        Self { link, outlet, standings, questions, counters, stall: Stall::new(patience) }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.link.ends().peer
    }

    /// The process that speaks for the peer, once one was heard.
    fn session(&self) -> Option<Session> {
        self.link.speaker().map(Session::of)
    }

    /// Takes a payload from one of the outboxes: to be sent if there is room for it, else to be
    /// reported. What is for one process only is for that of `bound_to`.
    pub(crate) fn push(
        &mut self,
        payload: Payload,
        lane: LaneId,
        bound_to: Option<Incarnation>,
        room: Room,
        now: Duration,
    ) {
        let there = self.link.has_listener(now);
        if !payload.is_bound() || there && room == Room::Yes {
            return self.push_waiting(payload, lane, bound_to, room, now);
        }
        let reason = match room {
            Room::Refuse(reason) => reason,
            Room::Wait if there => Reason::WindowFull,
            Room::Wait | Room::Yes => Reason::PeerDown,
        };
        for Run { payload, meets } in runs_by_delivery(payload, |delivery| delivery.or_return) {
            if meets {
                self.link.refuse(GivenUp { payload, reason, bound_to });
            } else {
                self.push_waiting(payload, lane, bound_to, room, now);
            }
        }
    }

    /// Takes what may wait until there is room.
    fn push_waiting(
        &mut self,
        payload: Payload,
        lane: LaneId,
        bound_to: Option<Incarnation>,
        room: Room,
        now: Duration,
    ) {
        match room {
            Room::Refuse(reason) => self.link.refuse(GivenUp { payload, reason, bound_to }),
            Room::Yes | Room::Wait => self.link.push(payload, lane, bound_to, now),
        }
    }

    /// Whether an envelope is for a process that speaks for the peer no more.
    pub(crate) fn is_too_late_for(&self, envelope: &Envelope) -> bool {
        let process = envelope.session.process();
        let gone = self.link.speaker().is_some() && self.link.speaker() != process;
        envelope.delivery.bound && (gone || process.is_none())
    }

    /// Whether the peer holds an outbox up, and what is to be told of that.
    pub(crate) fn note_stall(&mut self, holds_up: bool, now: Duration) {
        let up = self.link.is_up();
        match self.stall.update(holds_up, up, now) {
            Some(Change::Stalled) => {
                trace::stalled(self.pid(), self.session());
                self.standings.emit(Event::Stalled(self.pid()));
            }
            Some(Change::Flowing) => {
                trace::flowing(self.pid(), self.session(), self.stall.blocked(now));
                self.standings.emit(Event::Flowing(self.pid()));
            }
            None => {}
        }
    }

    /// Shows what is counted.
    pub(crate) fn publish(&self, now: Duration) {
        let stats = PeerStats { blocked: self.stall.blocked(now), ..self.link.stats(now) };
        self.counters.publish(stats, now);
        add(&self.counters.failed_lookups, self.outlet.take_failed_lookups());
    }

    /// Its events have their share among those of so many.
    pub(crate) fn share_events(&mut self, peers: usize) {
        self.standings.share_standings(peers);
    }

    /// The process did not run for `pause`: the silence was its own.
    pub(crate) fn handle_pause(&mut self, pause: Duration) {
        self.link.handle_pause(pause);
        self.stall.handle_pause(pause);
        self.outlet.handle_pause(pause);
    }

    /// Takes the addresses that the peer's name has.
    pub(crate) fn handle_addresses(&mut self, resolved: &Resolved) {
        self.outlet.handle_addresses(resolved);
    }

    /// Goes another way from now on.
    pub(crate) fn reroute(&mut self, outlet: Box<dyn Outlet>) {
        std::mem::replace(&mut self.outlet, outlet).close(Duration::ZERO);
        trace::renewed(self.pid(), &Renewal::Moved);
        self.link.handle_renewal();
    }

    /// Goes by these keys from now on.
    pub(crate) fn handle_keys(&mut self, keys: &Arc<Keyring>, now: Duration) {
        if self.outlet.handle_keys(keys) {
            self.renew(&Renewal::Keys, now);
        }
    }

    /// The peer has proved to have this key.
    pub(crate) fn handle_proof(&mut self, key: PublicKey, now: Duration) {
        if self.outlet.handle_proof(key) {
            self.renew(&Renewal::OtherKey, now);
        }
    }

    /// The peer is none any more. It is told goodbye, and the application what comes back; the link is
    /// left.
    pub(crate) fn retire(mut self, now: Duration, events: &mut EventSink) -> Outgoing {
        let goodbye = self.link.retire(now);
        let linger = if goodbye.is_empty() { Duration::ZERO } else { LAST_WORDS };
        // They only spare the peer a wait.
        goodbye.into_iter().for_each(|frame| drop(self.send(frame)));
        self.publish(now);
        self.report(events);
        self.outlet.close(linger);
        self.link
    }

    /// Sends what there is to send. A connection that is stuck is replaced.
    pub(crate) fn transmit(&mut self, now: Duration) {
        if self.stuck_at().is_some_and(|due| now >= due) {
            let silence = now.saturating_sub(self.link.evidence());
            self.renew(&Renewal::Unconfirmed(silence), now);
        }
        let resent = self.link.resent();
        self.send_all(now);
        if self.link.resent() > resent {
            trace::resent(self.pid(), self.link.resent() - resent);
        }
    }

    fn send_all(&mut self, now: Duration) {
        let mut renewed = false;
        while let Some(frame) = self.link.poll_transmit(now) {
            let Err(error) = self.send(frame) else { continue };
            // The new connection takes what there is to say. If not, it is tried again later.
            if std::mem::replace(&mut renewed, true) {
                return;
            }
            self.renew(&Renewal::Broken(error), now);
        }
    }

    /// Hands a frame over, which may get lost.
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        let bytes = wire::frame_len(&frame);
        self.outlet.send(frame)?;
        add(&self.counters.bytes_sent, bytes);
        Ok(())
    }

    fn renew(&mut self, cause: &Renewal, now: Duration) {
        if self.outlet.renew(self.link.evidence(), now) {
            trace::renewed(self.pid(), cause);
        }
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
        let stalled = self.stall.due().filter(|_| self.link.is_up());
        [self.link.poll_timeout(now), self.stuck_at(), stalled].into_iter().flatten().min()
    }

    /// Tells the application what has been acknowledged, if it was to be told, and what has been
    /// given up, as far as it listens.
    pub(crate) fn report(&mut self, events: &mut EventSink) {
        let ends = self.link.ends();
        while let Some(payload) = self.link.poll_receipt() {
            let envelopes = returned(ends, payload, None);
            for envelope in envelopes.filter(|envelope| envelope.delivery.receipt) {
                let (peer, msg_id) = (ends.peer, envelope.msg_id);
                events.emit(Event::Acknowledged { peer, msg_id });
            }
        }
        while let Some(GivenUp { payload, reason, bound_to }) = self.link.poll_dropped() {
            for envelope in returned(ends, payload, bound_to) {
                if !self.questions.has_told_asker(ends.peer, &envelope, reason) {
                    events.emit(Event::Undeliverable { peer: ends.peer, envelope, reason });
                }
            }
        }
    }

    /// Says that this process ends, and tells what the peer has not acknowledged.
    pub(crate) fn end(mut self, now: Duration) -> PeerReport {
        let ends = self.link.ends();
        let heard = self.link.has_listener(now);
        if heard && !self.link.is_finished() {
            // The last words only spare the peer a wait; nobody is left to hear that they failed.
            let last_words = self.link.last_words(now);
            let _ = self.send(last_words);
        }
        self.outlet.close(if heard { LAST_WORDS } else { Duration::ZERO });
        let envelopes = |(payload, bound_to)| returned(ends, payload, bound_to);
        let undelivered: Vec<Envelope> = self.link.into_undelivered().flat_map(envelopes).collect();
        PeerReport { pid: ends.peer, undelivered }
    }
}

/// The envelopes of a payload, as the application put them in an outbox.
fn returned(ends: Ends, payload: Payload, bound_to: Option<Incarnation>) -> Envelopes {
    Envelopes::returned(payload, ends.own, ends.incarnation, ends.peer, bound_to)
}
