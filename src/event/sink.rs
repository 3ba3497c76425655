//! The way of events to the application.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::counters::Counters;
use crate::event::Event;

/// How many events wait for the application.
const CAPACITY: usize = 1_024;

/// The way of events to the application, which may not be listening.
#[derive(Clone, Debug)]
pub(crate) struct EventSink {
    events: Sender<Event>,
    counters: Arc<Counters>,
}

impl EventSink {
    /// A way to the application, and the application's end of it.
    pub(crate) fn new(counters: Arc<Counters>) -> (Self, Receiver<Event>) {
        let (events, receiver) = bounded(CAPACITY);
        (Self { events, counters }, receiver)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.events.is_full()
    }

    /// Shows the event to the application, or counts it if there is no room.
    pub(crate) fn emit(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.count_missed(1);
        }
    }

    /// Counts events that found no room.
    pub(crate) fn count_missed(&self, events: u64) {
        self.counters.events_missed.fetch_add(events, Ordering::Relaxed);
    }
}
