//! How the peer stands, and what is left to do for it before this server can end.

use std::time::Duration;

use super::Outgoing;
use crate::frame::{Frame, Incarnation, Intake, Payload};
use crate::link::Presence;
use crate::session::Session;
use crate::stats::{PeerState, PeerStats};

impl Outgoing {
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

    /// The last frame of this process: the peer's envelopes go nowhere from now on.
    pub(crate) fn last_words(&mut self, now: Duration) -> Frame {
        self.ack_to_send.intake = Intake::Ended;
        self.heartbeat(false, now)
    }

    /// What was accepted and never acknowledged, in order, and the process that it is for as far as it
    /// is for one only.
    pub(crate) fn into_undelivered(self) -> impl Iterator<Item = (Payload, Option<Incarnation>)> {
        self.queue.into_payloads()
    }

    /// How the peer stands, and all that was counted for it.
    pub(crate) fn stats(&self, now: Duration) -> PeerStats {
        PeerStats {
            pid: self.ends.peer,
            state: self.state(now),
            session: self.speaker().map(Session::of),
            rtt: self.congestion.rtt(),
            oldest_unacknowledged: self.queue.oldest().map(|since| now.saturating_sub(since)),
            window_limit: self.window_limit(now) as u64,
            ..self.queue.stats()
        }
    }

    /// Whether the peer is heard, and has not left.
    pub(crate) fn is_up(&self) -> bool {
        self.peer.presence == Presence::Up
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
