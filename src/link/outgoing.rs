//! The sending half of a link.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{Reason, Rejection};
use crate::frame::{
    Acknowledgement, Frame, Header, Incarnation, Intake, Pace, Payload, Progress, Round, Sequence,
    Silence,
};
use crate::link::{Ends, FRAME_OVERHEAD, Heard, Limits, Presence, Urgency};
use crate::stats::{Dropped, PeerState, PeerStats};

/// The slowest network on which a large message still counts as on its way, in bytes per second.
const SLOWEST: u64 = 1 << 20;

/// The sending half of a link: keeps what it sends to one peer until the peer has acknowledged it, and
/// sends it again from where the peer misses something.
///
/// ```text
///   acknowledged │      in flight       │   queued    │
///   ─────────────┼──────────────────────┼─────────────┼── sequence ──►
///               base     ▲            sent          end
///                      cursor, which a gap sets back to base
/// ```
///
/// [`push`](Self::push) what there is [`room`](Self::room) for, [`refuse`](Self::refuse) the rest, and
/// call [`handle_heard`](Self::handle_heard) with what the other half learns; then
/// [`poll_dropped`](Self::poll_dropped) and [`poll_transmit`](Self::poll_transmit) until they are empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outgoing {
    ends: Ends,
    limits: Limits,
    queue: VecDeque<Queued>,
    /// The sequence of the front of the queue.
    base: Sequence,
    /// Where in the queue the next frame to be sent is.
    cursor: usize,
    /// How many frames of the queue have ever been sent.
    sent: usize,
    round: Round,
    /// Envelopes given up since the last frame was queued.
    missed: u64,
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
    dropped: VecDeque<(Payload, Reason)>,
    counts: Counts,
}

/// A frame that is not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Queued {
    payload: Payload,
    missed: u64,
}

impl Queued {
    fn bytes(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }
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

/// Envelopes, but for the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Counts {
    accepted: u64,
    queued: u64,
    in_flight: u64,
    window_bytes: usize,
    acknowledged: u64,
    sent: u64,
    resent: u64,
    dropped: Dropped,
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
            queue: VecDeque::new(),
            base: Sequence::FIRST,
            cursor: 0,
            sent: 0,
            round: Round::FIRST,
            missed: 0,
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
            dropped: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Whether there is room for a payload of `bytes`.
    pub(crate) fn room(&self, bytes: usize, now: Duration) -> Room {
        let used = self.counts.window_bytes;
        if self.peer.intake != Intake::Open {
            Room::Refuse(Reason::InboxClosed)
        } else if self.queue.is_empty() || used + bytes + FRAME_OVERHEAD <= self.limits.window {
            Room::Yes
        } else if self.is_reachable(now) {
            Room::Wait
        } else {
            Room::Refuse(Reason::PeerDown)
        }
    }

    /// Accepts a payload. It is kept until it is acknowledged or comes out of
    /// [`poll_dropped`](Self::poll_dropped).
    pub(crate) fn push(&mut self, payload: Payload) {
        debug_assert!(self.farewell == Farewell::NotSaid);
        self.counts.accepted += payload.envelopes();
        if self.is_too_large(&payload) {
            self.missed += 1;
            self.give_up(payload, Reason::TooLarge);
        } else {
            self.enqueue(payload);
        }
    }

    /// Whether the peer would not take it.
    fn is_too_large(&self, payload: &Payload) -> bool {
        let largest = self.peer.largest as usize;
        matches!(payload, Payload::Single { msg, .. } if msg.len() > largest)
    }

    /// Accepts a payload that is not going to be sent.
    pub(crate) fn refuse(&mut self, payload: Payload, reason: Reason) {
        self.counts.accepted += payload.envelopes();
        if reason == Reason::PeerDown {
            self.missed += payload.envelopes();
        }
        self.give_up(payload, reason);
    }

    /// Nothing more will be pushed.
    pub(crate) fn say_goodbye(&mut self) {
        if self.farewell == Farewell::NotSaid {
            self.farewell = Farewell::Said;
            self.enqueue(Payload::Goodbye);
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
        let before = std::mem::replace(
            &mut self.peer,
            Peer {
                incarnation: heard.incarnation,
                presence: heard.presence,
                intake: heard.said.intake,
                heard_at: heard.at,
                largest: heard.largest,
                progress: heard.progress,
            },
        );
        self.owed = heard.owed;
        self.urgency = self.urgency.max(heard.urgency);
        let heeded = self.heed(&heard.said, heard.at);
        let restarted = before.incarnation != heard.incarnation;
        let back = before.presence == Presence::Down && heard.presence == Presence::Up;
        if restarted || back {
            self.go_back();
        }
        if self.peer.intake != Intake::Open {
            self.drop_queue();
        } else if self.peer.largest < before.largest || restarted {
            self.drop_too_large();
        }
        let left_behind = restarted && self.queue.is_empty();
        if left_behind && self.farewell == Farewell::Said {
            self.enqueue(Payload::Goodbye);
        }
        if self.is_settled() && !was_settled {
            // The peer waits for this before it ends.
            self.urgency = Urgency::Now;
        }
        heeded
    }

    /// Takes an acknowledgement, if it speaks of this process.
    fn heed(&mut self, said: &Acknowledgement, at: Duration) -> Result<(), Rejection> {
        if said.of != Some(self.ends.incarnation) {
            return Ok(());
        }
        if said.next > self.base.plus(self.sent) {
            return Err(Rejection::FalseAcknowledgement(self.ends.peer));
        }
        if let Some(silence) = said.silence.duration() {
            self.confirmed = self.confirmed.max(at.saturating_sub(silence));
        }
        while self.base < said.next {
            self.acknowledge_front();
        }
        if said.gap == Some(self.round) {
            self.go_back();
        }
        Ok(())
    }

    fn acknowledge_front(&mut self) {
        if let Some(front) = self.queue.pop_front() {
            self.base = self.base.next();
            self.cursor = self.cursor.saturating_sub(1);
            self.sent = self.sent.saturating_sub(1);
            self.counts.window_bytes -= front.bytes();
            self.counts.in_flight -= front.payload.envelopes();
            self.counts.acknowledged += front.payload.envelopes();
        }
    }

    fn go_back(&mut self) {
        self.cursor = 0;
        self.round = self.round.next();
    }

    fn enqueue(&mut self, payload: Payload) {
        let queued = Queued { payload, missed: std::mem::take(&mut self.missed) };
        self.counts.queued += queued.payload.envelopes();
        self.counts.window_bytes += queued.bytes();
        self.queue.push_back(queued);
    }

    /// The peer takes nothing more: all that it has not acknowledged is given up.
    fn drop_queue(&mut self) {
        let given_up = self.queue.iter().any(|queued| queued.payload != Payload::Goodbye);
        if !given_up {
            return;
        }
        self.base = self.base.plus(self.queue.len());
        self.cursor = 0;
        self.sent = 0;
        self.missed = 0;
        self.counts.window_bytes = 0;
        self.counts.queued = 0;
        self.counts.in_flight = 0;
        for queued in std::mem::take(&mut self.queue) {
            self.give_up(queued.payload, Reason::InboxClosed);
        }
        if self.farewell == Farewell::Said {
            self.enqueue(Payload::Goodbye);
        }
    }

    /// Gives up what was queued before it was known how much the peer takes. The peer is told at the
    /// place where it would have come.
    fn drop_too_large(&mut self) {
        for index in 0..self.queue.len() {
            if !self.is_too_large(&self.queue[index].payload) {
                continue;
            }
            let marker = Payload::Batch { envelopes: 0, body: Bytes::new() };
            let queued = &mut self.queue[index];
            let payload = std::mem::replace(&mut queued.payload, marker);
            queued.missed += 1;
            self.counts.window_bytes -= payload.len();
            let in_flight = index < self.sent;
            let count =
                if in_flight { &mut self.counts.in_flight } else { &mut self.counts.queued };
            *count -= 1;
            self.give_up(payload, Reason::TooLarge);
        }
    }

    fn give_up(&mut self, payload: Payload, reason: Reason) {
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
    pub(crate) fn poll_dropped(&mut self) -> Option<(Payload, Reason)> {
        self.dropped.pop_front()
    }

    /// The next frame to send.
    pub(crate) fn poll_transmit(&mut self, now: Duration) -> Option<Frame> {
        if self.peer.intake == Intake::Ended {
            return None;
        }
        if self.missed > 0 && self.listens() && self.is_reachable(now) {
            self.enqueue(Payload::Batch { envelopes: 0, body: Bytes::new() });
        }
        let frame = if self.listens() && self.cursor < self.queue.len() {
            self.next_queued(now)
        } else if self.urgency == Urgency::Now {
            self.heartbeat(Pace::Relaxed, now)
        } else if self.is_quiet(now) {
            // What was sent may be acknowledged and the acknowledgement lost. An answer to such a
            // question asks nothing, or the two would never end.
            let pace = if self.sent > 0 { Pace::Urgent } else { Pace::Relaxed };
            self.heartbeat(pace, now)
        } else {
            return None;
        };
        self.urgency = Urgency::CanWait;
        self.last_sent = Some(now);
        Some(frame)
    }

    fn next_queued(&mut self, now: Duration) -> Frame {
        let queued = &self.queue[self.cursor];
        let (payload, missed) = (queued.payload.clone(), queued.missed);
        self.unasked += queued.bytes();
        let pace = if self.unasked >= self.limits.window / 4 || payload == Payload::Goodbye {
            self.unasked = 0;
            Pace::Urgent
        } else {
            Pace::Relaxed
        };
        let envelopes = payload.envelopes();
        if self.cursor < self.sent {
            self.counts.resent += envelopes;
        } else {
            self.sent = self.cursor + 1;
            self.counts.queued -= envelopes;
            self.counts.in_flight += envelopes;
            self.counts.sent += envelopes;
        }
        let header = Header { missed, pace, ..self.header(now) };
        self.cursor += 1;
        Frame { header, payload }
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
            sequence: self.base.plus(self.cursor),
            base: self.base,
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
        let in_flight = self.queue.iter().take(self.sent);
        let largest = in_flight.map(|queued| queued.payload.len()).max().unwrap_or(0);
        Duration::from_secs(largest as u64 / SLOWEST)
    }

    /// Whether somebody is there to hear the last words.
    pub(crate) fn has_listener(&self, now: Duration) -> bool {
        self.listens() && self.peer.intake != Intake::Ended && self.is_reachable(now)
    }

    /// Whether waiting would be for nothing: all is settled, or only the goodbye is not and the peer is
    /// not there to hear it.
    pub(crate) fn awaits_nothing(&self) -> bool {
        let goodbye = |queued: &Queued| queued.payload == Payload::Goodbye;
        self.is_settled() || !self.listens() && self.queue.iter().all(goodbye)
    }

    /// Whether all that was accepted is settled, and the goodbye too.
    pub(crate) fn is_settled(&self) -> bool {
        let ended = self.peer.intake == Intake::Ended;
        self.farewell == Farewell::Said && (self.queue.is_empty() || ended)
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
        self.queue.into_iter().map(|queued| queued.payload)
    }

    /// How the peer stands, and all that was counted for it.
    pub(crate) fn stats(&self, now: Duration) -> PeerStats {
        let counts = &self.counts;
        PeerStats {
            pid: self.ends.peer,
            state: self.state(now),
            accepted: counts.accepted,
            queued: counts.queued,
            in_flight: counts.in_flight,
            window_bytes: counts.window_bytes as u64,
            acknowledged: counts.acknowledged,
            sent: counts.sent,
            resent: counts.resent,
            dropped: counts.dropped,
            received: 0,
            missed: 0,
        }
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeless;
