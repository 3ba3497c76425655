//! The sending half of a link.

mod congestion;
mod peer;
mod send_queue;

use std::time::Duration;

use crate::event::{Reason, Rejection};
use crate::frame::{Acknowledgement, Epoch, Frame, Header, Intake, Payload, Silence};
use crate::link::outgoing::congestion::CongestionWindow;
use crate::link::outgoing::peer::Peer;
use crate::link::outgoing::send_queue::SendQueue;
use crate::link::{AckTiming, Ends, FRAME_OVERHEAD, Limits, PeerStatus, Presence};
use crate::stats::{PeerState, PeerStats};

/// The slowest network on which a large message still counts as on its way, in bytes per second.
const SLOWEST: u64 = 1 << 20;

/// The sending half of a link: keeps what it sends to one peer until the peer has acknowledged it,
/// and sends it again from where the peer misses something.
///
/// [`push`](Self::push) what there is [`room`](Self::room) for, [`refuse`](Self::refuse) the rest,
/// and call [`handle_status`](Self::handle_status) with what the other half learns; then
/// [`poll_dropped`](Self::poll_dropped) and [`poll_transmit`](Self::poll_transmit) until they are
/// empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outgoing {
    ends: Ends,
    limits: Limits,
    queue: SendQueue,
    congestion: CongestionWindow,
    /// How often the sender has gone back.
    epoch: Epoch,
    /// What was sent since the peer was last asked for an acknowledgement, in bytes.
    unasked: usize,
    /// Nothing more will be pushed: the goodbye is queued, or was.
    goodbye_queued: bool,
    peer: Peer,
    ack_to_send: Acknowledgement,
    ack_timing: AckTiming,
    last_sent: Option<Duration>,
    /// Until when the peer is known to have heard this server.
    confirmed: Duration,
}

/// Whether something can be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Yes,
    /// Not until the peer has acknowledged something.
    Wait,
    /// No, and nobody should wait for it.
    Refuse(Reason),
}

impl Outgoing {
    pub(crate) fn new(ends: Ends, limits: Limits, now: Duration) -> Self {
        Self {
            ends,
            limits,
            queue: SendQueue::new(),
            congestion: CongestionWindow::new(limits.initial_window, limits.window),
            epoch: Epoch::FIRST,
            unasked: 0,
            goodbye_queued: false,
            peer: Peer::awaited(now),
            ack_to_send: Acknowledgement::NONE,
            ack_timing: AckTiming::Immediate,
            last_sent: None,
            confirmed: now,
        }
    }

    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    /// Until when the peer is known to have heard this server.
    pub(crate) fn confirmed(&self) -> Duration {
        self.confirmed
    }

    /// Whether there is room for a payload of `bytes`.
    pub(crate) fn room(&self, bytes: usize, now: Duration) -> Room {
        if self.peer.intake != Intake::Open {
            return Room::Refuse(Reason::InboxClosed);
        }
        let reachable = self.is_reachable(now);
        let alive = reachable && self.peer.presence == Presence::Up;
        let bound = if alive { self.congestion.bytes() } else { self.limits.window };
        match reachable {
            _ if self.fits(bytes, bound) => Room::Yes,
            true => Room::Wait,
            false => Room::Refuse(Reason::PeerDown),
        }
    }

    /// Whether there is room for a payload of `bytes` within the `bound`. An empty link has room
    /// for any.
    fn fits(&self, bytes: usize, bound: usize) -> bool {
        let needed = self.queue.counts.window_bytes + bytes + FRAME_OVERHEAD;
        self.queue.is_empty() || needed <= bound
    }

    /// Accepts a payload. It is kept until it is acknowledged or comes out of
    /// [`poll_dropped`](Self::poll_dropped).
    pub(crate) fn push(&mut self, payload: Payload) {
        debug_assert!(!self.goodbye_queued);
        self.queue.counts.accepted += payload.envelopes();
        if is_too_large(&payload, self.peer.max_message) {
            self.queue.miss(payload, Reason::TooLarge);
        } else {
            self.queue.push(payload);
        }
    }

    /// Accepts a payload that is not going to be sent.
    pub(crate) fn refuse(&mut self, payload: Payload, reason: Reason) {
        self.queue.counts.accepted += payload.envelopes();
        if reason == Reason::PeerDown {
            self.queue.miss(payload, reason);
        } else {
            self.queue.give_up(payload, reason);
        }
    }

    /// Nothing more will be pushed.
    pub(crate) fn say_goodbye(&mut self) {
        if !self.goodbye_queued {
            self.goodbye_queued = true;
            self.queue.push(Payload::Goodbye);
        }
    }

    /// The connection was replaced: what it had not sent is gone.
    pub(crate) fn handle_renewal(&mut self) {
        self.ack_timing = AckTiming::Immediate;
        self.go_back();
    }

    /// The process did not run for `pause`: the silence was its own.
    pub(crate) fn handle_pause(&mut self, pause: Duration) {
        self.confirmed += pause;
    }

    /// Takes what the receiving half of the other direction has learnt of the peer.
    pub(crate) fn handle_status(&mut self, status: &PeerStatus) -> Result<(), Rejection> {
        let was_settled = self.is_settled();
        let peer = Peer::of(status, self.ends.incarnation);
        let before = std::mem::replace(&mut self.peer, peer);
        self.ack_to_send = status.ack_to_send;
        self.ack_timing = self.ack_timing.max(status.ack_timing);
        let acked = self.on_ack(&status.received_ack, status.heard_at);
        let restarted = before.incarnation != status.incarnation;
        let back = before.presence == Presence::Down && status.presence == Presence::Up;
        if restarted || back {
            self.go_back();
        }
        let max_message = self.peer.max_message;
        if self.peer.intake != Intake::Open {
            self.drop_all();
        } else if max_message < before.max_message || restarted {
            self.queue.drop_too_large(|payload| is_too_large(payload, max_message));
        }
        let left_behind = restarted && self.queue.is_empty();
        if left_behind && self.goodbye_queued {
            self.queue.push(Payload::Goodbye);
        }
        if self.is_settled() && !was_settled {
            // The peer waits for this before it ends.
            self.ack_timing = AckTiming::Immediate;
        }
        acked
    }

    /// Takes an acknowledgement, if it speaks of this process.
    fn on_ack(&mut self, ack: &Acknowledgement, at: Duration) -> Result<(), Rejection> {
        if ack.of != Some(self.ends.incarnation) {
            return Ok(());
        }
        if ack.next > self.queue.end_of_sent() {
            return Err(Rejection::FalseAcknowledgement(self.ends.peer));
        }
        if let Some(silence) = ack.silence.duration() {
            self.confirmed = self.confirmed.max(at.saturating_sub(silence));
        }
        self.queue.acknowledge(ack.next);
        self.congestion.on_ack(ack.next, at);
        if ack.nack == Some(self.epoch) {
            self.go_back();
        }
        Ok(())
    }

    fn go_back(&mut self) {
        self.queue.go_back();
        self.congestion.on_retransmit();
        self.epoch = self.epoch.next();
    }

    /// The peer takes nothing more. That this server leaves, it may still hear.
    fn drop_all(&mut self) {
        if self.queue.holds_no_envelopes() {
            return;
        }
        self.queue.drop_all();
        if self.goodbye_queued {
            self.queue.push(Payload::Goodbye);
        }
    }

    /// What has been given up and is to be reported.
    pub(crate) fn poll_dropped(&mut self) -> Option<(Payload, Reason)> {
        self.queue.poll_dropped()
    }

    /// The next frame to send.
    pub(crate) fn poll_transmit(&mut self, now: Duration) -> Option<Frame> {
        if self.peer.intake == Intake::Ended {
            return None;
        }
        let reached = self.peer.listens() && self.is_reachable(now);
        if self.queue.has_missed() && reached && self.fits(0, self.limits.window) {
            self.queue.push_marker();
        }
        let queued = if self.peer.listens() { self.next_queued(now) } else { None };
        let frame = if let Some(frame) = queued {
            frame
        } else if self.ack_timing == AckTiming::Immediate {
            self.heartbeat(false, now)
        } else if self.is_quiet(now) {
            // What was sent may be acknowledged and the acknowledgement lost. An answer to such a
            // question asks nothing, or the two would never end.
            self.heartbeat(self.queue.is_in_flight(), now)
        } else {
            return None;
        };
        self.ack_timing = AckTiming::Delayed;
        self.last_sent = Some(now);
        Some(frame)
    }

    fn next_queued(&mut self, now: Duration) -> Option<Frame> {
        let header = self.header(now);
        let queued = self.queue.take_next()?;
        self.unasked += queued.bytes();
        let goodbye = queued.payload == Payload::Goodbye;
        let wants_ack = goodbye || self.unasked >= self.congestion.bytes() / 2;
        if wants_ack {
            self.unasked = 0;
            self.congestion.on_send(header.sequence, self.queue.counts.window_bytes, now);
        }
        let header = Header { missed: queued.missed, wants_ack, ..header };
        Some(Frame { header, payload: queued.payload })
    }

    fn heartbeat(&self, wants_ack: bool, now: Duration) -> Frame {
        Frame { header: Header { wants_ack, ..self.header(now) }, payload: Payload::Heartbeat }
    }

    /// The header of the frame at the cursor.
    fn header(&self, now: Duration) -> Header {
        let heard = self.ack_to_send.of.map(|_| now.saturating_sub(self.peer.heard_at));
        Header {
            cluster: self.ends.cluster,
            from: self.ends.own,
            to: self.ends.peer,
            incarnation: self.ends.incarnation,
            sequence: self.queue.next(),
            base: self.queue.base(),
            epoch: self.epoch,
            missed: 0,
            max_message: self.limits.max_message,
            wants_ack: false,
            settled: self.is_settled(),
            acknowledgement: Acknowledgement {
                silence: heard.map_or(Silence::NEVER_HEARD, Silence::new),
                ..self.ack_to_send
            },
        }
    }

    fn is_quiet(&self, now: Duration) -> bool {
        !self.is_resting() && now >= self.heartbeat_due()
    }

    fn heartbeat_due(&self) -> Duration {
        self.last_sent.map_or(Duration::ZERO, |sent| sent + self.limits.heartbeat)
    }

    /// Whether the peer has heard this server within the peer timeout.
    pub(crate) fn is_reachable(&self, now: Duration) -> bool {
        now < self.unreachable_at(now)
    }

    /// How much longer than others a peer may take to confirm anything: one that is heard but does
    /// not hear may be busy with a large message.
    pub(crate) fn grace(&self) -> Duration {
        if self.peer.presence != Presence::Up {
            return Duration::ZERO;
        }
        Duration::from_secs(self.queue.largest_in_flight() as u64 / SLOWEST)
    }

    /// When the peer counts as one that does not hear this server.
    fn unreachable_at(&self, now: Duration) -> Duration {
        let due = self.confirmed + self.limits.peer_timeout;
        if due <= now { due + self.grace() } else { due }
    }

    /// Whether somebody is there to hear the last words.
    pub(crate) fn has_listener(&self, now: Duration) -> bool {
        self.peer.listens() && self.peer.intake != Intake::Ended && self.is_reachable(now)
    }

    /// Whether waiting would be for nothing: all is settled, or only the goodbye is not and the
    /// peer is not there to hear it.
    pub(crate) fn awaits_nothing(&self) -> bool {
        self.is_settled() || !self.peer.listens() && self.queue.holds_no_envelopes()
    }

    /// Whether all that was accepted is settled, and the goodbye too.
    pub(crate) fn is_settled(&self) -> bool {
        let ended = self.peer.intake == Intake::Ended;
        self.goodbye_queued && (self.queue.is_empty() || ended)
    }

    /// Whether neither side waits for the other any more.
    pub(crate) fn is_finished(&self) -> bool {
        let left = self.peer.presence == Presence::Left;
        let ended = self.peer.intake == Intake::Ended;
        self.is_settled() && (ended || left && self.peer.settled)
    }

    /// Whether there is nothing to say to the peer until another process speaks for it.
    pub(crate) fn is_resting(&self) -> bool {
        self.peer.intake == Intake::Ended || self.is_finished()
    }

    /// When to call the others again although nothing has come in.
    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        if self.is_resting() {
            return None;
        }
        let unreachable = Some(self.unreachable_at(now)).filter(|due| *due > now);
        unreachable.into_iter().chain([self.heartbeat_due()]).min()
    }

    /// The last frame of this process: the peer's envelopes go nowhere from now on.
    pub(crate) fn last_words(&mut self, now: Duration) -> Frame {
        self.ack_to_send.intake = Intake::Ended;
        self.heartbeat(false, now)
    }

    /// What was accepted and never acknowledged, in order.
    pub(crate) fn into_undelivered(self) -> impl Iterator<Item = Payload> {
        self.queue.into_payloads()
    }

    /// How the peer stands, and all that was counted for it.
    pub(crate) fn stats(&self, now: Duration) -> PeerStats {
        PeerStats { pid: self.ends.peer, state: self.state(now), ..self.queue.stats() }
    }

    fn state(&self, now: Duration) -> PeerState {
        match self.peer.presence {
            Presence::Awaited => PeerState::Awaited,
            Presence::Up if self.is_reachable(now) => PeerState::Up,
            Presence::Up => PeerState::OneWay,
            Presence::Down => PeerState::Down,
            Presence::Left => PeerState::Left,
        }
    }
}

/// Whether a peer that takes no messages above `max_message` bytes would not take it.
fn is_too_large(payload: &Payload, max_message: u32) -> bool {
    matches!(payload, Payload::Single { msg, .. } if msg.len() > max_message as usize)
}

#[cfg(feature = "internals")]
impl Outgoing {
    /// What it has been told by the receiving half.
    pub(crate) fn known(&self) -> (Presence, Acknowledgement) {
        (self.peer.presence, self.ack_to_send)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeless;
