//! What was accepted for a peer and is not settled yet.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::event::Reason;
use crate::frame::{Payload, Sequence};
use crate::link::FRAME_OVERHEAD;
use crate::stats::{Dropped, PeerStats};

/// The frames of one stream that are not acknowledged, in order, and the accounts of all there
/// were.
///
/// ```text
///   acknowledged │      in flight       │   queued    │
///   ─────────────┼──────────────────────┼─────────────┼── sequence ──►
///               base     ▲            sent          end
///                      cursor, which a gap sets back to base
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SendQueue {
    frames: VecDeque<Queued>,
    /// The sequence of the first frame.
    base: Sequence,
    /// How many frames have been sent since the last time the sender went back.
    cursor: usize,
    /// How many frames have ever been sent.
    sent: usize,
    /// Envelopes given up since the last frame was queued.
    missed: u64,
    dropped: VecDeque<(Payload, Reason)>,
    pub(super) counts: Counts,
}

/// A frame that is not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queued {
    pub(super) payload: Payload,
    /// Envelopes given up right before it.
    pub(super) missed: u64,
}

impl Queued {
    /// What it takes of the window.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }
}

/// Envelopes, but for the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) queued: u64,
    pub(super) in_flight: u64,
    pub(super) window_bytes: usize,
    pub(super) acknowledged: u64,
    pub(super) sent: u64,
    pub(super) resent: u64,
    pub(super) dropped: Dropped,
}

impl SendQueue {
    pub(super) fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            base: Sequence::FIRST,
            cursor: 0,
            sent: 0,
            missed: 0,
            dropped: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether nothing but a goodbye is left.
    pub(super) fn holds_no_envelopes(&self) -> bool {
        self.frames.iter().all(|queued| queued.payload == Payload::Goodbye)
    }

    /// Whether something is sent and not acknowledged.
    pub(super) fn is_in_flight(&self) -> bool {
        self.sent > 0
    }

    /// Whether envelopes were given up of which the peer has not been told.
    pub(super) fn has_missed(&self) -> bool {
        self.missed > 0
    }

    /// The first sequence that is not settled.
    pub(super) fn base(&self) -> Sequence {
        self.base
    }

    /// The sequence of the frame to be sent next.
    pub(super) fn next(&self) -> Sequence {
        self.base.plus(self.cursor)
    }

    /// The sequence after the last frame that was ever sent.
    pub(super) fn end_of_sent(&self) -> Sequence {
        self.base.plus(self.sent)
    }

    /// The largest payload on its way, in bytes.
    pub(super) fn largest_in_flight(&self) -> usize {
        let in_flight = self.frames.iter().take(self.sent);
        in_flight.map(|queued| queued.payload.len()).max().unwrap_or(0)
    }

    /// Adds a frame at the end.
    pub(super) fn push(&mut self, payload: Payload) {
        let queued = Queued { payload, missed: std::mem::take(&mut self.missed) };
        self.counts.queued += queued.payload.envelopes();
        self.counts.window_bytes += queued.bytes();
        self.frames.push_back(queued);
    }

    /// Adds a frame without envelopes, which tells the peer how many it has missed.
    pub(super) fn push_marker(&mut self) {
        self.push(marker());
    }

    /// The next frame to send, which counts as sent from here on.
    pub(super) fn take_next(&mut self) -> Option<Queued> {
        let queued = self.frames.get(self.cursor)?.clone();
        let envelopes = queued.payload.envelopes();
        if self.cursor < self.sent {
            self.counts.resent += envelopes;
        } else {
            self.sent = self.cursor + 1;
            self.counts.queued -= envelopes;
            self.counts.in_flight += envelopes;
            self.counts.sent += envelopes;
        }
        self.cursor += 1;
        Some(queued)
    }

    /// Sends again all that is not acknowledged.
    pub(super) fn go_back(&mut self) {
        self.cursor = 0;
    }

    /// All before `next` has entered the peer's inbox.
    pub(super) fn acknowledge(&mut self, next: Sequence) {
        while self.base < next {
            let Some(front) = self.frames.pop_front() else { return };
            self.base = self.base.next();
            self.cursor = self.cursor.saturating_sub(1);
            self.sent = self.sent.saturating_sub(1);
            self.counts.window_bytes -= front.bytes();
            self.counts.in_flight -= front.payload.envelopes();
            self.counts.acknowledged += front.payload.envelopes();
        }
    }

    /// The peer takes nothing more: all that it has not acknowledged is given up.
    pub(super) fn drop_all(&mut self) {
        self.base = self.base.plus(self.frames.len());
        self.cursor = 0;
        self.sent = 0;
        self.missed = 0;
        self.counts.window_bytes = 0;
        self.counts.queued = 0;
        self.counts.in_flight = 0;
        for queued in std::mem::take(&mut self.frames) {
            self.give_up(queued.payload, Reason::InboxClosed);
        }
    }

    /// Gives up every frame that `is_too_large`. The peer is told at the place where it would have
    /// come.
    pub(super) fn drop_too_large(&mut self, is_too_large: impl Fn(&Payload) -> bool) {
        for index in 0..self.frames.len() {
            let queued = &mut self.frames[index];
            if !is_too_large(&queued.payload) {
                continue;
            }
            let payload = std::mem::replace(&mut queued.payload, marker());
            queued.missed += payload.envelopes();
            self.counts.window_bytes -= payload.len();
            let in_flight = index < self.sent;
            let counts = &mut self.counts;
            let count = if in_flight { &mut counts.in_flight } else { &mut counts.queued };
            *count -= payload.envelopes();
            self.give_up(payload, Reason::TooLarge);
        }
    }

    /// Gives up what was never queued, and tells the peer with the next frame that it missed this.
    pub(super) fn miss(&mut self, payload: Payload, reason: Reason) {
        self.missed += payload.envelopes();
        self.give_up(payload, reason);
    }

    /// Gives up a payload: it is to be reported.
    pub(super) fn give_up(&mut self, payload: Payload, reason: Reason) {
        let envelopes = payload.envelopes();
        let dropped = &mut self.counts.dropped;
        match reason {
            Reason::TooLarge => dropped.too_large += envelopes,
            Reason::PeerDown => dropped.peer_down += envelopes,
            Reason::InboxClosed | Reason::NoSuchPeer => dropped.inbox_closed += envelopes,
        }
        if envelopes > 0 {
            self.dropped.push_back((payload, reason));
        }
    }

    /// What has been given up and is to be reported.
    pub(super) fn poll_dropped(&mut self) -> Option<(Payload, Reason)> {
        self.dropped.pop_front()
    }

    /// What is left, in order.
    pub(super) fn into_payloads(self) -> impl Iterator<Item = Payload> {
        self.frames.into_iter().map(|queued| queued.payload)
    }

    /// The accounts, as the application sees them.
    pub(super) fn stats(&self) -> PeerStats {
        let counts = &self.counts;
        PeerStats {
            accepted: counts.accepted,
            queued: counts.queued,
            in_flight: counts.in_flight,
            window_bytes: counts.window_bytes as u64,
            acknowledged: counts.acknowledged,
            sent: counts.sent,
            resent: counts.resent,
            dropped: counts.dropped,
            ..PeerStats::default()
        }
    }
}

/// A frame that only says how many envelopes are missing before it.
fn marker() -> Payload {
    Payload::Batch { envelopes: 0, body: Bytes::new() }
}
