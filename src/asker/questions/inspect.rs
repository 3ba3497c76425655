//! What the simulation looks at.

use super::{Answer, Asked, Questions};
use crate::envelope::{Envelope, Pid};
use crate::event::Reason;

/// What a thread has brought.
#[derive(Debug)]
pub(crate) enum Passed {
    /// It may be late.
    Answer(Envelope),
    /// A question came back, and who asked it was told.
    GivenUp { peer: Pid, id: i64, reason: Reason },
}

impl Questions {
    pub(super) fn note(&self, passed: Passed) {
        self.state().passed.push(passed);
    }

    /// What the threads have brought since the last time, in order.
    pub(crate) fn take_passed(&self) -> Vec<Passed> {
        std::mem::take(&mut self.state().passed)
    }

    /// How many questions are open.
    pub(crate) fn open_count(&self) -> usize {
        self.state().peers.values().map(|peer| peer.open.len()).sum()
    }
}

impl Asked {
    /// What has become of the question, if that is known and was not told before.
    pub(crate) fn poll(&self) -> Option<Answer> {
        self.answer.try_recv().ok()
    }
}
