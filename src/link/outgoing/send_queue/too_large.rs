//! What is queued and turns out to be larger than the peer takes.

use std::mem;

use super::{Cursor, Queued, SendQueue, marker};
use crate::event::Reason;
use crate::wire::{Run, join, runs_by_size};

impl SendQueue {
    /// Gives up every envelope with a message above `max_message` bytes. The peer is told at the
    /// place where it would have come, or at the beginning of a batch that has been sent before.
    /// Returns whether there was any.
    pub(in crate::link::outgoing) fn drop_too_large(&mut self, max_message: u32) -> bool {
        let exceeds = |queued: &Queued| queued.payload.largest() > max_message;
        if !self.payloads.iter().any(exceeds) {
            return false;
        }
        self.forget_partial();
        // What the peer may have in part is now something else, as far as it was sent.
        let begun = self.sent.index + usize::from(self.sent.offset > 0);
        self.sent = Cursor { index: begun, offset: 0 };
        for (index, queued) in mem::take(&mut self.payloads).into_iter().enumerate() {
            if exceeds(&queued) {
                self.counts.window_bytes -= queued.bytes();
                self.requeue_without(queued, max_message, index < begun);
            } else {
                self.payloads.push_back(queued);
            }
        }
        true
    }

    /// Queues what is left of a payload without what is too large in it. What has been sent keeps
    /// its place in the stream.
    fn requeue_without(&mut self, queued: Queued, max_message: u32, was_sent: bool) {
        let mut missed = queued.missed;
        let mut kept = Vec::new();
        for Run { payload, exceeds } in runs_by_size(queued.payload, max_message) {
            if exceeds {
                missed += payload.envelopes();
                let counts = &mut self.counts;
                let count = if was_sent { &mut counts.in_flight } else { &mut counts.queued };
                *count -= payload.envelopes();
                self.give_up(payload, Reason::TooLarge);
            } else {
                let missed = if was_sent { 0 } else { mem::take(&mut missed) };
                kept.push(Queued { payload, missed });
            }
        }
        if was_sent {
            let payload = join(kept.into_iter().map(|queued| queued.payload));
            kept = vec![Queued { payload, missed }];
        } else if missed > 0 {
            kept.push(Queued { payload: marker(), missed });
        }
        self.counts.window_bytes += kept.iter().map(Queued::bytes).sum::<usize>();
        self.payloads.extend(kept);
    }
}
