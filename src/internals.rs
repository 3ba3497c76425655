//! Doors to two private rooms, the frames as bytes and the link, for the fuzz targets and the bench of the
//! link. They are no part of the API, and come and go without notice.

use std::time::Duration;

use bytes::Bytes;

use crate::envelope::{Envelope, Pid};
use crate::event::Rejection;
use crate::frame::{self, ClusterId, Incarnation, Payload};
use crate::link::{Ends, Handled, Incoming, Limits, Outgoing, Room};
use crate::stats::PeerStats;
use crate::wire::{self, Batch, Envelopes};

/// The length of a frame's header in bytes.
pub const HEADER_LEN: usize = wire::HEADER_LEN;

/// What a frame takes of a window beside its body, in bytes.
pub const FRAME_OVERHEAD: usize = crate::link::FRAME_OVERHEAD;

/// What crosses the network.
#[derive(Clone, Debug)]
pub struct Frame(frame::Frame);

impl Frame {
    /// The frame that these two parts are, if they are one.
    pub fn decode(header: &[u8], body: Bytes) -> Option<Self> {
        wire::decode(header, body).ok().map(Self)
    }

    /// The frame as its two parts.
    pub fn encode(self) -> ([u8; HEADER_LEN], Bytes) {
        let Self(frame::Frame { header, payload }) = self;
        (wire::encode_header(&header, &payload), payload.into_body())
    }

    /// The process that sent it.
    pub fn incarnation(&self) -> u64 {
        self.0.header.incarnation.to_wire()
    }

    /// How many envelopes it says it carries.
    pub fn promised(&self) -> u64 {
        self.0.payload.envelopes()
    }

    /// What it carries.
    pub fn envelopes(self) -> impl Iterator<Item = Envelope> {
        let header = self.0.header;
        Envelopes::new(self.0.payload, header.from, header.to)
    }
}

/// Who speaks to whom, and within which bounds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// This server.
    pub own: Pid,
    /// The other one.
    pub peer: Pid,
    /// This process; not zero.
    pub incarnation: u64,
    /// In bytes.
    pub window: usize,
    /// The largest message, in bytes.
    pub max_message: u32,
    /// How long the link is quiet before it gives a sign of life.
    pub heartbeat: Duration,
    /// How long the peer is silent before it counts as down.
    pub peer_timeout: Duration,
}

/// Both halves of the link between a server and one peer, as its two threads drive them.
#[derive(Debug)]
pub struct Link {
    own: Pid,
    peer: Pid,
    outgoing: Outgoing,
    incoming: Incoming,
    batch: Batch,
}

/// What became of something to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is sent, or reported as undeliverable.
    Accepted,
    /// There is no room for it yet.
    Wait,
}

/// A frame that came in order, and the envelopes in it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its place in the stream.
    pub sequence: u64,
    /// Envelopes that the peer gave up right before it.
    pub missed: u64,
    envelopes: Envelopes,
    /// Its body's length in bytes.
    pub len: usize,
}

impl Iterator for Arrival {
    type Item = Envelope;

    fn next(&mut self) -> Option<Envelope> {
        self.envelopes.next()
    }
}

impl Link {
    /// A new process's link, or none if its incarnation is zero.
    pub fn new(settings: Settings, now: Duration) -> Option<Self> {
        let Settings { own, peer, incarnation, window, max_message, heartbeat, peer_timeout } =
            settings;
        let incarnation = Incarnation::from_wire(incarnation)?;
        let ends = Ends { cluster: ClusterId::new(None), own, peer, incarnation };
        let initial_window = window / 4;
        let limits = Limits { window, initial_window, max_message, heartbeat, peer_timeout };
        Some(Self {
            own,
            peer,
            outgoing: Outgoing::new(ends, limits, now),
            incoming: Incoming::new(ends, limits, now),
            batch: Batch::default(),
        })
    }

    /// Sends envelopes in one frame.
    pub fn push_batch(&mut self, envelopes: &[Envelope], now: Duration) -> Admission {
        envelopes.iter().for_each(|envelope| self.batch.push(envelope));
        let payload = self.batch.take();
        self.push(payload, now)
    }

    /// Sends an envelope as a frame of its own.
    pub fn push_single(&mut self, envelope: Envelope, now: Duration) -> Admission {
        let Envelope { to, msg_id, msg, .. } = envelope;
        self.push(Payload::Single { to, msg_id, msg }, now)
    }

    fn push(&mut self, payload: Payload, now: Duration) -> Admission {
        match self.outgoing.room(payload.len(), now) {
            Room::Yes => self.outgoing.push(payload),
            Room::Refuse(reason) => self.outgoing.refuse(payload, reason),
            Room::Wait => return Admission::Wait,
        }
        Admission::Accepted
    }

    /// Nothing more will be pushed.
    pub fn say_goodbye(&mut self) {
        self.outgoing.say_goodbye();
    }

    /// Takes a frame. Returns whether it is the first of another process.
    ///
    /// # Errors
    ///
    /// When the frame is refused.
    pub fn handle_frame(&mut self, frame: Frame, now: Duration) -> Result<bool, Rejection> {
        let handled = self.incoming.handle_frame(frame.0, now)?;
        while self.incoming.poll_sighting().is_some() {}
        Ok(handled == Handled::Fresh)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.incoming.handle_timeout(now);
        while self.incoming.poll_sighting().is_some() {}
    }

    /// The process did not run for `pause`.
    pub fn handle_pause(&mut self, pause: Duration) {
        self.incoming.handle_pause(pause);
        self.outgoing.handle_pause(pause);
    }

    /// The next frame in order enters the inbox.
    pub fn enter(&mut self, now: Duration) -> Option<Arrival> {
        let front = self.incoming.front()?;
        let arrival = Arrival {
            sequence: front.sequence.to_wire(),
            missed: front.missed,
            len: front.payload.len(),
            envelopes: Envelopes::new(front.payload.clone(), self.peer, self.own),
        };
        self.incoming.pop(now);
        Some(arrival)
    }

    /// Nothing enters the inbox any more.
    pub fn close(&mut self) {
        self.incoming.close();
    }

    /// The receiving half tells the sending half what it has learnt.
    ///
    /// # Errors
    ///
    /// When the peer acknowledges what was never sent.
    pub fn tell(&mut self) -> Result<(), Rejection> {
        self.incoming.poll_status().map_or(Ok(()), |heard| self.outgoing.handle_status(&heard))
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Frame> {
        self.outgoing.poll_transmit(now).map(Frame)
    }

    /// How many envelopes are given up next, if any are.
    pub fn poll_dropped(&mut self) -> Option<u64> {
        self.outgoing.poll_dropped().map(|(payload, _)| payload.envelopes())
    }

    /// When the link is to be driven although nothing has come in.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let both = [self.incoming.poll_timeout(), self.outgoing.poll_timeout(now)];
        both.into_iter().flatten().min()
    }

    /// The last frame of this process.
    pub fn last_words(&mut self, now: Duration) -> Frame {
        Frame(self.outgoing.last_words(now))
    }

    /// What was counted for the peer.
    pub fn stats(&self, now: Duration) -> PeerStats {
        self.outgoing.stats(now)
    }

    /// How many envelopes were accepted and never acknowledged nor reported.
    pub fn into_undelivered(self) -> u64 {
        self.outgoing.into_undelivered().map(|payload| payload.envelopes()).sum()
    }
}
