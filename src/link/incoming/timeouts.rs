//! What happens when nothing comes in, and when nobody listens where the peer did.

use std::time::Duration;

use super::{Incoming, Loss, Presence, Sighting};
use crate::link::AckTiming;

impl Incoming {
    /// The process did not run for `pause`: the silence was its own.
    pub(crate) fn handle_pause(&mut self, pause: Duration) {
        self.heard_at += pause;
        self.hears_at += pause;
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        if self.down_at().is_some_and(|due| now >= due) {
            self.go_down(Loss::Silent);
        }
        if self.absent_at().is_some_and(|due| now >= due) {
            self.absent = true;
            self.sightings.push_back(Sighting::Absent);
        }
        if self.one_way_at().is_some_and(|due| now >= due) {
            self.one_way = true;
            self.sightings.push_back(Sighting::OneWay);
        }
        if self.acknowledge_at.is_some_and(|due| now >= due) {
            self.tell(AckTiming::Immediate);
        }
    }

    /// The peer's side closed the connection to it so long ago, and has just refused another. If it
    /// was heard since, it is alive all the same; but what is heard in the first half of the grace
    /// was on its way before.
    pub(crate) fn handle_refusal(&mut self, refused_for: Duration, now: Duration) {
        let grace = self.limits.reconnect_grace;
        let silence = now.saturating_sub(self.heard_at);
        let silent = || silence.saturating_add(grace / 2) >= refused_for;
        if self.presence == Presence::Up && refused_for >= grace && silent() {
            self.go_down(Loss::Refusing);
        }
    }

    fn go_down(&mut self, loss: Loss) {
        self.presence = Presence::Down;
        self.sightings.push_back(Sighting::Down(loss));
        self.tell(AckTiming::Delayed);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let standing = [self.down_at(), self.absent_at(), self.one_way_at()];
        standing.into_iter().flatten().chain(self.acknowledge_at).min()
    }

    /// When the peer is down, if it is not heard before.
    fn down_at(&self) -> Option<Duration> {
        (self.presence == Presence::Up).then(|| self.heard_at + self.limits.peer_timeout)
    }

    /// When it is to be told that the peer was never heard.
    fn absent_at(&self) -> Option<Duration> {
        let awaited = self.presence == Presence::Awaited && !self.absent;
        awaited.then(|| self.heard_at + self.limits.peer_timeout)
    }

    /// When it is to be told that the peer does not hear this server.
    fn one_way_at(&self) -> Option<Duration> {
        let two_way = self.presence == Presence::Up && !self.one_way;
        two_way.then(|| self.hears_at + self.limits.peer_timeout)
    }
}
