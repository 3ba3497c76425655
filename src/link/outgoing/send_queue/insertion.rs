//! Where in the queue a payload comes.

use std::mem;
use std::time::Duration;

use super::fairness::{LEFTOVERS, LaneId, Tag};
use super::{Queued, SendQueue, marker};
use crate::frame::{Incarnation, Payload};
use crate::link::FRAME_OVERHEAD;

/// How many payloads one overtakes at most, so that it takes no time to find its place however many
/// wait for a peer that takes none.
const MAX_OVERTAKEN: usize = 1_024;

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
        now: Duration,
    ) {
        let earliest = match lane {
            LEFTOVERS => Some(self.end()),
            _ if short => None,
            // No message is broken off for it: it comes behind that, and lets others overtake it
            // there.
            _ => self.end_of_begun(),
        };
        let bytes = payload.len() + FRAME_OVERHEAD;
        let tag = self.lanes.tag_from(earliest.unwrap_or_default(), lane, bytes);
        let comes_later = |queued: &&Queued| queued.place() > tag;
        let behind = self.payloads.iter().rev().take(MAX_OVERTAKEN).take_while(comes_later).count();
        let at = (self.payloads.len() - behind).max(self.begun());
        self.insert(at, Queued { short, since: now, ..Queued::new(payload, 0, bound_to, tag) });
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
        let tag = self.end();
        self.insert(self.payloads.len(), Queued::new(payload, 0, None, tag));
    }

    /// The tag of what comes behind all of the last payload, and lets others overtake it there.
    fn end(&self) -> Tag {
        let end = |last: &Queued| last.tag + last.payload.len() as Tag;
        self.payloads.back().map_or(Tag::default(), end)
    }

    fn insert(&mut self, at: usize, mut queued: Queued) {
        // What came by the same outbox may have been given up before something that is overtaken:
        // better tell it early than late.
        let overtaken = self.payloads.range_mut(at..).map(|queued| mem::take(&mut queued.missed));
        queued.missed = overtaken.sum::<u64>() + mem::take(&mut self.missed);
        self.ages.add(&queued);
        self.counts.queued += queued.envelopes();
        self.counts.window_bytes += queued.window_bytes();
        self.payloads.insert(at, queued);
    }
}
