//! The sending half without what only counts or tells the time, so that states can be compared.

use std::time::Duration;

use super::Outgoing;
use super::backlog::Counts;

impl Outgoing {
    /// The same state as if all of it had happened right now.
    pub(in crate::link) fn make_timeless(&mut self, now: Duration) {
        self.last_sent = Some(now);
        self.confirmed = now;
        self.renewed = now;
        self.peer.heard_at = now;
        self.unasked = 0;
        self.allowance.withdraw();
        let Counts { queued, in_flight, window_bytes, .. } = self.backlog.counts;
        self.backlog.counts = Counts { queued, in_flight, window_bytes, ..Counts::default() };
    }

    /// How often it has gone back to resend, and once more.
    pub(in crate::link) fn rounds(&self) -> u32 {
        self.round.to_wire()
    }
}
