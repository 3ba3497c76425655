//! One peer, as the input thread sees it.

#[cfg(test)]
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use crate::asker::Questions;
use crate::counters::{PeerCounters, add};
use crate::envelope::{Envelope, Pid};
use crate::event::{Event, EventSink, Rejection};
use crate::feedback::News;
use crate::frame::Frame;
use crate::input::bounded_inbox::{BoundedInbox, Put};
use crate::key::PublicKey;
use crate::link::{Handled, Incoming, Presence, Sighting};
use crate::session::Session;
use crate::trace;
use crate::transport::ConnectionFailure;
use crate::wire::{self, Envelopes};
#[cfg(test)]
pub(crate) use snapshot::Snapshot;

/// The receiving half of the link from one peer, and the frame that is entering the inbox.
pub(crate) struct PeerReceiver {
    pub(crate) link: Incoming,
    events: EventSink,
    /// Those that were put to it.
    questions: Arc<Questions>,
    counters: Arc<PeerCounters>,
    /// The key that it has proved to have, and whether that is still to be told.
    proof: Option<(PublicKey, bool)>,
    entering: Option<Entering>,
}

/// What is left of the arrival at the front.
#[cfg_attr(test, derive(Clone, Debug))]
struct Entering {
    envelopes: Envelopes,
    /// The one that found no room.
    held: Option<Envelope>,
}

/// How far a peer's arrivals came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// A whole arrival, or its rest.
    One,
    /// There was nothing to enter.
    Nothing,
    /// The inbox has no room.
    Blocked,
    /// The application has dropped the inbox.
    Closed,
}

impl PeerReceiver {
    pub(crate) fn new(
        link: Incoming,
        events: EventSink,
        questions: Arc<Questions>,
        counters: Arc<PeerCounters>,
    ) -> Self {
        Self { link, events, questions, counters, proof: None, entering: None }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.link.ends().peer
    }

    /// The peer has proved to have this key.
    #[inline]
    pub(crate) fn note_proof(&mut self, key: PublicKey) {
        if self.proof.is_none_or(|(known, _)| known != key) {
            self.proof = Some((key, true));
        }
    }

    /// The key that the peer has proved to have is to be told again.
    pub(crate) fn forget_told_proof(&mut self) {
        self.proof = self.proof.map(|(key, _)| (key, true));
    }

    /// What the output thread does not know yet.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        if let Some((key, untold)) = &mut self.proof {
            if std::mem::take(untold) {
                return Some(News::Proof(*key));
            }
        }
        self.link.poll_status().map(News::Status)
    }

    /// What was polled last has got through.
    pub(crate) fn handle_told(&mut self, news: &News) {
        if matches!(news, News::Status(_)) {
            self.link.handle_told();
        }
    }

    /// What was polled last did not get through: it is to be told again.
    pub(crate) fn requeue(&mut self, news: &News) {
        match news {
            News::Status(status) => self.link.requeue(status),
            News::Proof(key) => self.proof = Some((*key, true)),
        }
    }

    /// An attempt to connect to it failed.
    pub(crate) fn note_failure(&self, failure: ConnectionFailure) {
        self.counters.note_failure(failure);
    }

    /// Its events have their share among those of so many.
    pub(crate) fn share_events(&mut self, peers: usize) {
        self.events.share_standings(peers);
    }

    pub(crate) fn handle_frame(&mut self, frame: Frame, now: Duration) -> Result<(), Rejection> {
        let bytes = wire::frame_len(&frame);
        if self.link.handle_frame(frame, now)? == Handled::Fresh {
            self.entering = None;
        }
        self.counters.hear(self.link.heard_at());
        add(&self.counters.bytes_received, bytes);
        Ok(())
    }

    /// Tells the application how the peer stands, once the output thread knows: who sends something
    /// because of that must find it so.
    pub(crate) fn report(&mut self) {
        if !self.link.is_announced() {
            return;
        }
        let peer = self.pid();
        while let Some(sighting) = self.link.poll_sighting() {
            self.tell_askers(sighting);
            trace::sighting(peer, self.link.speaker().map(Session::of), sighting);
            self.events.emit(match sighting {
                Sighting::Up => Event::Up(peer),
                Sighting::Down(_) => Event::Down(peer),
                Sighting::Restarted => Event::Restarted(peer),
                Sighting::Left => Event::Left(peer),
                Sighting::Absent => Event::Absent(peer),
                Sighting::OneWay => Event::OneWay(peer),
            });
        }
    }

    fn tell_askers(&self, sighting: Sighting) {
        let (questions, peer) = (&self.questions, self.pid());
        match sighting {
            Sighting::Up => questions.note_up(peer, self.link.speaker().map(Session::of)),
            Sighting::OneWay => questions.note_deaf(peer),
            Sighting::Down(_) | Sighting::Restarted | Sighting::Left => questions.note_gone(peer),
            Sighting::Absent => {}
        }
    }

    /// Puts the next arrival into the inbox, as far as there is room.
    pub(crate) fn enter(&mut self, inbox: &mut BoundedInbox, now: Duration) -> Entered {
        if self.entering.is_none() && !(self.link.is_announced() && self.begin()) {
            return Entered::Nothing;
        }
        let Some(entering) = &mut self.entering else { return Entered::Nothing };
        if inbox.is_over_limit() {
            return Entered::Blocked;
        }
        let before = inbox.entered();
        let put = inbox.put_all(entering.held.take().into_iter().chain(&mut entering.envelopes));
        self.link.note_entered(inbox.entered() - before);
        match put {
            Put::All => {
                self.entering = None;
                self.link.pop(now);
                Entered::One
            }
            Put::Full(envelope) => {
                entering.held = Some(envelope);
                Entered::Blocked
            }
            Put::Closed => Entered::Closed,
        }
    }

    /// Takes up the arrival at the front, if there is one.
    fn begin(&mut self) -> bool {
        let ends = self.link.ends();
        if self.link.front().is_none() {
            return false;
        }
        let missed = self.link.take_missed();
        if missed > 0 {
            add(&self.counters.missed, missed);
            trace::missed(ends.peer, missed);
            self.events.emit(Event::Missed { from: ends.peer, count: missed });
        }
        let Some(arrival) = self.link.front() else { return false };
        // Some may have entered before another process spoke for the peer for a while.
        let entered = self.link.entered();
        // Counted before they enter, so that who has received one finds it counted.
        add(&self.counters.received, arrival.payload.envelopes().saturating_sub(entered as u64));
        let process = self.link.speaker().unwrap_or(ends.incarnation);
        let mut envelopes =
            Envelopes::received(arrival.payload.clone(), ends.peer, process, ends.own);
        envelopes.by_ref().take(entered).for_each(drop);
        self.entering = Some(Entering { envelopes, held: None });
        true
    }

    /// Takes note of what comes although nothing enters the inbox any more: a goodbye.
    pub(crate) fn pass(&mut self, now: Duration) {
        while self.link.front().is_some() {
            self.link.pop(now);
        }
    }

    /// Nothing enters the inbox any more.
    pub(crate) fn close(&mut self) {
        self.entering = None;
        self.link.close();
    }

    /// Whether something waits to enter the inbox.
    pub(crate) fn is_waiting(&self) -> bool {
        self.link.front().is_some()
    }

    /// Whether the peer sends nothing more, or is silent.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.link.presence(), Presence::Left | Presence::Down)
    }

    /// Whether the peer, which has left, still waits to be told that its goodbye came in.
    pub(crate) fn is_parting(&self) -> bool {
        self.link.presence() == Presence::Left && !self.link.is_settled()
    }
}
