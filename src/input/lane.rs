//! One peer, as the input thread sees it.

use std::time::Duration;

use crate::counters::{EventSink, PeerCounters, add};
use crate::envelope::{Envelope, Pid};
use crate::event::{Event, Rejection};
use crate::frame::{Frame, Progress};
use crate::input::shelf::{Lot, Put, Shelf};
use crate::link::{Handled, Heard, Incoming, Presence, Sighting};
use crate::wire::Envelopes;

/// The receiving half of the link from one peer, and the frame that is entering the inbox.
pub(crate) struct Lane {
    own: Pid,
    pub(crate) peer: Pid,
    incoming: Incoming,
    entering: Option<Entering>,
}

/// What is left of the arrival at the front.
struct Entering {
    envelopes: Envelopes,
    /// The one that found no room.
    held: Option<Envelope>,
}

impl Entering {
    /// Puts on the shelf what there is room for.
    fn fill(&mut self, shelf: &Shelf) -> (Lot, Entered) {
        let mut lot = Lot::default();
        for envelope in self.held.take().into_iter().chain(&mut self.envelopes) {
            let bytes = envelope.msg.len();
            match shelf.put(envelope) {
                Put::Done => {
                    lot.envelopes += 1;
                    lot.bytes += bytes;
                }
                Put::Full(envelope) => {
                    self.held = Some(envelope);
                    return (lot, Entered::Blocked);
                }
                Put::Closed => return (lot, Entered::Closed),
            }
        }
        (lot, Entered::One)
    }
}

/// How far a lane came.
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

impl Lane {
    pub(crate) fn new(own: Pid, peer: Pid, incoming: Incoming) -> Self {
        Self { own, peer, incoming, entering: None }
    }

    pub(crate) fn handle_frame(&mut self, frame: Frame, now: Duration) -> Result<(), Rejection> {
        if self.incoming.handle_frame(frame, now)? == Handled::Fresh {
            self.entering = None;
        }
        Ok(())
    }

    /// Tells the application how the peer stands.
    pub(crate) fn report(&mut self, events: &EventSink) {
        while let Some(sighting) = self.incoming.poll_sighting() {
            events.emit(match sighting {
                Sighting::Up => Event::Up(self.peer),
                Sighting::Down => Event::Down(self.peer),
                Sighting::Restarted => Event::Restarted(self.peer),
                Sighting::Left => Event::Left(self.peer),
            });
        }
    }

    /// Puts the next arrival on the shelf, as far as there is room.
    pub(crate) fn enter(
        &mut self,
        shelf: &mut Shelf,
        events: &EventSink,
        counters: &PeerCounters,
        now: Duration,
    ) -> Entered {
        if self.entering.is_none() && !self.begin(events, counters) {
            return Entered::Nothing;
        }
        let Some(entering) = &mut self.entering else { return Entered::Nothing };
        if shelf.is_laden() {
            return Entered::Blocked;
        }
        let (lot, outcome) = entering.fill(shelf);
        shelf.note(lot);
        if outcome == Entered::One {
            self.entering = None;
            self.incoming.pop(now);
        }
        outcome
    }

    /// Takes up the arrival at the front, if there is one.
    fn begin(&mut self, events: &EventSink, counters: &PeerCounters) -> bool {
        let Some(arrival) = self.incoming.front() else { return false };
        if arrival.missed > 0 {
            add(&counters.missed, arrival.missed);
            events.emit(Event::Missed { from: self.peer, count: arrival.missed });
        }
        // Counted before they enter, so that who has received one finds it counted.
        add(&counters.received, arrival.payload.envelopes());
        let envelopes = Envelopes::new(arrival.payload.clone(), self.peer, self.own);
        self.entering = Some(Entering { envelopes, held: None });
        true
    }

    /// The envelope that found no room, to be put on the shelf by other means.
    pub(crate) fn take_held(&mut self) -> Option<Envelope> {
        self.entering.as_mut()?.held.take()
    }

    /// It found no room again.
    pub(crate) fn hold(&mut self, envelope: Envelope) {
        if let Some(entering) = &mut self.entering {
            entering.held = Some(envelope);
        }
    }

    /// Takes note of what comes although nothing enters the inbox any more: a goodbye.
    pub(crate) fn pass(&mut self, now: Duration) {
        while self.incoming.front().is_some() {
            self.incoming.pop(now);
        }
    }

    /// Nothing enters the inbox any more.
    pub(crate) fn close(&mut self) {
        self.entering = None;
        self.incoming.close();
    }

    /// Whether something waits to enter the inbox.
    pub(crate) fn is_waiting(&self) -> bool {
        self.incoming.front().is_some()
    }

    /// Whether the peer sends nothing more, or is silent.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.incoming.presence(), Presence::Left | Presence::Down)
    }

    /// Whether the peer, which has left, still waits to be told that its goodbye came in.
    pub(crate) fn is_parting(&self) -> bool {
        self.incoming.presence() == Presence::Left && self.incoming.progress() == Progress::Running
    }

    pub(crate) fn forgive(&mut self, pause: Duration) {
        self.incoming.forgive(pause);
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.incoming.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.incoming.poll_timeout()
    }

    pub(crate) fn poll_heard(&mut self) -> Option<Heard> {
        self.incoming.poll_heard()
    }

    pub(crate) fn untold(&mut self, heard: &Heard) {
        self.incoming.untold(heard);
    }
}
