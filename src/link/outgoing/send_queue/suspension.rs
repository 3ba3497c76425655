//! A large message that is broken off for a short one, and goes on behind it.

use super::fairness::{LaneId, Tag};
use super::{Cursor, Queued, SendQueue, marker};
use crate::frame::Payload;
use crate::link::FRAME_OVERHEAD;

impl SendQueue {
    /// Where a short payload of this lane, with this tag, comes in between the frames of a message, if
    /// it does. What is left of the message takes a place of its own in the stream.
    pub(super) fn interjection(&mut self, lane: LaneId, tag: Tag) -> Option<usize> {
        let begun = self.begun();
        let unsent = self.payloads.range(begun..);
        let is_behind = |place| unsent.clone().skip(place).any(|it| it.lane == Some(lane));
        let Some(rest) = unsent.clone().position(|queued| queued.start > 0) else {
            return if is_behind(0) { None } else { self.break_off(lane, tag) };
        };
        // One message at a time is broken off: the peer has to hold it.
        let place = unsent.clone().take(rest + 1).position(|queued| queued.comes_at() > tag)?;
        (!is_behind(place)).then_some(begun + place)
    }

    /// Breaks off the message of which some has been sent, if what is left of it comes after this
    /// tag. Returns the place behind the break.
    fn break_off(&mut self, lane: LaneId, tag: Tag) -> Option<usize> {
        let Cursor { index, offset } = self.sent;
        let begun = self.payloads.get_mut(index).filter(|_| offset > 0)?;
        let end = begun.start + offset;
        let is_message = matches!(begun.payload, Payload::Single { .. });
        if !is_message || begun.lane == Some(lane) || begun.tag + end as Tag <= tag {
            return None;
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
        Some(index + 1)
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
