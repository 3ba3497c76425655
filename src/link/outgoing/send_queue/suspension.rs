//! A large message that is broken off for a short one, and goes on behind it.

use super::fairness::Tag;
use super::{Cursor, Queued, SendQueue, marker};
use crate::frame::Payload;
use crate::link::FRAME_OVERHEAD;

impl SendQueue {
    /// Breaks off the message of which some has been sent, if what is left of it comes after this
    /// tag. Its rest takes a place of its own in the stream. Returns how many bytes come before it,
    /// or zero if nothing was broken off.
    pub(super) fn break_off(&mut self, tag: Tag) -> u32 {
        let Cursor { index, offset } = self.sent;
        let is_rest = |queued: &Queued| queued.start > 0;
        if self.payloads.range((index + 1).min(self.payloads.len())..).any(is_rest) {
            // One at a time: the peer has to hold it.
            return 0;
        }
        let Some(begun) = self.payloads.get_mut(index).filter(|_| offset > 0) else { return 0 };
        let end = begun.start + offset;
        let is_message = matches!(begun.payload, Payload::Single { .. });
        if !is_message || begun.tag + end as Tag <= tag {
            return 0;
        }
        let rest = Queued { start: end, suspends: 0, ..begun.clone() };
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
        u32::try_from(end).unwrap_or(u32::MAX)
    }

    /// How many bytes come before the frame to be sent next of a payload that is broken off for it.
    pub(in crate::link::outgoing) fn suspends(&self) -> u32 {
        self.payloads.get(self.cursor.index).map_or(0, |queued| queued.suspends)
    }

    /// Another process speaks for the peer, for which every message begins anew. The places that
    /// were taken stay.
    pub(super) fn mend(&mut self) {
        for (index, queued) in self.payloads.iter_mut().enumerate() {
            let before = queued.bytes();
            queued.suspends = 0;
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
