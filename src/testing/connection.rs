//! The connection of one server to one peer, and what is on its way there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::faults::Route;
use crate::frame::Frame;
use crate::transport::memory::{Arrivals, ConnectionEvent};
use crate::wire::HEADER_LEN;

/// How soon a connection that broke is tried again, and how late at most while it is refused: the wait
/// doubles each time.
const SOON: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(200);

/// How long an attempt takes that gets no answer.
const UNANSWERED: Duration = Duration::from_secs(1);

/// How many frames there are on the way at most. Those that find so many before them are lost.
const MAX_FRAMES: usize = 1 << 15;

/// An address, somebody who listens there, and a connection to him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AddressId(pub(super) usize);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListenerId(pub(super) u64);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

/// Who connects, and where.
pub(super) struct Ends {
    pub(super) route: Route,
    pub(super) address: AddressId,
    /// Where its server is told what becomes of the connection.
    pub(super) owner: Arrivals,
    /// How many bytes may be on the way, unless it is a single frame.
    pub(super) max_held: usize,
}

/// A connection, which is made again whenever it has to.
///
/// ```text
///           somebody listens                    broken, or its listener is gone
///   apart ────────────────────► made ──────────────────────────────► apart
///     ▲ │ refused: again after 10, 20, .. 200 ms   (what was on its way is lost)
///     └─┘ no answer: again after 1 s
/// ```
///
/// What is sent while it is apart waits for the next connection.
pub(super) struct Connection {
    pub(super) ends: Ends,
    phase: Phase,
    /// Whether it was made since it was opened or replaced. Else nobody needs to know of a refusal.
    was_made: bool,
    flights: VecDeque<Flight>,
    /// What they take, in bytes.
    held: usize,
    /// Until when it waits for a connection, if its server has closed it.
    closing: Option<Instant>,
    /// When the network looks at it next.
    pub(super) scheduled: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Apart {
        /// When it is tried; none if somebody has to listen first.
        attempt: Option<Instant>,
        /// How long it is until the attempt after that.
        patience: Duration,
        /// Whether the attempt before gets no answer.
        unanswered: bool,
    },
    Made(ListenerId),
}

/// What an attempt comes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Made(ListenerId),
    Refused,
    Nothing,
}

struct Flight {
    at: Instant,
    frame: Frame,
}

impl Flight {
    fn bytes(&self) -> usize {
        HEADER_LEN + self.frame.payload.len()
    }
}

impl Phase {
    fn apart(attempt: Instant) -> Self {
        Self::Apart { attempt: Some(attempt), patience: SOON, unanswered: false }
    }
}

impl Connection {
    /// One that is tried at once.
    pub(super) fn open(ends: Ends, now: Instant) -> Self {
        let mut connection = Self {
            ends,
            phase: Phase::apart(now),
            was_made: false,
            flights: VecDeque::new(),
            held: 0,
            closing: None,
            scheduled: None,
        };
        connection.replace(now);
        connection
    }

    /// Its server has replaced it: what it had not delivered is gone.
    pub(super) fn replace(&mut self, now: Instant) {
        self.forget_flights();
        (self.phase, self.was_made) = (Phase::apart(now), false);
        self.ends.owner.tell(self.ends.route.1, None);
    }

    /// It breaks, if there is one, and what is on its way is lost.
    pub(super) fn break_off(&mut self, now: Instant) {
        if let Phase::Made(_) = self.phase {
            self.forget_flights();
            self.phase = Phase::apart(now + SOON);
            self.tell(ConnectionEvent::Closed);
        }
    }

    /// Its server is done with it. What is on its way arrives; what waits for a connection has until
    /// then. It is closed once.
    pub(super) fn close(&mut self, until: Instant) {
        self.closing.get_or_insert(until);
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        let made = matches!(self.phase, Phase::Made(_));
        self.closing.is_some_and(|until| self.flights.is_empty() || !made && now >= until)
    }

    pub(super) fn leads_to(&self, listener: ListenerId) -> bool {
        matches!(self.phase, Phase::Made(made) if made == listener)
    }

    /// Somebody listens where nobody did, or a line is whole again: it is tried at once.
    pub(super) fn hasten(&mut self, now: Instant) {
        if let Phase::Apart { attempt, patience, .. } = &mut self.phase {
            (*attempt, *patience) = (Some(now), SOON);
        }
    }

    /// Nothing holds it up any more.
    pub(super) fn heal(&mut self, now: Instant) {
        self.flights.iter_mut().for_each(|flight| flight.at = flight.at.min(now));
        self.hasten(now);
    }

    pub(super) fn is_tried(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Apart { attempt: Some(at), .. } if at <= now)
    }

    /// An attempt comes to this.
    pub(super) fn handle_answer(&mut self, answer: Answer, now: Instant) {
        let Phase::Apart { patience, unanswered, .. } = self.phase else { return };
        if unanswered {
            self.tell(ConnectionEvent::Failed);
        }
        match answer {
            Answer::Made(listener) => {
                (self.phase, self.was_made) = (Phase::Made(listener), true);
                self.tell(ConnectionEvent::Made);
            }
            Answer::Refused => {
                // One that was never made is hastened once somebody listens.
                let attempt = self.was_made.then(|| now + patience);
                let patience = LATE.min(patience * 2);
                self.phase = Phase::Apart { attempt, patience, unanswered: false };
                if self.was_made {
                    self.tell(ConnectionEvent::Refused);
                }
            }
            Answer::Nothing => {
                let attempt = Some(now + UNANSWERED);
                self.phase = Phase::Apart { attempt, patience: SOON, unanswered: true };
            }
        }
    }

    /// A frame is on its way, behind all before it. One that finds too much there is lost.
    pub(super) fn push(&mut self, frame: Frame, at: Instant) {
        let at = self.flights.back().map_or(at, |last| at.max(last.at));
        let flight = Flight { at, frame };
        let held = self.held + flight.bytes();
        let fits = self.flights.len() < MAX_FRAMES && held <= self.ends.max_held;
        if fits || self.flights.is_empty() {
            self.held = held;
            self.flights.push_back(flight);
        }
    }

    /// The next frame that arrives by now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Frame> {
        let Phase::Made(_) = self.phase else { return None };
        self.flights.front().filter(|flight| flight.at <= now)?;
        let flight = self.flights.pop_front()?;
        self.held -= flight.bytes();
        Some(flight.frame)
    }

    /// When there is something to do, if its line is cut or if it is not.
    pub(super) fn poll_timeout(&self, is_cut: bool) -> Option<Instant> {
        match self.phase {
            Phase::Apart { attempt, .. } => attempt.into_iter().chain(self.closing).min(),
            Phase::Made(_) if is_cut => None,
            Phase::Made(_) => self.flights.front().map(|flight| flight.at),
        }
    }

    fn forget_flights(&mut self) {
        self.flights.clear();
        self.held = 0;
    }

    /// Its server learns it, unless it is done with the connection.
    fn tell(&self, event: ConnectionEvent) {
        if self.closing.is_none() {
            self.ends.owner.tell(self.ends.route.1, Some(event));
        }
    }
}
