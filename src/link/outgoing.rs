//! The sending half of a link.

mod allowance;
mod backlog;

use std::time::Duration;

use crate::event::{Reason, Rejection};
use crate::frame::{
    Acknowledgement, Frame, Header, Incarnation, Intake, Pace, Payload, Progress, Round, Silence,
};
use crate::link::outgoing::allowance::Allowance;
use crate::link::outgoing::backlog::Backlog;
use crate::link::{Ends, FRAME_OVERHEAD, Heard, Limits, Presence, Urgency};
use crate::stats::{PeerState, PeerStats};

/// The slowest network on which a large message still counts as on its way, in bytes per second.
const SLOWEST: u64 = 1 << 20;

/// The sending half of a link: keeps what it sends to one peer until the peer has acknowledged it, and
/// sends it again from where the peer misses something.
///
/// [`push`](Self::push) what there is [`room`](Self::room) for, [`refuse`](Self::refuse) the rest, and
/// call [`handle_heard`](Self::handle_heard) with what the other half learns; then
/// [`poll_dropped`](Self::poll_dropped) and [`poll_transmit`](Self::poll_transmit) until they are empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outgoing {
    ends: Ends,
    limits: Limits,
    backlog: Backlog,
    allowance: Allowance,
    /// How often the sender has gone back.
    round: Round,
    /// What was sent since the peer was last asked for an acknowledgement, in bytes.
    unasked: usize,
    farewell: Farewell,
    peer: Peer,
    owed: Acknowledgement,
    urgency: Urgency,
    last_sent: Option<Duration>,
    /// Until when the peer is known to have heard this server.
    confirmed: Duration,
    /// When the socket was made that the frames go through.
    renewed: Duration,
}

/// The process that speaks for the peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer {
    incarnation: Option<Incarnation>,
    presence: Presence,
    intake: Intake,
    heard_at: Duration,
    largest: u32,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Farewell {
    NotSaid,
    Said,
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
            backlog: Backlog::new(),
            allowance: Allowance::new(limits.at_once, limits.window),
            round: Round::FIRST,
            unasked: 0,
            farewell: Farewell::NotSaid,
            peer: Peer {
                incarnation: None,
                presence: Presence::Awaited,
                intake: Intake::Open,
                heard_at: now,
                largest: u32::MAX,
                progress: Progress::Running,
            },
            owed: Acknowledgement::NONE,
            urgency: Urgency::Now,
            last_sent: None,
            confirmed: now,
            renewed: now,
        }
    }

    /// Whether there is room for a payload of `bytes`.
    pub(crate) fn room(&self, bytes: usize, now: Duration) -> Room {
        if self.peer.intake != Intake::Open {
            return Room::Refuse(Reason::InboxClosed);
        }
        let reachable = self.is_reachable(now);
        let alive = reachable && self.peer.presence == Presence::Up;
        let bound = if alive { self.allowance.bytes() } else { self.limits.window };
        match reachable {
            _ if self.fits(bytes, bound) => Room::Yes,
            true => Room::Wait,
            false => Room::Refuse(Reason::PeerDown),
        }
    }

    /// Whether there is room for a payload of `bytes` within the `bound`. An empty link has room for any.
    fn fits(&self, bytes: usize, bound: usize) -> bool {
        let needed = self.backlog.counts.window_bytes + bytes + FRAME_OVERHEAD;
        self.backlog.is_empty() || needed <= bound
    }

    /// Accepts a payload. It is kept until it is acknowledged or comes out of
    /// [`poll_dropped`](Self::poll_dropped).
    pub(crate) fn push(&mut self, payload: Payload) {
        debug_assert!(self.farewell == Farewell::NotSaid);
        self.backlog.counts.accepted += payload.envelopes();
        if is_too_large(&payload, self.peer.largest) {
            self.backlog.miss(payload, Reason::TooLarge);
        } else {
            self.backlog.push(payload);
        }
    }

    /// Accepts a payload that is not going to be sent.
    pub(crate) fn refuse(&mut self, payload: Payload, reason: Reason) {
        self.backlog.counts.accepted += payload.envelopes();
        if reason == Reason::PeerDown {
            self.backlog.miss(payload, reason);
        } else {
            self.backlog.give_up(payload, reason);
        }
    }

    /// Nothing more will be pushed.
    pub(crate) fn say_goodbye(&mut self) {
        if self.farewell == Farewell::NotSaid {
            self.farewell = Farewell::Said;
            self.backlog.push(Payload::Goodbye);
        }
    }

    /// The socket was replaced: what it had not sent is gone.
    pub(crate) fn handle_renewal(&mut self, now: Duration) {
        self.renewed = now;
        self.urgency = Urgency::Now;
        self.go_back();
    }

    /// The process did not run for `pause`: the silence was its own.
    pub(crate) fn forgive(&mut self, pause: Duration) {
        self.confirmed += pause;
        self.renewed += pause;
    }

    /// Takes what the receiving half of the other direction has learnt of the peer.
    pub(crate) fn handle_heard(&mut self, heard: &Heard) -> Result<(), Rejection> {
        let was_settled = self.is_settled();
        let peer = Peer {
            incarnation: heard.incarnation,
            presence: heard.presence,
            intake: self.intake(&heard.said),
            heard_at: heard.at,
            largest: heard.largest,
            progress: heard.progress,
        };
        let before = std::mem::replace(&mut self.peer, peer);
        self.owed = heard.owed;
        self.urgency = self.urgency.max(heard.urgency);
        let heeded = self.heed(&heard.said, heard.at);
        let restarted = before.incarnation != heard.incarnation;
        let back = before.presence == Presence::Down && heard.presence == Presence::Up;
        if restarted || back {
            self.go_back();
        }
        let largest = self.peer.largest;
        if self.peer.intake != Intake::Open {
            self.drop_all();
        } else if largest < before.largest || restarted {
            self.backlog.drop_too_large(|payload| is_too_large(payload, largest));
        }
        let left_behind = restarted && self.backlog.is_empty();
        if left_behind && self.farewell == Farewell::Said {
            self.backlog.push(Payload::Goodbye);
        }
        if self.is_settled() && !was_settled {
            // The peer waits for this before it ends.
            self.urgency = Urgency::Now;
        }
        heeded
    }

    /// Whether the peer takes envelopes. The last words of a process that never heard this one were for
    /// the one before, and can be old: whoever took them to heart would be silent, and where both sides
    /// did, for ever.
    fn intake(&self, said: &Acknowledgement) -> Intake {
        match said.intake {
            Intake::Ended if said.of != Some(self.ends.incarnation) => Intake::Open,
            intake => intake,
        }
    }

    /// Takes an acknowledgement, if it speaks of this process.
    fn heed(&mut self, said: &Acknowledgement, at: Duration) -> Result<(), Rejection> {
        if said.of != Some(self.ends.incarnation) {
            return Ok(());
        }
        if said.next > self.backlog.end_of_sent() {
            return Err(Rejection::FalseAcknowledgement(self.ends.peer));
        }
        if let Some(silence) = said.silence.duration() {
            self.confirmed = self.confirmed.max(at.saturating_sub(silence));
        }
        self.backlog.acknowledge(said.next);
        self.allowance.answer(said.next, at);
        if said.gap == Some(self.round) {
            self.go_back();
        }
        Ok(())
    }

    fn go_back(&mut self) {
        self.backlog.go_back();
        self.allowance.withdraw();
        self.round = self.round.next();
    }

    /// The peer takes nothing more. That this server leaves, it may still hear.
    fn drop_all(&mut self) {
        if self.backlog.holds_no_envelopes() {
            return;
        }
        self.backlog.drop_all();
        if self.farewell == Farewell::Said {
            self.backlog.push(Payload::Goodbye);
        }
    }

    /// What has been given up and is to be reported.
    pub(crate) fn poll_dropped(&mut self) -> Option<(Payload, Reason)> {
        self.backlog.poll_dropped()
    }

    /// The next frame to send.
    pub(crate) fn poll_transmit(&mut self, now: Duration) -> Option<Frame> {
        if self.peer.intake == Intake::Ended {
            return None;
        }
        let reached = self.listens() && self.is_reachable(now);
        if self.backlog.has_missed() && reached && self.fits(0, self.limits.window) {
            self.backlog.push_marker();
        }
        let queued = if self.listens() { self.next_queued(now) } else { None };
        let frame = if let Some(frame) = queued {
            frame
        } else if self.urgency == Urgency::Now {
            self.heartbeat(Pace::Relaxed, now)
        } else if self.is_quiet(now) {
            // What was sent may be acknowledged and the acknowledgement lost. An answer to such a
            // question asks nothing, or the two would never end.
            let pace = if self.backlog.is_in_flight() { Pace::Urgent } else { Pace::Relaxed };
            self.heartbeat(pace, now)
        } else {
            return None;
        };
        self.urgency = Urgency::CanWait;
        self.last_sent = Some(now);
        Some(frame)
    }

    fn next_queued(&mut self, now: Duration) -> Option<Frame> {
        let header = self.header(now);
        let queued = self.backlog.take_next()?;
        self.unasked += queued.bytes();
        let goodbye = queued.payload == Payload::Goodbye;
        let pace = if goodbye || self.unasked >= self.allowance.bytes() / 2 {
            self.unasked = 0;
            self.allowance.ask(header.sequence, self.backlog.counts.window_bytes, now);
            Pace::Urgent
        } else {
            Pace::Relaxed
        };
        let header = Header { missed: queued.missed, pace, ..header };
        Some(Frame { header, payload: queued.payload })
    }

    fn heartbeat(&self, pace: Pace, now: Duration) -> Frame {
        Frame { header: Header { pace, ..self.header(now) }, payload: Payload::Heartbeat }
    }

    /// The header of the frame at the cursor.
    fn header(&self, now: Duration) -> Header {
        let heard = self.owed.of.map(|_| now.saturating_sub(self.peer.heard_at));
        Header {
            cluster: self.ends.cluster,
            from: self.ends.own,
            to: self.ends.peer,
            incarnation: self.ends.incarnation,
            sequence: self.backlog.next(),
            base: self.backlog.base(),
            round: self.round,
            missed: 0,
            largest: self.limits.largest,
            pace: Pace::Relaxed,
            progress: if self.is_settled() { Progress::Settled } else { Progress::Running },
            acknowledgement: Acknowledgement {
                silence: heard.map_or(Silence::NEVER_HEARD, Silence::new),
                ..self.owed
            },
        }
    }

    /// Whether frames of the stream are worth sending: before the peer is heard, and while it is silent,
    /// only signs of life are.
    fn listens(&self) -> bool {
        matches!(self.peer.presence, Presence::Up | Presence::Left)
    }

    fn is_quiet(&self, now: Duration) -> bool {
        !self.rests() && now >= self.heartbeat_due()
    }

    fn heartbeat_due(&self) -> Duration {
        self.last_sent.map_or(Duration::ZERO, |sent| sent + self.limits.heartbeat)
    }

    /// Whether the peer has heard this server within the peer timeout.
    pub(crate) fn is_reachable(&self, now: Duration) -> bool {
        !self.is_overdue(self.confirmed, self.limits.peer_timeout, now)
    }

    /// Whether the socket is to be replaced, since nothing it was given has reached the peer: a libzmq
    /// socket can be stuck for good.
    pub(crate) fn wants_renewal(&self, now: Duration) -> bool {
        let since = self.confirmed.max(self.renewed);
        !self.rests() && self.is_overdue(since, self.patience(), now)
    }

    fn patience(&self) -> Duration {
        (self.limits.heartbeat * 3).max(self.limits.peer_timeout * 3 / 5)
    }

    fn is_overdue(&self, since: Duration, bound: Duration, now: Duration) -> bool {
        now >= self.due(since, bound, now)
    }

    /// When `bound` will have passed since then. A peer that is heard but does not hear may be busy
    /// with a large message, and is given the time for it.
    fn due(&self, since: Duration, bound: Duration, now: Duration) -> Duration {
        let due = since + bound;
        let busy = due <= now && self.peer.presence == Presence::Up;
        if busy { due + self.longest_transfer() } else { due }
    }

    fn longest_transfer(&self) -> Duration {
        Duration::from_secs(self.backlog.largest_in_flight() as u64 / SLOWEST)
    }

    /// Whether somebody is there to hear the last words.
    pub(crate) fn has_listener(&self, now: Duration) -> bool {
        self.listens() && self.peer.intake != Intake::Ended && self.is_reachable(now)
    }

    /// Whether waiting would be for nothing: all is settled, or only the goodbye is not and the peer is
    /// not there to hear it.
    pub(crate) fn awaits_nothing(&self) -> bool {
        self.is_settled() || !self.listens() && self.backlog.holds_no_envelopes()
    }

    /// Whether all that was accepted is settled, and the goodbye too.
    pub(crate) fn is_settled(&self) -> bool {
        let ended = self.peer.intake == Intake::Ended;
        self.farewell == Farewell::Said && (self.backlog.is_empty() || ended)
    }

    /// Whether neither side waits for the other any more.
    pub(crate) fn is_finished(&self) -> bool {
        let left = self.peer.presence == Presence::Left;
        let ended = self.peer.intake == Intake::Ended;
        self.is_settled() && (ended || left && self.peer.progress == Progress::Settled)
    }

    /// Whether there is nothing to say to the peer until another process speaks for it.
    fn rests(&self) -> bool {
        self.peer.intake == Intake::Ended || self.is_finished()
    }

    /// When to call the others again although nothing has come in.
    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        if self.rests() {
            return None;
        }
        let renewal = self.due(self.confirmed.max(self.renewed), self.patience(), now);
        let unreachable = self.due(self.confirmed, self.limits.peer_timeout, now);
        let unreachable = Some(unreachable).filter(|due| *due > now);
        [self.heartbeat_due(), renewal].into_iter().chain(unreachable).min()
    }

    /// The last frame of this process: the peer's envelopes go nowhere from now on.
    pub(crate) fn last_words(&mut self, now: Duration) -> Frame {
        self.owed.intake = Intake::Ended;
        self.heartbeat(Pace::Relaxed, now)
    }

    /// What was accepted and never acknowledged, in order.
    pub(crate) fn into_undelivered(self) -> impl Iterator<Item = Payload> {
        self.backlog.into_payloads()
    }

    /// How the peer stands, and all that was counted for it.
    pub(crate) fn stats(&self, now: Duration) -> PeerStats {
        PeerStats { pid: self.ends.peer, state: self.state(now), ..self.backlog.stats() }
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

/// Whether a peer that takes no messages above `largest` bytes would not take it.
fn is_too_large(payload: &Payload, largest: u32) -> bool {
    matches!(payload, Payload::Single { msg, .. } if msg.len() > largest as usize)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeless;
