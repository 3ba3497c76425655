//! What is queued and never to reach the peer: what is larger than it takes, and what is for a
//! process of it that is gone.

use std::mem;

use super::{Cursor, GivenUp, Queued, SendQueue, marker};
use crate::envelope::Delivery;
use crate::event::Reason;
use crate::frame::{Incarnation, Payload};
use crate::wire::{Run, join, runs_by_delivery, runs_by_size};

impl SendQueue {
    /// Gives up every envelope with a message above `max_message` bytes. The peer is told at the
    /// place where it would have come, or at the beginning of a batch that has been sent before.
    /// Returns whether there was any.
    pub(in crate::link::outgoing) fn drop_too_large(&mut self, max_message: u32) -> bool {
        let exceeds = |queued: &Queued| queued.payload.largest() > max_message;
        self.withdraw(Reason::TooLarge, exceeds, |payload| runs_by_size(payload, max_message))
    }

    /// Gives up every envelope that is for another process than this one, which need not know.
    /// Returns whether there was any.
    pub(in crate::link::outgoing) fn drop_bound_to_others(&mut self, process: Incarnation) -> bool {
        let is_for_other = |queued: &Queued| queued.bound_to.is_some_and(|one| one != process);
        let runs = |payload| runs_by_delivery(payload, Delivery::is_for_one_process);
        self.withdraw(Reason::Restarted, is_for_other, runs)
    }

    fn withdraw(
        &mut self,
        reason: Reason,
        holds_some: impl Fn(&Queued) -> bool,
        runs: impl Fn(Payload) -> Vec<Run>,
    ) -> bool {
        if !self.payloads.iter().any(&holds_some) {
            return false;
        }
        self.forget_partial();
        // What the peer may have in part is now something else, as far as it was sent.
        let begun = self.begun();
        self.sent = Cursor { index: begun, offset: 0 };
        for (index, queued) in mem::take(&mut self.payloads).into_iter().enumerate() {
            if holds_some(&queued) {
                self.counts.window_bytes -= queued.bytes();
                self.requeue_without(reason, queued, &runs, index < begun);
            } else {
                self.payloads.push_back(queued);
            }
        }
        true
    }

    /// Queues what is left of a payload. What has been sent keeps its place in the stream.
    fn requeue_without(
        &mut self,
        reason: Reason,
        queued: Queued,
        runs: impl Fn(Payload) -> Vec<Run>,
        was_sent: bool,
    ) {
        let Queued { payload, mut missed, bound_to, tag, counted, .. } = queued;
        let kept_as = |payload: Payload, missed| Queued {
            counted,
            ..Queued::new(payload, missed, bound_to, tag)
        };
        let mut kept = Vec::new();
        for Run { payload, meets } in runs(payload) {
            if meets {
                self.withdraw_run(GivenUp { payload, reason, bound_to }, &mut missed, counted);
            } else {
                let missed = if was_sent { 0 } else { mem::take(&mut missed) };
                kept.push(kept_as(payload, missed));
            }
        }
        if was_sent {
            let payload = join(kept.into_iter().map(|queued| queued.payload));
            kept = vec![kept_as(payload, missed)];
        } else if missed > 0 {
            kept.push(kept_as(marker(), missed));
        }
        self.counts.window_bytes += kept.iter().map(Queued::bytes).sum::<usize>();
        self.payloads.extend(kept);
    }

    fn withdraw_run(&mut self, run: GivenUp, missed: &mut u64, counted: bool) {
        let envelopes = run.payload.envelopes();
        if run.reason != Reason::Restarted {
            *missed += envelopes;
        }
        let counts = &mut self.counts;
        *if counted { &mut counts.in_flight } else { &mut counts.queued } -= envelopes;
        self.give_up(run);
    }
}
