//! What the output thread knows between two turns, so that the model can go on from any state.

use std::time::Duration;

use crossbeam_channel::never;

use super::{Outbox, Output};
use crate::lifecycle::{Lifecycle, Stage, Step};
use crate::link::Outgoing;

/// An output thread with one peer, without its channels and without the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    pub(crate) link: Outgoing,
    pub(crate) stage: Stage,
}

impl Output {
    /// What it knows, as if all of it had happened right now.
    pub(crate) fn snapshot(&self, now: Duration) -> Snapshot {
        let waits = self.outboxes.iter().any(Outbox::has_deferred);
        assert!(!waits, "a snapshot has no room for what waits");
        let mut link = self.link().clone();
        link.make_timeless(now);
        Snapshot { link, stage: self.stage() }
    }

    /// Goes on from a snapshot, of which the input thread has not taken the stages in `control`
    /// yet.
    pub(crate) fn resume(&mut self, snapshot: &Snapshot, control: &[Stage], now: Duration) {
        self.setup.peers[0].link = snapshot.link.clone();
        self.lifecycle = lifecycle(snapshot.stage, self.setup.linger, now);
        if snapshot.stage != Stage::Open {
            self.close_outboxes();
        }
        if matches!(snapshot.stage, Stage::Stopping | Stage::Ending) {
            self.setup.stop = never();
        }
        for stage in control {
            self.setup.control.try_send(*stage).unwrap();
        }
    }

    /// The sending half of its one link.
    pub(crate) fn link(&self) -> &Outgoing {
        &self.setup.peers[0].link
    }

    /// Whether it waits no longer for all to be acknowledged, although that is not.
    pub(crate) fn has_given_up(&self) -> bool {
        matches!(self.stage(), Stage::Settled | Stage::Ending) && !self.link().is_settled()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.lifecycle.stage()
    }
}

/// The lifecycle of a server that has just come to this stage.
fn lifecycle(stage: Stage, linger: Duration, now: Duration) -> Lifecycle {
    let steps: &[Step] = match stage {
        Stage::Open => &[],
        Stage::Leaving => &[Step::OutboxEnded],
        Stage::Stopping => &[Step::Stop],
        Stage::Settled => &[Step::OutboxEnded, Step::Settled],
        Stage::Ending => &[Step::Stop, Step::Settled],
    };
    let mut lifecycle = Lifecycle::new(linger);
    for step in steps {
        lifecycle.take(*step, now);
    }
    assert_eq!(lifecycle.stage(), stage);
    lifecycle
}
