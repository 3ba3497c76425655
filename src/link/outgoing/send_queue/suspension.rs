//! A large message that is broken off for a short one, and goes on behind it.

use super::fairness::Tag;
use super::{Cursor, Queued, SendQueue, marker};
use crate::frame::Payload;
use crate::link::FRAME_OVERHEAD;

impl SendQueue {
    /// Breaks off the message of which some has been sent, if what is left of it comes after this
    /// tag. Its rest takes a place of its own in the stream.
    pub(super) fn break_off(&mut self, tag: Tag) {
        let Cursor { index, offset } = self.sent;
        let is_rest = |queued: &Queued| queued.start > 0;
        if self.payloads.range((index + 1).min(self.payloads.len())..).any(is_rest) {
            // One at a time: the peer has to hold it.
            return;
        }
        let Some(begun) = self.payloads.get_mut(index).filter(|_| offset > 0) else { return };
        let end = begun.start + offset;
        let is_message = matches!(begun.payload, Payload::Single { .. });
        if !is_message || begun.tag + end as Tag <= tag {
            return;
        }
        let rest = Queued { start: end, ..begun.clone() };
        begun.end = end;
        begun.missed = 0;
        let bytes = begun.bytes();
        self.payloads.insert(index + 1, rest);
        self.counts.window_bytes += FRAME_OVERHEAD;
        if self.cursor == self.sent {
            self.cursor = Cursor { index: index + 1, offset: 0 };
            self.before_cursor += bytes;
        }
        self.sent = Cursor { index: index + 1, offset: 0 };
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
            let before = queued.bytes();
            if queued.is_broken_off() {
                *queued = Queued { counted: true, ..Queued::new(marker(), 0, None, queued.tag) };
            } else {
                if index == self.sent.index {
                    self.sent.offset += queued.start;
                }
                queued.start = 0;
            }
            self.counts.window_bytes += queued.bytes();
            self.counts.window_bytes -= before;
        }
    }
}
