//! What a receiver knows between two turns.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::{Entering, PeerReceiver};
use crate::link::Incoming;

/// A receiver without its way to the application, and without the time.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) link: Incoming,
    entering: Option<Entering>,
}

impl PeerReceiver {
    /// What it knows, as if all of it had happened right now.
    pub(crate) fn snapshot(&self, now: Duration) -> Snapshot {
        let mut link = self.link.clone();
        link.make_timeless(now);
        Snapshot { link, entering: self.entering.clone() }
    }

    /// Goes on from a snapshot.
    pub(crate) fn resume(&mut self, snapshot: &Snapshot) {
        self.link = snapshot.link.clone();
        self.entering = snapshot.entering.clone();
    }
}

impl Snapshot {
    /// The ids of what has not entered the inbox yet of the arrival that is entering it.
    fn entering(&self) -> Option<Vec<i64>> {
        let entering = self.entering.as_ref()?;
        let rest = entering.held.clone().into_iter().chain(entering.envelopes.clone());
        Some(rest.map(|envelope| envelope.msg_id).collect())
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.link == other.link && self.entering() == other.entering()
    }
}

impl Eq for Snapshot {}

impl Hash for Snapshot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.link.hash(state);
        self.entering().hash(state);
    }
}
