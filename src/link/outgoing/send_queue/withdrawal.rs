//! What is never to reach the peer, or never reaches it whole: since the peer takes nothing more, or
//! is not there, since a message is larger than it takes, or for a process of it that is gone.

use std::mem;

use super::{Cursor, GivenUp, Queued, SendQueue, marker};
use crate::envelope::Delivery;
use crate::event::Reason;
use crate::frame::{Incarnation, Payload};
use crate::wire::{Run, join, runs_by_delivery, runs_by_size};

impl SendQueue {
    /// The peer takes nothing more: all that it has not acknowledged is given up.
    pub(in crate::link::outgoing) fn drop_all(&mut self, reason: Reason) {
        self.base = self.base.plus(self.payloads.len());
        self.forget_partial();
        self.sent = Cursor::default();
        self.missed = 0;
        self.ages.clear();
        self.counts.window_bytes = 0;
        self.counts.queued = 0;
        self.counts.in_flight = 0;
        let whole = mem::take(&mut self.payloads).into_iter().filter(|it| !it.is_broken_off());
        for Queued { payload, bound_to, .. } in whole {
            self.give_up(GivenUp { payload, reason, bound_to });
        }
    }

    /// Gives up what was never queued, and tells the peer with the next frame that it missed this.
    pub(in crate::link::outgoing) fn miss(&mut self, given_up: GivenUp) {
        self.missed += given_up.payload.envelopes();
        self.give_up(given_up);
    }

    /// Gives up a payload: it is to be reported.
    pub(in crate::link::outgoing) fn give_up(&mut self, given_up: GivenUp) {
        let envelopes = given_up.payload.envelopes();
        let dropped = &mut self.counts.dropped;
        match given_up.reason {
            Reason::TooLarge => dropped.too_large += envelopes,
            Reason::PeerDown => dropped.peer_down += envelopes,
            Reason::WindowFull => dropped.window_full += envelopes,
            Reason::Restarted => dropped.restarted += envelopes,
            Reason::InboxClosed => dropped.inbox_closed += envelopes,
            Reason::Removed | Reason::NoSuchPeer => dropped.removed += envelopes,
        }
        if envelopes > 0 {
            self.dropped.push_back(given_up);
        }
    }

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
                self.ages.remove(&queued);
                self.counts.window_bytes -= queued.window_bytes();
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
        let Queued { payload, mut missed, bound_to, tag, since, short, counted, .. } = queued;
        let kept_as = |payload: Payload, missed| Queued {
            since,
            short,
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
        kept.iter().for_each(|queued| self.ages.add(queued));
        self.counts.window_bytes += kept.iter().map(Queued::window_bytes).sum::<usize>();
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
