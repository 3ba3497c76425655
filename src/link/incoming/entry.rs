//! The way of what has come in order into the inbox.

use std::time::Duration;

use super::stream::{Arrival, Stream};
use super::{ACKNOWLEDGE_WITHIN, Incoming, Presence, Sighting};
use crate::frame::{Intake, Payload};
use crate::link::AckTiming;

impl Incoming {
    /// The next arrival to enter the inbox.
    pub(crate) fn front(&self) -> Option<&Arrival> {
        self.stream.as_ref()?.arrivals.front()
    }

    /// How many envelopes of the arrival at the front have entered the inbox.
    pub(crate) fn entered(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.entered)
    }

    /// How many envelopes were given up right before the arrival at the front, of those that the
    /// application is still to be told of: an arrival may come again.
    pub(crate) fn take_missed(&mut self) -> u64 {
        self.stream.as_mut().map_or(0, Stream::take_missed)
    }

    /// So many more envelopes of the arrival at the front have entered the inbox.
    pub(crate) fn note_entered(&mut self, envelopes: usize) {
        if let Some(stream) = &mut self.stream {
            stream.entered += envelopes;
        }
    }

    /// The arrival at the front has entered the inbox as a whole.
    pub(crate) fn pop(&mut self, now: Duration) {
        let half = self.limits.window / 2;
        let Some(stream) = &mut self.stream else { return };
        let Some(arrival) = stream.arrivals.pop_front() else { return };
        stream.bytes -= arrival.bytes();
        stream.entered = 0;
        self.unacknowledged += arrival.bytes();
        let room_again = stream.makes_room(self.limits.window);
        if matches!(arrival.payload, Payload::Goodbye) {
            stream.goodbye = Some(arrival.sequence);
            if self.presence != Presence::Left {
                self.presence = Presence::Left;
                self.sightings.push_back(Sighting::Left);
            }
        }
        let due = self.unacknowledged >= half;
        if due || room_again || arrival.wants_ack {
            self.tell(AckTiming::Immediate);
        } else {
            self.acknowledge_by(now + ACKNOWLEDGE_WITHIN);
        }
        self.look_for_return(now);
    }

    /// Takes nothing more from the peer: the inbox is closed. What has not entered it is turned
    /// back.
    pub(crate) fn close(&mut self) {
        self.intake = Intake::Closed;
        if let Some(stream) = &mut self.stream {
            stream.clear();
        }
        // A peer that has left sends nothing more, and may have ended: nobody waits for the news.
        let left = self.presence == Presence::Left;
        self.tell(if left { AckTiming::Delayed } else { AckTiming::Immediate });
    }
}
