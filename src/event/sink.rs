//! The way of events to the application.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::counters::Counters;
use crate::event::Event;

/// How many events wait for the application.
const CAPACITY: usize = 1_024;

/// How many of them may be messages that come back, and how many tell how the peers stand. The rest
/// is for refusals.
const UNDELIVERABLE: usize = CAPACITY / 2;
const STANDINGS: usize = CAPACITY * 3 / 8;
const REFUSALS: usize = CAPACITY / 16;

/// The channel of events to the application, which may not be listening.
#[derive(Clone, Debug)]
pub(crate) struct EventChannel {
    events: Arc<Sender<Event>>,
    counters: Arc<Counters>,
    /// How many events were ever put in the channel.
    emitted: Arc<AtomicUsize>,
}

/// What makes ways into the channel later. It does not keep the channel open: that ends with the two
/// threads.
#[derive(Clone, Debug)]
pub(crate) struct WeakEventChannel {
    events: Weak<Sender<Event>>,
    counters: Arc<Counters>,
    emitted: Arc<AtomicUsize>,
}

/// One way into the channel. It takes no more than its share of it, so that nobody's events push
/// those of others out.
#[derive(Debug)]
pub(crate) struct EventSink {
    channel: EventChannel,
    /// What was put in here, and may still wait: how many events were put in the channel up to it,
    /// and how many bytes of a message it holds.
    waiting: VecDeque<(usize, usize)>,
    waiting_bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

impl EventChannel {
    /// The channel, and the application's end of it.
    pub(crate) fn new(counters: Arc<Counters>) -> (Self, Receiver<Event>) {
        let (events, receiver) = bounded(CAPACITY);
        (Self { events: Arc::new(events), counters, emitted: Arc::default() }, receiver)
    }

    /// What does not keep it open.
    pub(crate) fn downgrade(&self) -> WeakEventChannel {
        let Self { events, counters, emitted } = self.clone();
        WeakEventChannel { events: Arc::downgrade(&events), counters, emitted }
    }

    /// The way of messages that come back, which have no more than so many bytes together, or are
    /// one message alone.
    pub(crate) fn undeliverable(&self, max_bytes: usize) -> EventSink {
        self.sink(UNDELIVERABLE, max_bytes)
    }

    /// The way of what one of so many peers does.
    pub(crate) fn standings(&self, peers: usize) -> EventSink {
        self.sink(share_of_standings(peers), 0)
    }

    /// The way of what one of the two threads refuses.
    pub(crate) fn refusals(&self) -> EventSink {
        self.sink(REFUSALS, 0)
    }

    fn sink(&self, max_events: usize, max_bytes: usize) -> EventSink {
        let waiting = VecDeque::new();
        EventSink { channel: self.clone(), waiting, waiting_bytes: 0, max_events, max_bytes }
    }
}

impl WeakEventChannel {
    /// The same, if one of the threads is still there; else a channel from which nobody takes.
    pub(crate) fn upgrade(&self) -> EventChannel {
        let Self { events, counters, emitted } = self.clone();
        let events = events.upgrade().unwrap_or_else(|| Arc::new(bounded(0).0));
        EventChannel { events, counters, emitted }
    }
}

impl EventSink {
    /// Whether there is room for an event with a message of so many bytes.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        self.forget_taken();
        let fits = self.waiting_bytes == 0 || self.waiting_bytes + bytes <= self.max_bytes;
        (bytes == 0 || fits) && self.waiting.len() < self.max_events
    }

    /// Takes the share of one of so many peers from now on.
    pub(crate) fn share_standings(&mut self, peers: usize) {
        self.max_events = share_of_standings(peers);
    }

    /// Shows the event to the application, or counts it if there is no room.
    pub(crate) fn emit(&mut self, event: Event) {
        let bytes = message_bytes(&event);
        if !self.has_room(bytes) || self.channel.events.try_send(event).is_err() {
            return self.count_missed(1);
        }
        let place = self.channel.emitted.fetch_add(1, Ordering::Relaxed) + 1;
        self.waiting.push_back((place, bytes));
        self.waiting_bytes += bytes;
    }

    /// Counts events that found no room.
    pub(crate) fn count_missed(&self, events: u64) {
        self.channel.counters.events_missed.fetch_add(events, Ordering::Relaxed);
    }

    /// Forgets what the application has taken.
    fn forget_taken(&mut self) {
        let EventChannel { events, emitted, .. } = &self.channel;
        let taken = emitted.load(Ordering::Relaxed).saturating_sub(events.len());
        while let Some((place, bytes)) = self.waiting.front().copied() {
            if place > taken {
                break;
            }
            self.waiting.pop_front();
            self.waiting_bytes -= bytes;
        }
    }
}

/// How many events of one peer wait, if there are so many: both threads tell of each.
fn share_of_standings(peers: usize) -> usize {
    (STANDINGS / (2 * peers).max(1)).max(2)
}

/// How many bytes an event holds of a message.
fn message_bytes(event: &Event) -> usize {
    match event {
        Event::Undeliverable { envelope, .. } => envelope.msg.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::envelope::{Envelope, Pid};
    use crate::event::Reason;

    const PEER: Pid = Pid::new(2);

    fn channel() -> (EventChannel, Receiver<Event>, Arc<Counters>) {
        let counters = Arc::new(Counters::new(&[PEER]));
        let (channel, events) = EventChannel::new(Arc::clone(&counters));
        (channel, events, counters)
    }

    fn undeliverable(bytes: usize) -> Event {
        let envelope = Envelope::to(PEER, vec![0; bytes]);
        Event::Undeliverable { peer: PEER, envelope, reason: Reason::PeerDown }
    }

    #[test]
    fn messages_that_nobody_takes_are_bounded_in_bytes() {
        let (channel, events, counters) = channel();
        let mut sink = channel.undeliverable(1_000);
        for _ in 0..5 {
            sink.emit(undeliverable(400));
        }
        assert_eq!((events.len(), counters.snapshot(Duration::ZERO).events_missed), (2, 3));
        // Others find room.
        channel.standings(1).emit(Event::Up(PEER));
        assert_eq!(events.len(), 3);
        // There is room for as much as is taken, wherever the other events are.
        events.recv().unwrap();
        sink.emit(undeliverable(400));
        sink.emit(undeliverable(400));
        assert_eq!((events.len(), counters.snapshot(Duration::ZERO).events_missed), (3, 4));
    }

    #[test]
    fn a_message_above_the_limit_waits_alone() {
        let (channel, events, _) = channel();
        let mut sink = channel.undeliverable(1_000);
        sink.emit(undeliverable(5_000));
        sink.emit(undeliverable(1));
        assert_eq!(events.len(), 1);
        events.recv().unwrap();
        sink.emit(undeliverable(1));
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn nobody_pushes_the_events_of_others_out() {
        let (channel, events, counters) = channel();
        let mut sinks = vec![channel.undeliverable(1_000), channel.refusals(), channel.refusals()];
        sinks.extend((0..3).map(|_| channel.standings(3)));
        let mut waiting = 0;
        for sink in &mut sinks {
            (0..CAPACITY).for_each(|_| sink.emit(Event::Up(PEER)));
            assert!(events.len() > waiting && !sink.has_room(0));
            waiting = events.len();
        }
        let missed = counters.snapshot(Duration::ZERO).events_missed as usize;
        assert_eq!(waiting + missed, CAPACITY * sinks.len());
        // Who has taken them all gets as many again.
        assert_eq!(events.try_iter().count(), waiting);
        assert!(sinks.iter_mut().all(|sink| sink.has_room(0)));
    }
}
