//! The sending half of a link.

mod congestion;
mod ending;
mod membership;
mod peer;
mod probe;
mod send_queue;
mod sharing;
mod transmission;

use std::time::Duration;

use crate::event::{Reason, Rejection};
use crate::frame::{Acknowledgement, Epoch, Incarnation, Intake, Payload};
use crate::link::outgoing::congestion::CongestionWindow;
use crate::link::outgoing::peer::Peer;
use crate::link::outgoing::probe::Probe;
use crate::link::outgoing::send_queue::SendQueue;
use crate::link::outgoing::sharing::Sharing;
use crate::link::{
    AckTiming, Ends, FRAME_OVERHEAD, Limits, MAX_INTERJECTION, PeerStatus, Presence,
};
use crate::wire::{Run, runs_by_size};
pub(crate) use send_queue::{GivenUp, LEFTOVERS, LaneId};

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
    sharing: Sharing,
    /// How often the sender has gone back.
    epoch: Epoch,
    /// What was sent since the peer was last asked for an acknowledgement, in bytes.
    unasked: usize,
    /// When that was, or when it may as well have been.
    asked_at: Duration,
    /// Nothing more will be pushed: the goodbye is queued, or was.
    goodbye_queued: bool,
    /// Whether the stream goes on after a goodbye that was taken back.
    resumed: bool,
    peer: Peer,
    ack_to_send: Acknowledgement,
    ack_timing: AckTiming,
    last_sent: Option<Duration>,
    probe: Probe,
    /// Until when the peer is known to have heard this server.
    confirmed: Duration,
    /// When the peer began to be heard.
    up_since: Duration,
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
            congestion: CongestionWindow::new(limits.frames, limits.window),
            sharing: Sharing::default(),
            epoch: Epoch::FIRST,
            unasked: 0,
            asked_at: now,
            goodbye_queued: false,
            resumed: false,
            peer: Peer::awaited(now),
            ack_to_send: Acknowledgement::NONE,
            ack_timing: AckTiming::Immediate,
            last_sent: None,
            probe: Probe::default(),
            confirmed: now,
            up_since: now,
        }
    }

    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    /// The last time that anything spoke for the way to the peer: it was known to have heard this
    /// server, or began to be heard.
    pub(crate) fn evidence(&self) -> Duration {
        self.confirmed.max(self.up_since)
    }

    /// The largest batch that is good for the way to the peer, in bytes, if the peer is there.
    pub(crate) fn max_batch(&self) -> Option<usize> {
        (self.peer.presence == Presence::Up).then(|| self.congestion.max_batch())
    }

    /// Whether there is room for a payload of `bytes` that comes by one of the outboxes. One that has
    /// nothing waiting does not wait for the others: it has its share of the way.
    pub(crate) fn room(&self, bytes: usize, lane: LaneId, now: Duration) -> Room {
        if self.peer.intake != Intake::Open {
            return Room::Refuse(Reason::InboxClosed);
        }
        let reachable = self.is_reachable(now) && self.peer.presence != Presence::Down;
        let full = self.is_alive(now)
            && self.queue.unacknowledged() >= self.backlog()
            && self.queue.is_waiting(lane);
        match reachable {
            _ if !full && self.fits(bytes, self.limits.window) => Room::Yes,
            true => Room::Wait,
            false => Room::Refuse(Reason::PeerDown),
        }
    }

    /// Whether the peer is heard and hears this server.
    fn is_alive(&self, now: Duration) -> bool {
        self.peer.presence == Presence::Up && self.is_reachable(now)
    }

    /// How much may be unacknowledged before something has to wait, in bytes.
    fn window_limit(&self, now: Duration) -> usize {
        let window = self.limits.window;
        if self.is_alive(now) { self.backlog().min(window) } else { window }
    }

    /// From how much on a living peer takes nothing more, in bytes, if that is more than what is on
    /// its way.
    fn backlog(&self) -> usize {
        self.congestion.bytes().max(self.limits.min_backlog)
    }

    /// Whether there is room for a payload of `bytes` within the `bound`. An empty link has room
    /// for any.
    fn fits(&self, bytes: usize, bound: usize) -> bool {
        let needed = self.queue.counts.window_bytes + bytes + FRAME_OVERHEAD;
        self.queue.is_empty() || needed <= bound
    }

    /// Accepts a payload that has come by one of the outboxes. It is kept until it is acknowledged or
    /// comes out of [`poll_dropped`](Self::poll_dropped). What is for one process only is for that of
    /// `bound_to`.
    pub(crate) fn push(
        &mut self,
        payload: Payload,
        lane: LaneId,
        bound_to: Option<Incarnation>,
        now: Duration,
    ) {
        debug_assert!(!self.goodbye_queued);
        self.queue.counts.accept(&payload);
        if payload.largest() <= self.peer.max_message {
            return self.queue_up(payload, lane, bound_to, now);
        }
        for Run { payload, meets: exceeds } in runs_by_size(payload, self.peer.max_message) {
            if exceeds {
                self.queue.miss(GivenUp { payload, reason: Reason::TooLarge, bound_to });
            } else {
                self.queue_up(payload, lane, bound_to, now);
            }
        }
    }

    fn queue_up(
        &mut self,
        payload: Payload,
        lane: LaneId,
        bound_to: Option<Incarnation>,
        now: Duration,
    ) {
        // What takes no longer than a batch may come in between the frames of a larger message.
        let short = payload.len() <= self.congestion.max_batch().min(MAX_INTERJECTION);
        if self.queue.is_filled_by_others(lane, payload.len()) {
            self.sharing.note();
        }
        self.queue.push(payload, lane, bound_to, short, now);
    }

    /// Accepts a payload that is not going to be sent.
    pub(crate) fn refuse(&mut self, given_up: GivenUp) {
        self.queue.counts.accept(&given_up.payload);
        if matches!(given_up.reason, Reason::PeerDown | Reason::WindowFull) {
            self.queue.miss(given_up);
        } else {
            self.queue.give_up(given_up);
        }
    }

    /// How many envelopes were sent again, in all.
    pub(crate) fn resent(&self) -> u64 {
        self.queue.counts.resent
    }

    /// The process that speaks for the peer, once one was heard.
    pub(crate) fn speaker(&self) -> Option<Incarnation> {
        self.peer.incarnation
    }

    /// Nothing more will be pushed.
    pub(crate) fn say_goodbye(&mut self) {
        if !self.goodbye_queued {
            self.goodbye_queued = true;
            self.resumed = false;
            self.queue.push_goodbye();
        }
    }

    /// The connection was replaced: what it had not sent is gone.
    pub(crate) fn handle_renewal(&mut self) {
        self.ack_timing = AckTiming::Immediate;
        self.congestion.restart();
        self.go_back();
    }

    /// The process did not run for `pause`: the silence was its own.
    pub(crate) fn handle_pause(&mut self, pause: Duration) {
        self.confirmed += pause;
        self.up_since += pause;
        self.probe.handle_pause(pause);
        self.congestion.forget_sample();
    }

    /// Takes what the receiving half of the other direction has learnt of the peer.
    pub(crate) fn handle_status(&mut self, status: &PeerStatus) -> Result<(), Rejection> {
        let was_settled = self.is_settled();
        let peer = Peer::of(status, self.ends.incarnation);
        let before = std::mem::replace(&mut self.peer, peer);
        self.ack_to_send = status.ack_to_send;
        self.ack_timing = self.ack_timing.max(status.ack_timing);
        let restarted = before.incarnation != status.incarnation;
        let away = matches!(before.presence, Presence::Down | Presence::Left);
        let back = away && status.presence == Presence::Up;
        if restarted {
            self.queue.forget_partial();
        }
        let acked = self.on_ack(&status.received_ack, status.heard_at);
        if restarted || back {
            self.up_since = status.heard_at;
            self.congestion.restart();
            self.go_back();
        }
        let max_message = self.peer.max_message;
        if self.peer.intake != Intake::Open {
            self.drop_all();
        } else if self.withdraw(restarted, max_message < before.max_message) {
            self.go_back();
        }
        let left_behind = restarted && self.queue.is_empty();
        if left_behind && self.goodbye_queued {
            self.queue.push_goodbye();
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
        let bytes = self.queue.acknowledge(ack.next);
        self.congestion.on_ack(ack, bytes, at);
        if bytes > 0 {
            self.probe.handle_progress(at);
        }
        if ack.nack == Some(self.epoch) {
            self.queue.lose_partial(ack.next);
            self.go_back();
        }
        Ok(())
    }

    /// Gives up what the peer is not to get any more, since another process speaks for it or it takes
    /// less than before. Returns whether there was any.
    fn withdraw(&mut self, restarted: bool, takes_less: bool) -> bool {
        let speaker = self.peer.incarnation.filter(|_| restarted);
        let bound = speaker.is_some_and(|speaker| self.queue.drop_bound_to_others(speaker));
        let large = restarted || takes_less;
        let large = large && self.queue.drop_too_large(self.peer.max_message);
        bound || large
    }

    fn go_back(&mut self) {
        self.queue.go_back();
        self.congestion.forget_sample();
        self.unasked = 0;
        self.epoch = self.epoch.next();
    }

    /// The peer takes nothing more. That this server leaves, it may still hear.
    fn drop_all(&mut self) {
        if self.queue.holds_no_envelopes() {
            return;
        }
        self.queue.drop_all(Reason::InboxClosed);
        if self.goodbye_queued {
            self.queue.push_goodbye();
        }
    }

    /// What was acknowledged since the last time, of that which asked for a receipt.
    pub(crate) fn poll_receipt(&mut self) -> Option<Payload> {
        self.queue.poll_receipt()
    }

    /// What has been given up and is to be reported.
    pub(crate) fn poll_dropped(&mut self) -> Option<GivenUp> {
        self.queue.poll_dropped()
    }

    /// Whether the peer has heard this server within the peer timeout.
    pub(crate) fn is_reachable(&self, now: Duration) -> bool {
        now < self.unreachable_at()
    }

    /// When the peer counts as one that does not hear this server.
    fn unreachable_at(&self) -> Duration {
        self.confirmed + self.limits.peer_timeout
    }

    /// When to call the others again although nothing has come in.
    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        if self.is_resting() {
            return None;
        }
        let unreachable = Some(self.unreachable_at()).filter(|due| *due > now);
        let others = [unreachable, self.probe_due()];
        others.into_iter().flatten().chain([self.heartbeat_due()]).min()
    }
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
