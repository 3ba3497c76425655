//! The end of a process, and what has to be true then.

use super::{END_SLACK, NEVER, Process};
use crate::report::PeerReport;
use crate::sim::audit::Audit;
use crate::sim::message::Record;
use crate::sim::plan::LINGER;
use crate::sim::world::Surroundings;

impl Process {
    /// The output thread says the last words, and hands over what is left.
    pub(super) fn end(&mut self, world: &mut Surroundings<'_>) {
        let Some(mut output) = self.output.logic.take() else { return };
        let acknowledged = output.take_acknowledged();
        let reports = output.end(world.now);
        self.output.due = NEVER;
        self.take_stock(acknowledged, world);
        let told_all = self.stats().events_missed == 0;
        let gave_up = reports.iter().any(|report| !report.undelivered.is_empty());
        let patient = self.lingered.is_some_and(|lingered| lingered + END_SLACK > LINGER);
        assert!(!gave_up || patient, "{} gives up after {:?}", self.id, self.lingered);
        for PeerReport { pid, undelivered } in reports.iter().filter(|_| told_all) {
            let left: Vec<_> = undelivered.iter().map(Record::of).collect();
            world.audit.check_undelivered(self.id, *pid, &left);
        }
        self.bury(world.audit);
    }

    /// What entered its inbox did so, although nobody will read it.
    pub(in crate::sim) fn bury(&mut self, audit: &mut Audit) {
        self.read(usize::MAX, audit);
        audit.check_acknowledged(self.id);
    }
}
