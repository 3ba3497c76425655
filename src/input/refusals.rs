//! What was refused, told to the application without flooding it.

use std::sync::Arc;
use std::time::Duration;

use crate::counters::{Counters, EventSink, add};
use crate::event::{Event, Rejection};

/// How often the application is told, at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many different reasons are told apart in one interval.
const REASONS: usize = 8;

/// Counts what is refused, and tells the application at once of the first in a while, then once for each
/// interval how many there were.
#[derive(Debug)]
pub(crate) struct Refusals {
    events: EventSink,
    counters: Arc<Counters>,
    untold: Vec<(Rejection, u64)>,
    told_at: Option<Duration>,
}

impl Refusals {
    pub(crate) fn new(events: EventSink, counters: Arc<Counters>) -> Self {
        Self { events, counters, untold: Vec::with_capacity(REASONS), told_at: None }
    }

    pub(crate) fn note(&mut self, reason: Rejection) {
        add(&self.counters.rejected, 1);
        let known = self.untold.iter_mut().find(|(known, _)| *known == reason);
        if let Some((_, count)) = known {
            *count += 1;
        } else if self.untold.len() < REASONS {
            self.untold.push((reason, 1));
        } else if let Some((_, count)) = self.untold.last_mut() {
            // A stranger can think of any number of reasons. The last one stands for the rest.
            *count += 1;
        }
    }

    /// Tells the application, if it is time.
    pub(crate) fn tell(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|due| now >= due) {
            self.told_at = Some(now);
            for (reason, count) in self.untold.drain(..) {
                self.events.emit(Event::Rejected { reason, count });
            }
        }
    }

    /// When to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let due = self.told_at.map_or(Duration::ZERO, |told| told + INTERVAL);
        (!self.untold.is_empty()).then_some(due)
    }
}
