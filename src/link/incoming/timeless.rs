//! The receiving half without what only tells the time, so that states can be compared.

use std::time::Duration;

use super::Incoming;

impl Incoming {
    /// The same state as if all of it had happened right now.
    pub(in crate::link) fn make_timeless(&mut self, now: Duration) {
        self.heard_at = now;
        self.acknowledge_at = self.acknowledge_at.map(|_| now);
        self.unacknowledged = 0;
        self.sightings.clear();
        for replaced in &mut self.replaced {
            replaced.at = now;
        }
    }
}
