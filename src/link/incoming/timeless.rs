//! The receiving half without what only tells the time, so that states can be compared.

use std::time::Duration;

use super::{ACKNOWLEDGE_WITHIN, Incoming};

impl Incoming {
    /// The same state as if all of it had happened right now.
    pub(crate) fn make_timeless(&mut self, now: Duration) {
        self.heard_at = now;
        self.acknowledge_at = self.acknowledge_at.map(|_| now + ACKNOWLEDGE_WITHIN);
        self.unacknowledged = 0;
        for replaced in &mut self.replaced {
            replaced.at = now;
        }
    }
}
