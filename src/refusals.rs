//! What was refused, told to the application without flooding it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::counters::Counters;
use crate::event::{Event, EventSink, Rejection};

/// How often the application is told, at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many different reasons are told apart in one interval.
const REASONS: usize = 8;

/// Counts what is refused, and tells the application at once of the first in a while, then once for each
/// interval how many there were. Each thread has its own.
#[derive(Debug)]
pub(crate) struct Refusals {
    events: EventSink,
    counters: Arc<Counters>,
    untold: Vec<Refused>,
    told_at: Option<Duration>,
}

/// What was refused for one reason, from one place.
#[derive(Debug)]
struct Refused {
    reason: Rejection,
    address: Option<IpAddr>,
    count: u64,
}

impl Refusals {
    pub(crate) fn new(events: EventSink, counters: Arc<Counters>) -> Self {
        Self { events, counters, untold: Vec::with_capacity(REASONS), told_at: None }
    }

    pub(crate) fn note(&mut self, reason: Rejection, address: Option<IpAddr>) {
        self.counters.rejected.fetch_add(1, Ordering::Relaxed);
        let is_known = |known: &&mut Refused| known.reason == reason && known.address == address;
        if let Some(known) = self.untold.iter_mut().find(is_known) {
            known.count += 1;
        } else if self.untold.len() < REASONS {
            self.untold.push(Refused { reason, address, count: 1 });
        } else if let Some(last) = self.untold.last_mut() {
            // A stranger can think of any number of reasons. The last one stands for the rest.
            last.count += 1;
        }
    }

    /// Tells the application, if it is time.
    pub(crate) fn tell(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|due| now >= due) {
            self.told_at = Some(now);
            for Refused { reason, address, count } in self.untold.drain(..) {
                self.events.emit(Event::Rejected { reason, address, count });
            }
        }
    }

    /// When to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let due = self.told_at.map_or(Duration::ZERO, |told| told + INTERVAL);
        (!self.untold.is_empty()).then_some(due)
    }
}
