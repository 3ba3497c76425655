//! When two receivers are in the same state.

use std::hash::{Hash, Hasher};

use super::PeerReceiver;

impl PeerReceiver {
    /// The ids of what has not entered the inbox yet of the arrival that is entering it.
    fn entering(&self) -> Option<Vec<i64>> {
        let entering = self.entering.as_ref()?;
        let rest = entering.held.clone().into_iter().chain(entering.envelopes.clone());
        Some(rest.map(|envelope| envelope.msg_id).collect())
    }
}

impl PartialEq for PeerReceiver {
    fn eq(&self, other: &Self) -> bool {
        self.link == other.link && self.entering() == other.entering()
    }
}

impl Eq for PeerReceiver {}

impl Hash for PeerReceiver {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.link.hash(state);
        self.entering().hash(state);
    }
}
