//! Where in the queue a payload comes.

use std::mem;

use super::fairness::{LaneId, Tag};
use super::{Queued, SendQueue, marker};
use crate::frame::{Incarnation, Payload};
use crate::link::FRAME_OVERHEAD;

impl SendQueue {
    /// Adds a payload that has come by an outbox. It may overtake what has come by others and was
    /// not begun to be sent, and if it is `short`, [what is left](Self::give_way) of a message
    /// that was.
    pub(in crate::link::outgoing) fn push(
        &mut self,
        payload: Payload,
        lane: LaneId,
        bound_to: Option<Incarnation>,
        short: bool,
    ) {
        // What no message is broken off for comes behind it, and lets others overtake it there.
        let earliest = if short { None } else { self.end_of_begun() };
        let bytes = payload.len() + FRAME_OVERHEAD;
        let tag = self.lanes.tag_from(earliest.unwrap_or_default(), lane, bytes);
        let comes_later = |queued: &&Queued| queued.place() > tag;
        let behind = self.payloads.iter().rev().take_while(comes_later).count();
        let at = (self.payloads.len() - behind).max(self.begun());
        self.insert(at, Queued { short, ..Queued::new(payload, 0, bound_to, tag) });
    }

    /// Adds a payload without envelopes, which tells the peer how many it has missed.
    pub(in crate::link::outgoing) fn push_marker(&mut self) {
        self.push_last(marker());
    }

    /// Says that nothing follows.
    pub(in crate::link::outgoing) fn push_goodbye(&mut self) {
        self.push_last(Payload::Goodbye);
    }

    fn push_last(&mut self, payload: Payload) {
        // It comes behind all of the last one, and lets others overtake it there.
        let end = |last: &Queued| last.tag + last.payload.len() as Tag;
        let tag = self.payloads.back().map_or(Tag::default(), end);
        self.insert(self.payloads.len(), Queued::new(payload, 0, None, tag));
    }

    fn insert(&mut self, at: usize, mut queued: Queued) {
        // What came by the same outbox may have been given up before something that is overtaken:
        // better tell it early than late.
        let overtaken = self.payloads.range_mut(at..).map(|queued| mem::take(&mut queued.missed));
        queued.missed = overtaken.sum::<u64>() + mem::take(&mut self.missed);
        self.counts.queued += queued.envelopes();
        self.counts.window_bytes += queued.window_bytes();
        self.payloads.insert(at, queued);
    }
}
