//! What is sent, and when.

use std::time::Duration;

use super::Outgoing;
use crate::frame::{Acknowledgement, Frame, Header, Intake, Payload, Silence, Stamp};
use crate::link::AckTiming;

impl Outgoing {
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
        let probes = self.probe_due().is_some_and(|due| now >= due);
        let frame = if let Some(frame) = queued {
            frame
        } else if probes {
            self.probe.handle_probe(now);
            self.heartbeat(true, now)
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

    /// The next piece of what is queued, if the congestion window has room for it. One is always on
    /// its way.
    fn next_queued(&mut self, now: Duration) -> Option<Frame> {
        self.queue.give_way();
        self.congestion.share(self.sharing.is_shared(now));
        let max = self.congestion.max_frame();
        let flight = self.queue.flight();
        if flight > 0 && !self.has_room_for_next(max) {
            return None;
        }
        let header = self.header(now);
        let again = header.position < self.queue.end_of_sent();
        let piece = self.queue.take_next(max)?;
        if flight == 0 {
            self.probe.handle_progress(now);
            self.congestion.on_first(now);
        }
        self.unasked += piece.bytes();
        let goodbye = piece.payload == Payload::Goodbye;
        let wants_ack = goodbye
            || self.unasked >= self.congestion.ask_after()
            || !self.has_room_for_next(max)
            // However little is sent, the round trip is to be known.
            || now >= self.asked_at.saturating_add(self.limits.heartbeat);
        if wants_ack {
            (self.unasked, self.asked_at) = (0, now);
            let flight = self.queue.flight();
            if again {
                self.congestion.on_resend(header.position, flight, now);
            } else {
                self.congestion.on_send(header.position, flight, now);
            }
        }
        let header = Header { missed: piece.missed, wants_ack, ..header };
        Some(Frame { header, payload: piece.payload })
    }

    /// Whether the congestion window has room for the next piece, if there is any.
    fn has_room_for_next(&self, max: usize) -> bool {
        let needed = self.queue.next_bytes(max).map(|bytes| self.queue.flight() + bytes);
        needed.is_none_or(|needed| needed <= self.congestion.bytes())
    }

    /// When the peer is to be asked what has come of that which is on its way: if all of it was
    /// lost, nothing else would tell.
    pub(super) fn probe_due(&self) -> Option<Duration> {
        let waits = self.queue.flight() > 0 && self.peer.listens();
        waits.then(|| self.probe.due(self.congestion.probe_timeout(), self.limits.heartbeat))
    }

    pub(super) fn heartbeat(&self, wants_ack: bool, now: Duration) -> Frame {
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
            position: self.queue.next(),
            base: self.queue.base(),
            epoch: self.epoch,
            missed: 0,
            suspends: self.queue.suspends(),
            max_message: self.limits.max_message,
            wants_ack: false,
            stamp: Stamp::new(now),
            settled: self.is_settled(),
            resumed: self.resumed,
            acknowledgement: Acknowledgement {
                silence: heard.map_or(Silence::NEVER_HEARD, Silence::new),
                ..self.ack_to_send
            },
        }
    }

    fn is_quiet(&self, now: Duration) -> bool {
        !self.is_resting() && now >= self.heartbeat_due()
    }

    pub(super) fn heartbeat_due(&self) -> Duration {
        self.last_sent.map_or(Duration::ZERO, |sent| sent + self.limits.heartbeat)
    }
}
