//! The receiving half of a link.

mod assembly;
mod entry;
mod membership;
mod presence;
mod stream;
mod timeouts;

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::Rejection;
use crate::frame::{Acknowledgement, Frame, Header, Incarnation, Intake, Payload, Silence, Stamp};
pub(crate) use crate::link::incoming::presence::{Handled, Loss, Presence, Sighting};
use crate::link::incoming::stream::{Replaced, Stream, Taken, exceeds};
use crate::link::{AckTiming, Ends, Limits, PeerStatus};

/// How long an acknowledgement may wait for company.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(10);

/// How many replaced incarnations are remembered. Frames of older ones are older than all of these
/// and refused for that.
const REMEMBERED: usize = 8;

/// The receiving half of a link: puts the frames of one peer in order, and knows how the peer
/// stands.
///
/// ```text
///                 first frame                     goodbye taken
///   Awaited ─────────────────────► Up ──────────────────────────► Left
///                                 │  ▲                             │
///          silent for the timeout │  │ any frame                   │ another
///                                 ▼  │                             │ incarnation, or the
///                                 Down                             ▼ goodbye is taken back
///                                                                  Up
/// ```
///
/// Call [`handle_frame`](Self::handle_frame) with what comes in and
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so; then
/// [`poll_sighting`](Self::poll_sighting) until it is empty, [`front`](Self::front) and
/// [`pop`](Self::pop) for each arrival, and last [`poll_status`](Self::poll_status).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Incoming {
    ends: Ends,
    limits: Limits,
    presence: Presence,
    stream: Option<Stream>,
    replaced: VecDeque<Replaced>,
    intake: Intake,
    /// When the peer was last heard; before that, when it began to be awaited.
    heard_at: Duration,
    /// Until when the peer is known to have heard this server, and whether it has been told that it does
    /// not.
    hears_at: Duration,
    one_way: bool,
    /// Whether it has been told that the peer was not heard for the peer timeout.
    absent: bool,
    sightings: VecDeque<Sighting>,
    /// What of the state the other half has not been told, and when it was told last.
    news: Option<AckTiming>,
    told_at: Duration,
    /// Whether the other half knows of the process that speaks for the peer, and that it is up.
    announced: bool,
    /// When what has entered the inbox is to be acknowledged at the latest.
    acknowledge_at: Option<Duration>,
    /// What has entered the inbox since it was last acknowledged, in bytes.
    unacknowledged: usize,
}

impl Incoming {
    pub(crate) fn new(ends: Ends, limits: Limits, now: Duration) -> Self {
        Self {
            ends,
            limits,
            presence: Presence::Awaited,
            stream: None,
            replaced: VecDeque::with_capacity(REMEMBERED),
            intake: Intake::Open,
            heard_at: now,
            hears_at: now,
            one_way: false,
            absent: false,
            sightings: VecDeque::new(),
            news: None,
            told_at: now,
            announced: true,
            acknowledge_at: None,
            unacknowledged: 0,
        }
    }

    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    /// The process that speaks for the peer, once one was heard.
    pub(crate) fn speaker(&self) -> Option<Incarnation> {
        self.stream.as_ref().map(|stream| stream.incarnation)
    }

    /// When the peer was last heard; before that, when it began to be awaited.
    pub(crate) fn heard_at(&self) -> Duration {
        self.heard_at
    }

    pub(crate) fn presence(&self) -> Presence {
        self.presence
    }

    /// Whether the peer has been told all it waits for.
    pub(crate) fn is_settled(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.settled)
    }

    /// Takes a frame that this peer addressed to this server.
    pub(crate) fn handle_frame(
        &mut self,
        frame: Frame,
        now: Duration,
    ) -> Result<Handled, Rejection> {
        let Frame { header, payload } = frame;
        let handled = match self.recognise(header.incarnation, now)? {
            Recognised::Current => Handled::Known,
            Recognised::Stale => return Ok(Handled::Known),
            Recognised::New => {
                self.adopt(&header, now);
                Handled::Fresh
            }
        };
        self.hear(&header, &payload, now);
        self.sort(&header, payload, now)?;
        Ok(handled)
    }

    fn recognise(&self, incarnation: Incarnation, now: Duration) -> Result<Recognised, Rejection> {
        let Some(stream) = &self.stream else { return Ok(Recognised::New) };
        if incarnation == stream.incarnation {
            return Ok(Recognised::Current);
        }
        // Frames of a replaced process can be late, but not later than the peer timeout, unless it
        // still runs.
        let replaced = self.replaced.iter().find(|old| old.incarnation == incarnation);
        if replaced.is_some_and(|old| now < old.at + self.limits.peer_timeout) {
            return Ok(Recognised::Stale);
        }
        // Of two that run, the newer one is heard. But a clock that was set back gives a new
        // process a smaller number: it has to wait until the one before it is silent.
        let silent = now >= self.heard_at + self.limits.peer_timeout;
        if incarnation > stream.incarnation || silent {
            Ok(Recognised::New)
        } else {
            Err(self.conflict())
        }
    }

    fn conflict(&self) -> Rejection {
        Rejection::Conflict(self.ends.peer)
    }

    fn adopt(&mut self, header: &Header, now: Duration) {
        let known = self.replaced.iter().position(|old| old.incarnation == header.incarnation);
        let known = known.and_then(|at| self.replaced.remove(at));
        if let Some(old) = self.stream.take() {
            if self.replaced.len() == REMEMBERED {
                self.replaced.pop_front();
            }
            // One message of any size is kept, not one for each process that is remembered.
            self.replaced.iter_mut().for_each(|older| older.suspended = None);
            self.replaced.push_back(old.replace(now));
            self.sightings.push_back(Sighting::Restarted);
        }
        self.stream = Some(Stream::new(header, known));
        self.presence = Presence::Awaited;
        self.announced = false;
        self.acknowledge_at = None;
        self.unacknowledged = 0;
        self.tell(AckTiming::Immediate);
    }

    /// Takes note of the peer, whatever the frame.
    fn hear(&mut self, header: &Header, payload: &Payload, now: Duration) {
        self.heard_at = now;
        if matches!(self.presence, Presence::Awaited | Presence::Down) {
            self.come_up(now);
        }
        self.note_confirmation(&header.acknowledgement, now);
        let Some(stream) = &mut self.stream else { return };
        let received =
            Acknowledgement { silence: stream.received_ack.silence, ..header.acknowledgement };
        let news = stream.received_ack != received
            || stream.settled != header.settled
            || stream.max_message != header.max_message
            || matches!(payload, Payload::Heartbeat)
            // The peer has to learn that it is heard, although it has nothing new to say.
            || now >= self.told_at + self.limits.heartbeat / 2;
        stream.received_ack = header.acknowledgement;
        if header.wants_ack {
            stream.delay = Stamp::new(now).since(header.stamp);
        }
        stream.max_message = header.max_message;
        stream.settled = header.settled;
        stream.resumed = stream.resumed.max(header.resumed.then_some(header.base));
        if news {
            self.tell(AckTiming::Delayed);
        }
        if header.wants_ack && matches!(payload, Payload::Heartbeat) {
            self.tell(AckTiming::Immediate);
        }
        self.look_for_return(now);
    }

    fn come_up(&mut self, now: Duration) {
        self.presence = Presence::Up;
        self.announced = false;
        self.sightings.push_back(Sighting::Up);
        self.hears_at = now;
        self.one_way = false;
        self.tell(AckTiming::Immediate);
    }

    /// Takes note of when the peer has heard this server, if it says so.
    fn note_confirmation(&mut self, ack: &Acknowledgement, now: Duration) {
        let silence = ack.silence.duration().filter(|_| ack.of == Some(self.ends.incarnation));
        let Some(silence) = silence else { return };
        self.hears_at = self.hears_at.max(now.saturating_sub(silence));
        let up = self.presence == Presence::Up;
        if up && self.one_way && now < self.hears_at + self.limits.peer_timeout {
            self.one_way = false;
            self.sightings.push_back(Sighting::Up);
        }
    }

    /// Takes the payload if it is its turn.
    fn sort(&mut self, header: &Header, payload: Payload, now: Duration) -> Result<(), Rejection> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let heartbeat = matches!(payload, Payload::Heartbeat);
        if !heartbeat && header.acknowledgement.of != Some(self.ends.incarnation) {
            // It is for the process before this one, which may have had some of it. The peer sends it
            // again, or takes it back, once it knows of this one.
            return Ok(());
        }
        stream.skip_to(header.base);
        if stream.misses_some_before(header, &payload) {
            let news = heartbeat || stream.nack != Some(header.epoch);
            self.note_gap(header, news);
        } else if heartbeat {
            stream.nack = None;
        } else if stream.has(header, &payload) {
            self.acknowledge_by(now + ACKNOWLEDGE_WITHIN);
        } else if exceeds(&payload, self.limits.max_message) {
            return Err(Rejection::TooLarge(self.ends.peer));
        } else if self.intake == Intake::Open || matches!(payload, Payload::Goodbye) {
            return self.take(header, payload, now);
        }
        Ok(())
    }

    /// Something has not come that was to come before this frame.
    fn note_gap(&mut self, header: &Header, news: bool) {
        let Some(stream) = &mut self.stream else { return };
        if stream.overflow.is_none() && news {
            stream.nack = Some(header.epoch);
            self.tell(AckTiming::Immediate);
        }
    }

    fn take(&mut self, header: &Header, payload: Payload, now: Duration) -> Result<(), Rejection> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match stream.take(header, payload, &self.limits) {
            Taken::Whole | Taken::NoRoom => {}
            Taken::Part if header.wants_ack => self.tell(AckTiming::Immediate),
            Taken::Part => self.acknowledge_by(now + ACKNOWLEDGE_WITHIN),
            Taken::Gap => self.note_gap(header, true),
            Taken::Malformed => return Err(Rejection::Malformed),
            Taken::TooLarge => return Err(Rejection::TooLarge(self.ends.peer)),
        }
        Ok(())
    }

    pub(crate) fn poll_sighting(&mut self) -> Option<Sighting> {
        self.sightings.pop_front()
    }

    /// What the sending half to this peer does not know yet.
    pub(crate) fn poll_status(&mut self) -> Option<PeerStatus> {
        let ack_timing = self.news.take()?;
        if ack_timing == AckTiming::Immediate {
            self.acknowledge_at = None;
            self.unacknowledged = 0;
        }
        self.told_at = self.heard_at;
        let stream = self.stream.as_ref();
        Some(PeerStatus {
            incarnation: self.speaker(),
            presence: self.presence,
            heard_at: self.heard_at,
            received_ack: stream.map_or(Acknowledgement::NONE, |stream| stream.received_ack),
            ack_to_send: self.ack_to_send(),
            ack_timing,
            max_message: stream.map_or(u32::MAX, |stream| stream.max_message),
            settled: self.is_settled(),
        })
    }

    /// What was polled last has got through.
    pub(crate) fn handle_told(&mut self) {
        self.announced = true;
    }

    /// Whether the other half knows of the process that speaks for the peer, and that it is up.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced
    }

    /// What was polled last did not get through: it is to be told again.
    pub(crate) fn requeue(&mut self, status: &PeerStatus) {
        self.tell(status.ack_timing);
    }

    fn ack_to_send(&self) -> Acknowledgement {
        let none = Acknowledgement { intake: self.intake, ..Acknowledgement::NONE };
        self.stream.as_ref().map_or(none, |stream| Acknowledgement {
            of: Some(stream.incarnation),
            next: stream.next(),
            nack: stream.nack,
            intake: self.intake,
            silence: Silence::NEVER_HEARD,
            delay: stream.delay,
        })
    }

    fn acknowledge_by(&mut self, due: Duration) {
        self.acknowledge_at = Some(self.acknowledge_at.map_or(due, |earlier| earlier.min(due)));
    }

    fn tell(&mut self, ack_timing: AckTiming) {
        self.news = self.news.max(Some(ack_timing));
    }
}

/// Whose frame it is.
enum Recognised {
    Current,
    /// One of a process that was replaced.
    Stale,
    New,
}

#[cfg(feature = "internals")]
mod inspect;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeless;
