//! What must be true of a process after each step.

use std::time::Duration;

use super::{Process, Surroundings};
use crate::link::FRAME_OVERHEAD;
use crate::sim::plan::{HEARTBEAT, PEER_TIMEOUT};

impl Process {
    /// A peer that is silent holds nobody up for long.
    pub(super) fn check_patience(&self, world: &Surroundings<'_>) {
        const PATIENCE: Duration = PEER_TIMEOUT.saturating_add(HEARTBEAT);
        let Some(output) = &self.output.logic else { return };
        for full in output.held_up_by(world.now) {
            let heard = world.network.last_arrival((full, self.pid)).unwrap_or_default();
            let listed = self.ways.iter().find(|way| way.peer == full).map(|way| way.listed);
            let awake = self.paused_until.max(listed.unwrap_or_default());
            let silent = world.now > heard.max(awake) + PATIENCE;
            assert!(!silent, "{full} is silent and holds {} up", self.id);
        }
    }

    pub(super) fn check_accounts(&self, world: &mut Surroundings<'_>) {
        let all = self.counters.snapshot(world.now);
        if all.events_missed > 0 {
            // More may be given up at once than the events channel holds: in the end, and when a
            // peer is missed for which several outboxes hold something.
            assert!(self.is_ending() || self.app.has_further(), "{} loses events", self.id);
            return world.audit.lose_sight(self.id);
        }
        for stats in &all.peers {
            world.audit.check_stats((self.id, stats.pid), stats);
            // In the end all that is left is accepted, whether there is room for it or not.
            let largest = self.limits.window.max(self.limits.max_message as usize);
            let most = (largest + 3 * FRAME_OVERHEAD) as u64;
            assert!(self.is_ending() || stats.window_bytes <= most, "{}: {stats:?}", self.id);
        }
    }
}
