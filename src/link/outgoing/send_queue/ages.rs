//! Since when there is what is not acknowledged yet.

use std::collections::BTreeMap;
use std::time::Duration;

#[cfg(test)]
use super::{Lanes, Tag};
use super::{Queued, SendQueue};

/// How many payloads with envelopes have come at which time. In the queue they do not stand in the
/// order in which they have come: some overtake others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ages(BTreeMap<Duration, usize>);

impl Ages {
    pub(super) fn add(&mut self, queued: &Queued) {
        if queued.envelopes() > 0 {
            *self.0.entry(queued.since).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, queued: &Queued) {
        if queued.envelopes() == 0 {
            return;
        }
        let Some(count) = self.0.get_mut(&queued.since) else { return };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&queued.since);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl SendQueue {
    /// Since when there is the oldest envelope that is not acknowledged, if there is any.
    pub(in crate::link::outgoing) fn oldest(&self) -> Option<Duration> {
        self.ages.0.first_key_value().map(|(since, _)| *since)
    }

    /// Forgets when and by which outbox each payload has come, and what there was before.
    #[cfg(test)]
    pub(in crate::link::outgoing) fn forget_history(&mut self, now: Duration) {
        self.lanes = Lanes::default();
        self.acknowledged.clear();
        self.ages.clear();
        for queued in &mut self.payloads {
            (queued.since, queued.tag) = (now, Tag::default());
            self.ages.add(queued);
        }
    }
}
