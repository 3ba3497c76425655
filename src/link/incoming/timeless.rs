//! The receiving half without what only tells the time, so that states can be compared.

use std::time::Duration;

use super::{ACKNOWLEDGE_WITHIN, Incoming};
use crate::frame::Stamp;
use crate::link::{AckTiming, PeerStatus};

impl Incoming {
    /// What the sending half to this peer must have been told by now, if there is nothing left to
    /// tell.
    pub(crate) fn told(&self) -> Option<PeerStatus> {
        let pending = self.news.is_some() || self.acknowledge_at.is_some();
        if pending || self.front().is_some() {
            return None;
        }
        let mut copy = self.clone();
        copy.tell(AckTiming::Delayed);
        copy.poll_status()
    }

    /// The same state as if all of it had happened right now.
    pub(crate) fn make_timeless(&mut self, now: Duration) {
        self.heard_at = now;
        self.hears_at = now;
        self.told_at = now;
        self.acknowledge_at = self.acknowledge_at.map(|_| now + ACKNOWLEDGE_WITHIN);
        self.unacknowledged = 0;
        if let Some(stream) = &mut self.stream {
            stream.delay = Stamp::ZERO;
        }
        for replaced in &mut self.replaced {
            replaced.at = now;
        }
    }
}
