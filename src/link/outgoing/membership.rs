//! A peer that is none any more, and perhaps one again.

use std::time::Duration;

use super::{CongestionWindow, Outgoing, Peer, Probe, Sharing};
use crate::event::Reason;
use crate::frame::{Acknowledgement, Frame};
use crate::link::AckTiming;
use crate::link::outgoing::send_queue::Counts;

impl Outgoing {
    /// The peer is none any more. What it has not acknowledged is given up, and it is told goodbye by
    /// these frames, of which nobody will hear whether they have come.
    pub(crate) fn retire(&mut self, now: Duration) -> Vec<Frame> {
        let there = self.has_listener(now);
        self.queue.drop_all(Reason::Removed);
        self.goodbye_queued = false;
        self.say_goodbye();
        self.congestion.restart();
        let goodbye = if there { self.poll_transmit(now) } else { None };
        let mut last_words = there.then(|| self.last_words(now));
        if let Some(frame) = &mut last_words {
            // The peer need not wait for anything more.
            frame.header.settled = true;
        }
        goodbye.into_iter().chain(last_words).collect()
    }

    /// The one that was retired is a peer again. The stream goes on where it was: for a process that
    /// has heard it, this is still the same one.
    pub(crate) fn revive(&mut self, now: Duration) {
        self.queue.drop_all(Reason::Removed);
        self.queue.counts = Counts::default();
        #[cfg(test)]
        drop(self.queue.take_acknowledged());
        (self.goodbye_queued, self.resumed) = (false, true);
        self.peer = Peer::awaited(now);
        self.congestion = CongestionWindow::new(self.limits.frames, self.limits.window);
        (self.sharing, self.probe) = (Sharing::default(), Probe::default());
        self.ack_to_send = Acknowledgement::NONE;
        self.ack_timing = AckTiming::Immediate;
        self.last_sent = None;
        (self.confirmed, self.up_since, self.asked_at) = (now, now, now);
        self.go_back();
    }
}
