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

/// Counts what is refused, and tells the application at once of the first in a while, then once for
/// each interval how many there were. Each thread has its own.
#[derive(Debug)]
pub(crate) struct Refusals {
    events: EventSink,
    counters: Arc<Counters>,
    untold: Vec<Refused>,
    /// How many were refused for more reasons than are told apart.
    others: u64,
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
        Self { events, counters, untold: Vec::with_capacity(REASONS), others: 0, told_at: None }
    }

    pub(crate) fn note(&mut self, reason: Rejection, address: Option<IpAddr>) {
        self.counters.rejected.fetch_add(1, Ordering::Relaxed);
        let is_known = |known: &&mut Refused| known.reason == reason && known.address == address;
        if let Some(known) = self.untold.iter_mut().find(is_known) {
            known.count += 1;
        } else if self.untold.len() < REASONS {
            self.untold.push(Refused { reason, address, count: 1 });
        } else {
            // A stranger can think of any number of reasons.
            self.others += 1;
        }
    }

    /// Tells the application, if it is time.
    pub(crate) fn tell(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|due| now >= due) {
            self.told_at = Some(now);
            for Refused { reason, address, count } in self.untold.drain(..) {
                self.events.emit(Event::Rejected { reason, address, count });
            }
            let count = std::mem::take(&mut self.others);
            if count > 0 {
                let reason = Rejection::Others;
                self.events.emit(Event::Rejected { reason, address: None, count });
            }
        }
    }

    /// When to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let due = self.told_at.map_or(Duration::ZERO, |told| told + INTERVAL);
        (!self.untold.is_empty()).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Pid;
    use crate::event::EventChannel;

    fn rejection(number: u32) -> Rejection {
        Rejection::UnknownSender(Pid::new(number))
    }

    #[test]
    fn each_reason_is_told_once_in_a_while_and_the_rest_as_others() {
        let counters = Arc::new(Counters::new(&[]));
        let (channel, events) = EventChannel::new(Arc::clone(&counters));
        let mut refusals = Refusals::new(channel.refusals(), Arc::clone(&counters));
        let told = || -> Vec<_> {
            let rejected = |event| match event {
                Event::Rejected { reason, count, .. } => (reason, count),
                other => panic!("{other}"),
            };
            events.try_iter().map(rejected).collect()
        };
        assert_eq!(refusals.poll_timeout(), None);
        refusals.note(rejection(1), None);
        assert_eq!(refusals.poll_timeout(), Some(Duration::ZERO));
        refusals.tell(Duration::ZERO);
        assert_eq!(told(), [(rejection(1), 1)]);
        // The next ones are told together, when it is time.
        (1..=10).chain(1..=10).for_each(|number| refusals.note(rejection(number), None));
        refusals.tell(INTERVAL / 2);
        assert_eq!(told(), []);
        assert_eq!(refusals.poll_timeout(), Some(INTERVAL));
        refusals.tell(INTERVAL);
        let mut expected: Vec<_> = (1..=8).map(|number| (rejection(number), 2)).collect();
        expected.push((Rejection::Others, 4));
        assert_eq!(told(), expected);
        assert_eq!((refusals.poll_timeout(), counters.snapshot().rejected), (None, 21));
    }

    #[test]
    fn the_same_reason_from_two_places_is_told_apart() {
        let counters = Arc::new(Counters::new(&[]));
        let (channel, events) = EventChannel::new(Arc::clone(&counters));
        let mut refusals = Refusals::new(channel.refusals(), counters);
        let places = [None, Some(IpAddr::from([127, 0, 0, 1]))];
        places.into_iter().for_each(|place| refusals.note(rejection(1), place));
        refusals.tell(Duration::ZERO);
        assert_eq!(events.len(), 2);
    }
}
