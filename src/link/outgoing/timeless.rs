//! The sending half without what only counts or tells the time, so that states can be compared.

use std::time::Duration;

use super::send_queue::Counts;
use super::{CongestionWindow, Outgoing, Peer};
use crate::frame::{Incarnation, Payload};
use crate::link::PeerStatus;

impl Outgoing {
    /// The same state as if all of it had happened right now.
    pub(crate) fn make_timeless(&mut self, now: Duration) {
        self.last_sent = Some(now);
        self.confirmed = now;
        self.peer.heard_at = now;
        self.unasked = 0;
        self.up_since = now;
        self.congestion = CongestionWindow::new(self.limits.frames, self.limits.window);
        self.probe.handle_progress(now);
        self.asked_at = now;
        self.queue.forget_history(now);
        let Counts { queued, in_flight, window_bytes, .. } = self.queue.counts;
        self.queue.counts = Counts { queued, in_flight, window_bytes, ..Counts::default() };
    }

    /// What was acknowledged since the last time, in order.
    pub(crate) fn take_acknowledged(&mut self) -> Vec<Payload> {
        self.queue.take_acknowledged()
    }

    /// How often it has gone back to resend, and once more.
    pub(crate) fn epochs(&self) -> u32 {
        self.epoch.to_wire()
    }

    /// Whether the receiving half of the other direction has told it this, but for what the peer
    /// acknowledges.
    pub(crate) fn knows(&self, status: &PeerStatus) -> bool {
        let Peer { incarnation, presence, max_message, settled, .. } = self.peer;
        let known = (incarnation, presence, max_message, settled, self.ack_to_send);
        let PeerStatus { incarnation, presence, max_message, settled, ack_to_send, .. } = *status;
        known == (incarnation, presence, max_message, settled, ack_to_send)
    }

    /// The process that speaks for the peer, if it is heard.
    pub(crate) fn listener(&self) -> Option<Incarnation> {
        self.peer.incarnation.filter(|_| self.peer.listens())
    }
}
