//! A large message that is broken off for a short one, and goes on behind it.

use super::fairness::Tag;
use super::{Cursor, Queued, SendQueue, marker};
use crate::link::FRAME_OVERHEAD;

impl SendQueue {
    /// Breaks off the message of which some has been sent, if it is the turn of short payloads
    /// behind it. Its rest takes a place of its own in the stream.
    pub(in crate::link::outgoing) fn give_way(&mut self) {
        let Cursor { index, offset } = self.sent;
        if offset == 0 || self.cursor != self.sent {
            return;
        }
        let Some(begun) = self.payloads.get(index).filter(|begun| begun.is_message()) else {
            return;
        };
        let place = begun.place() + offset as Tag;
        let behind = || self.payloads.range(index + 1..);
        // One of the same length may look the same to the peer, and to wait for it takes no time.
        let whole = begun.payload.len();
        let goes_first = |queued: &&Queued| {
            queued.short && queued.place() < place && queued.payload.len() < whole
        };
        let first = behind().take_while(goes_first).count();
        // One at a time is broken off: the peer has to hold it.
        if first > 0 && !behind().any(|queued| queued.start > 0) {
            self.break_off(index + 1 + first);
        }
    }

    /// Breaks off what is being sent, which goes on at this place in the queue.
    fn break_off(&mut self, at: usize) {
        let Cursor { index, offset } = self.sent;
        let Some(begun) = self.payloads.get_mut(index) else { return };
        let end = begun.start + offset;
        let missed = std::mem::take(&mut begun.missed);
        let rest = Queued { start: end, ..begun.clone() };
        begun.end = end;
        self.before_cursor += begun.bytes();
        self.counts.window_bytes += FRAME_OVERHEAD;
        self.payloads.insert(at, rest);
        // The peer would hear of it with the rest. Better tell it early than late.
        if let Some(next) = self.payloads.get_mut(index + 1) {
            next.missed += missed;
        }
        self.sent = Cursor { index: index + 1, offset: 0 };
        self.cursor = self.sent;
    }

    /// Where the message ends that has been begun, or was broken off, as a tag.
    pub(super) fn end_of_begun(&self) -> Option<Tag> {
        let Cursor { index, offset } = self.sent;
        let mut unsent = self.payloads.range(index.min(self.payloads.len())..);
        let begun = unsent.clone().next().filter(|begun| offset > 0 && begun.is_message());
        let message = begun.or_else(|| unsent.find(|queued| queued.start > 0))?;
        Some(message.tag + message.payload.len() as Tag)
    }

    /// How many bytes come before the frame to be sent next of a payload that is broken off for it.
    pub(in crate::link::outgoing) fn suspends(&self) -> u32 {
        let before = self.cursor.index.checked_sub(1).and_then(|at| self.payloads.get(at));
        let end = before.filter(|before| before.is_broken_off()).map_or(0, |before| before.end);
        u32::try_from(end).unwrap_or(u32::MAX)
    }

    /// Another process speaks for the peer, for which every message begins anew. The places that
    /// were taken stay.
    pub(super) fn mend(&mut self) {
        for (index, queued) in self.payloads.iter_mut().enumerate() {
            if queued.is_broken_off() {
                *queued = Queued { counted: true, ..Queued::new(marker(), 0, None, queued.tag) };
            } else {
                if index == self.sent.index {
                    self.sent.offset += queued.start;
                }
                queued.start = 0;
            }
        }
    }
}
