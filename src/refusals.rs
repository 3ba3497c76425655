//! What was refused, told to the application without flooding it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::counters::Counters;
use crate::event::{Event, EventSink, Rejection};
use crate::trace;

/// How often the application is told, at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often it is told at least of what goes on and on: a server that was taken out of the list and
/// does not know may go on for days.
const LONGEST_INTERVAL: Duration = Duration::from_secs(64);

/// How many different reasons are told apart in one interval, beside those told not long ago.
const REASONS: usize = 8;

/// Counts what is refused, and tells the application at once of the first in a while, then once for
/// each interval how many there were, which is doubled each time. Each thread has its own.
#[derive(Debug)]
pub(crate) struct Refusals {
    events: EventSink,
    counters: Arc<Counters>,
    untold: Vec<Refused>,
    /// What was told not long ago.
    told: Vec<Told>,
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

/// What was told, and until when it is not told again.
#[derive(Debug)]
struct Told {
    reason: Rejection,
    address: Option<IpAddr>,
    until: Duration,
    interval: Duration,
}

impl Refusals {
    pub(crate) fn new(events: EventSink, counters: Arc<Counters>) -> Self {
        let (untold, told) = (Vec::with_capacity(REASONS), Vec::with_capacity(REASONS));
        Self { events, counters, untold, told, others: 0, told_at: None }
    }

    pub(crate) fn note(&mut self, reason: Rejection, address: Option<IpAddr>) {
        self.counters.note_rejection(reason);
        let is_known = |known: &&mut Refused| known.reason == reason && known.address == address;
        if let Some(known) = self.untold.iter_mut().find(is_known) {
            known.count += 1;
            return;
        }
        // Those that wait since they were told not long ago keep no others out.
        let is_new = |refused: &&Refused| refused.due(&self.told).is_zero();
        let known_before = !is_new(&&Refused { reason, address, count: 0 });
        if known_before || self.untold.iter().filter(is_new).count() < REASONS {
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
            // Where nothing came for another interval, the next is the first again.
            self.told.retain(|told| now < told.until + told.interval);
            let (due, later) = self.untold.drain(..).partition(|it| it.due(&self.told) <= now);
            self.untold = later;
            let due: Vec<Refused> = due;
            due.into_iter().for_each(|refused| self.show(refused, now));
            let count = std::mem::take(&mut self.others);
            if count > 0 {
                self.emit(Rejection::Others, None, count);
            }
        }
    }

    fn show(&mut self, Refused { reason, address, count }: Refused, now: Duration) {
        let is_it = |told: &Told| told.reason == reason && told.address == address;
        let before = self.told.iter().position(is_it).map(|at| self.told.swap_remove(at));
        let interval = before.map_or(INTERVAL, |told| LONGEST_INTERVAL.min(told.interval * 2));
        if self.told.len() < REASONS {
            self.told.push(Told { reason, address, until: now + interval, interval });
        }
        self.emit(reason, address, count);
    }

    fn emit(&mut self, reason: Rejection, address: Option<IpAddr>, count: u64) {
        trace::refused(reason, address, count);
        self.events.emit(Event::Rejected { reason, address, count });
    }

    /// When to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let earliest = self.told_at.map_or(Duration::ZERO, |told| told + INTERVAL);
        let due = self.untold.iter().map(|refused| refused.due(&self.told)).min();
        let others = (self.others > 0).then_some(Duration::ZERO);
        due.into_iter().chain(others).min().map(|due| due.max(earliest))
    }
}

impl Refused {
    /// When this is to be told.
    fn due(&self, told: &[Told]) -> Duration {
        let is_it = |told: &&Told| told.reason == self.reason && told.address == self.address;
        told.iter().find(is_it).map_or(Duration::ZERO, |told| told.until)
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
        // The first is known from before.
        let mut expected: Vec<_> = (1..=9).map(|number| (rejection(number), 2)).collect();
        expected.push((Rejection::Others, 2));
        assert_eq!(told(), expected);
        assert_eq!(
            (refusals.poll_timeout(), counters.snapshot(Duration::ZERO).rejected),
            (None, 21)
        );
    }

    #[test]
    fn what_goes_on_and_on_is_told_ever_more_rarely_until_it_stops_for_a_while() {
        let counters = Arc::new(Counters::new(&[]));
        let (channel, events) = EventChannel::new(Arc::clone(&counters));
        let mut refusals = Refusals::new(channel.refusals(), counters);
        let mut told = Vec::new();
        for second in 0..400 {
            refusals.note(rejection(1), None);
            refusals.tell(Duration::from_secs(second));
            told.extend(events.try_iter().map(|_| second));
        }
        assert_eq!(told, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255, 319, 383]);
        // Another reason is another matter.
        refusals.note(rejection(2), None);
        refusals.tell(Duration::from_secs(401));
        assert_eq!(events.try_iter().count(), 1);
        assert_eq!(refusals.poll_timeout(), Some(Duration::from_secs(447)));
        refusals.tell(Duration::from_secs(447));
        refusals.note(rejection(1), None);
        refusals.tell(Duration::from_secs(447 + 129));
        assert_eq!(events.try_iter().count(), 2);
        assert_eq!(refusals.poll_timeout(), None);
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
