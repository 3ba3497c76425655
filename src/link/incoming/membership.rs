//! A peer that is none any more, and perhaps one again; and how it looks from the other side.

use std::time::Duration;

use super::{Incoming, Presence, Stream};

impl Incoming {
    /// The peer is none any more. What has not entered the inbox is turned back, as one that is
    /// [closed](Self::close) does it; but all that has entered is remembered, should it be one again.
    /// So is a message that was broken off: what came after its beginning may be acknowledged, and
    /// then nothing but its rest is ever sent.
    pub(crate) fn retire(&mut self) {
        if let Some(stream) = &mut self.stream {
            let (entered, suspended) = (stream.entered, stream.suspended.take());
            stream.clear();
            (stream.entered, stream.suspended) = (entered, suspended);
        }
        self.presence = Presence::Awaited;
        self.sightings.clear();
        self.news = None;
        self.announced = true;
        self.acknowledge_at = None;
        self.unacknowledged = 0;
    }

    /// The one that was retired is a peer again, and awaited.
    pub(crate) fn revive(&mut self, now: Duration) {
        (self.heard_at, self.hears_at, self.told_at) = (now, now, now);
        (self.one_way, self.absent) = (false, false);
    }

    /// A peer that has left goes on where that is so: it had taken this server out of its list, and has it
    /// there again.
    pub(super) fn look_for_return(&mut self, now: Duration) {
        let returned = |stream: &Stream| stream.resumed > stream.goodbye;
        if self.presence == Presence::Left && self.stream.as_ref().is_some_and(returned) {
            self.come_up(now);
        }
    }
}
