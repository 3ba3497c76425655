//! What the peer has, and what it misses.

use std::mem;

use super::{Queued, SendQueue};
use crate::frame::Position;

impl SendQueue {
    /// The peer misses what comes from `next` on. It may have had more of the first payload before,
    /// which it could not keep.
    pub(in crate::link::outgoing) fn lose_partial(&mut self, next: Position) {
        if next.sequence == self.base {
            self.partial = self.partial.min(self.offset_in_first(next));
        }
    }

    /// All before `next` has come. Returns how many bytes of the window that is.
    pub(in crate::link::outgoing) fn acknowledge(&mut self, next: Position) -> usize {
        let mut bytes = 0;
        while self.base < next.sequence {
            let Some(front) = self.pop() else { return bytes };
            bytes += front.bytes() - mem::take(&mut self.partial);
        }
        let partial = self.offset_in_first(next);
        let most = self.payloads.front().map_or(0, Queued::most_in_part);
        if self.base == next.sequence && (self.partial + 1..=most).contains(&partial) {
            bytes += partial - self.partial;
            self.partial = partial;
            let (cursor, before) = self.first_missing();
            if cursor > self.cursor {
                (self.cursor, self.before_cursor) = (cursor, before);
            }
        }
        bytes
    }

    fn offset_in_first(&self, position: Position) -> usize {
        let start = self.payloads.front().map_or(0, |first| first.start);
        (position.offset as usize).saturating_sub(start)
    }

    /// Takes out the first payload, which is acknowledged.
    fn pop(&mut self) -> Option<Queued> {
        let front = self.payloads.pop_front()?;
        self.base = self.base.next();
        if self.cursor.index > 0 {
            self.before_cursor -= front.bytes();
        }
        self.cursor.shift();
        self.sent.shift();
        self.repeated = self.repeated.saturating_sub(1);
        self.ages.remove(&front);
        self.counts.window_bytes -= front.window_bytes();
        self.counts.in_flight -= front.envelopes();
        self.counts.acknowledged += front.envelopes();
        if !front.is_broken_off() {
            self.counts.acknowledged_bytes += front.payload.len() as u64;
            if front.payload.delivery().receipt {
                self.receipts.push_back(front.payload.clone());
            }
            #[cfg(test)]
            self.acknowledged.push(front.payload.clone());
        }
        Some(front)
    }
}
