//! Doors to private rooms, for the fuzz targets and the bench of the link: the frames as bytes, and
//! one process of a server whose two threads take a turn when they are told to. They are no part of
//! the API, and come and go without notice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::counters::Counters;
use crate::envelope::{Envelope, Pid};
use crate::event::Event;
use crate::feedback::{self, Feedback};
use crate::frame::{self, Incarnation};
use crate::input::{self, Input};
use crate::lifecycle::Order;
use crate::link::{FrameSizes, Incoming, Limits, Outgoing};
use crate::output::{self, Output};
use crate::report::PeerReport;
use crate::server::assembly::{Parts, Plan, Ways};
use crate::server::{Builder, StartError};
use crate::stats::Stats;
use crate::transport::Outlet;
use crate::transport::memory::{self, Arrivals, Departures, MemoryInlet, MemoryOutlet};
use crate::wire::{self, Envelopes};

/// The length of a frame's header in bytes.
pub const HEADER_LEN: usize = wire::HEADER_LEN;

/// What a frame takes of a window beside its body, in bytes.
pub const FRAME_OVERHEAD: usize = crate::link::FRAME_OVERHEAD;

/// What the output thread counts for each envelope in a batch beside its message, in bytes.
pub const ENVELOPE_OVERHEAD: usize = wire::ENVELOPE_OVERHEAD;

/// How many bytes of envelopes the output thread gathers in one frame, at most.
pub const MAX_BATCH: usize = output::MAX_BATCH;

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
        Envelopes::received(self.0.payload, header.from, header.incarnation, header.to)
    }
}

/// What a process is besides what its builder says.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Which process of the server it is; not zero.
    pub incarnation: u64,
    /// How much a living peer takes at least, on its way or waiting for it, in bytes.
    pub min_backlog: usize,
    /// How large the largest frame is, in bytes: on a slow line and on a fast one.
    pub max_frame: [usize; 2],
    /// How much waits in the channel from the input thread to the output thread, at most.
    pub feedback_capacity: usize,
}

/// One of the two threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// From the outbox to the peers.
    Output,
    /// From the peers to the inbox.
    Input,
}

/// What a thread does after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It takes the next turn at once.
    Again,
    /// It sleeps until this time, if there is one, or until it [is ready](Process::is_ready).
    Wait(Option<Duration>),
    /// It has ended.
    End,
}

/// What a process did on the way to a peer.
#[derive(Clone, Debug)]
pub enum Sent {
    /// It sent this.
    Frame(Frame),
    /// It replaced the connection.
    Renewed,
}

/// What the input thread knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The peer.
    pub peer: Pid,
    /// The process that is listened to.
    pub speaker: u64,
    /// All payloads before this one have entered the inbox.
    pub next: u64,
}

/// One process of a server, in the hands of a network in memory and of the two threads' scheduler.
/// To drop it is to kill it.
pub struct Process {
    /// None once the thread has ended.
    output: Option<Output>,
    input: Option<Input>,
    output_wait: Option<output::Wait>,
    input_wait: Option<input::Wait>,
    /// Whether a channel that the output thread waits for has lost its other end.
    disconnected: bool,
    outbox: Option<Sender<Envelope>>,
    inbox: Option<Receiver<Envelope>>,
    stop: Option<Sender<Order>>,
    events: Receiver<Event>,
    counters: Arc<Counters>,
    /// When a thread took a turn last.
    now: Duration,
    arrivals: Arrivals,
    /// By peer.
    departures: Vec<(Pid, Departures)>,
    /// What the output thread returned.
    report: Vec<PeerReport>,
}

impl Process {
    /// A process as the builder starts it, but for the transport and the threads.
    ///
    /// # Errors
    ///
    /// When the builder's limits contradict each other.
    pub fn start(builder: &Builder<'_>, now: Duration) -> Result<Self, StartError> {
        let plan = builder.plan()?;
        let feedback = feedback::channel(plan.peers.len());
        Ok(Self::assemble(plan, feedback, now))
    }

    /// The same, tuned.
    ///
    /// # Errors
    ///
    /// When the builder's limits contradict each other.
    pub fn start_tuned(
        builder: &Builder<'_>,
        tuning: Tuning,
        now: Duration,
    ) -> Result<Self, StartError> {
        let mut plan = builder.plan()?;
        let incarnation = Incarnation::from_wire(tuning.incarnation);
        plan.incarnation = incarnation.unwrap_or(plan.incarnation);
        plan.limits.min_backlog = tuning.min_backlog.min(plan.limits.window);
        let [min, max] = tuning.max_frame;
        plan.limits.frames = FrameSizes { min: min.min(max), max };
        Ok(Self::assemble(plan, bounded(tuning.feedback_capacity), now))
    }

    fn assemble(
        plan: Plan,
        feedback: (Sender<Feedback>, Receiver<Feedback>),
        now: Duration,
    ) -> Self {
        let Limits { heartbeat, peer_timeout, .. } = plan.limits;
        let (inlet, waker, arrivals) = MemoryInlet::new();
        let way = |peer: &Pid| {
            let (outlet, departures) = MemoryOutlet::new(heartbeat, peer_timeout, now);
            (Box::new(outlet) as Box<dyn Outlet>, (*peer, departures))
        };
        let (outlets, departures): (Vec<_>, Vec<_>) = plan.peers.iter().map(way).unzip();
        let (inlet, waker) = (Box::new(inlet), Box::new(waker));
        let parts = plan.assemble(Ways { outlets, inlet, waker, feedback }, now);
        let Parts { mailbox, output, input, stop, events, counters, .. } = parts;
        Self {
            output: Some(output),
            input: Some(input),
            output_wait: None,
            input_wait: None,
            disconnected: false,
            outbox: Some(mailbox.outbox),
            inbox: Some(mailbox.inbox),
            stop: Some(stop),
            events,
            counters,
            now,
            arrivals,
            departures,
            report: Vec::new(),
        }
    }

    /// Lets a thread take a turn.
    pub fn turn(&mut self, thread: Thread, now: Duration) -> Turn {
        match thread {
            Thread::Output => self.output_turn(now),
            Thread::Input => self.input_turn(now),
        }
    }

    /// Lets the output thread take a turn.
    pub fn output_turn(&mut self, now: Duration) -> Turn {
        self.now = now;
        let Some(output) = &mut self.output else { return Turn::End };
        self.disconnected = false;
        self.output_wait = None;
        match output.turn(now) {
            output::Next::Again => Turn::Again,
            output::Next::Wait(wait) => {
                self.output_wait = Some(wait);
                Turn::Wait(Some(wait.until))
            }
            output::Next::End => {
                self.report = self.output.take().map_or(Vec::new(), |output| output.end(now));
                Turn::End
            }
        }
    }

    /// Lets the input thread take a turn.
    pub fn input_turn(&mut self, now: Duration) -> Turn {
        self.now = now;
        let Some(input) = &mut self.input else { return Turn::End };
        if self.input_wait.take().is_some_and(|wait| !wait.room) {
            self.arrivals.take_wake_up();
        }
        match input.turn(now) {
            Ok(input::Next::Again) => Turn::Again,
            Ok(input::Next::Wait(wait)) => {
                self.input_wait = Some(wait);
                Turn::Wait(wait.timeout.map(|timeout| now + timeout))
            }
            Ok(input::Next::End) | Err(_) => {
                self.fail();
                Turn::End
            }
        }
    }

    /// The input thread ends, as it does when its inlet fails. The output thread follows.
    pub fn fail(&mut self) {
        self.input = None;
        self.disconnected = true;
    }

    /// Whether a thread sleeps although what it waits for has come.
    pub fn is_ready(&self, thread: Thread) -> bool {
        match thread {
            Thread::Output => self.output_is_ready(),
            Thread::Input => self.input_is_ready(),
        }
    }

    fn output_is_ready(&self) -> bool {
        match (&self.output, self.output_wait) {
            (Some(output), Some(wait)) => self.disconnected || output.is_ready(wait),
            _ => false,
        }
    }

    fn input_is_ready(&self) -> bool {
        match (&self.input, self.input_wait) {
            (Some(input), Some(wait)) if wait.room => self.inbox.is_none() || input.has_room(),
            (Some(_), Some(_)) => self.arrivals.is_ready(),
            _ => false,
        }
    }

    /// Whether both threads have ended.
    pub fn has_ended(&self) -> bool {
        self.output.is_none()
    }

    /// For each peer, what was not acknowledged. Empty until both threads [have
    /// ended](Self::has_ended).
    pub fn report(&self) -> &[PeerReport] {
        &self.report
    }

    /// Where to put what goes out, unless it was dropped.
    pub fn outbox(&self) -> Option<&Sender<Envelope>> {
        self.outbox.as_ref()
    }

    /// Where what came in is found, unless it was dropped.
    pub fn inbox(&self) -> Option<&Receiver<Envelope>> {
        self.inbox.as_ref()
    }

    /// The application has nothing more to say.
    pub fn drop_outbox(&mut self) {
        self.outbox = None;
        self.disconnected |= self.output_wait.is_some_and(|wait| wait.outbox);
    }

    /// The application wants to hear nothing more.
    pub fn drop_inbox(&mut self) {
        self.inbox = None;
    }

    /// The application drops the handle of the server.
    pub fn stop(&mut self) {
        self.disconnected |= self.stop.take().is_some();
    }

    /// What the application may want to know.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// What was counted, at the time of the last turn.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot(self.now)
    }

    /// What was sent to each peer since this was called last.
    pub fn sent(&self) -> impl Iterator<Item = (Pid, Sent)> + '_ {
        self.departures.iter().flat_map(|(peer, departures)| {
            departures.try_iter().map(|sent| match sent {
                memory::Sent::Frame(frame) => (*peer, Sent::Frame(Frame(frame))),
                memory::Sent::Renewed => (*peer, Sent::Renewed),
            })
        })
    }

    /// A frame arrives.
    pub fn arrive(&self, frame: Frame) {
        self.arrivals.put(frame.0);
    }

    /// Something arrives that need not be a frame.
    pub fn arrive_raw(&self, header: &[u8], body: Bytes) {
        self.arrivals.put_decoded(wire::decode(header, body));
    }

    /// How much has arrived and was not read.
    pub fn unread(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether envelopes that come may enter the inbox.
    pub fn is_inbox_open(&self) -> bool {
        self.inbox.is_some() && self.input.as_ref().is_some_and(Input::is_inbox_open)
    }

    /// How far the streams of the peers have entered the inbox: of those that were heard.
    pub fn progress(&self) -> impl Iterator<Item = Progress> + '_ {
        self.input.iter().flat_map(Input::links).filter_map(|link| {
            let (speaker, next) = link.progress()?;
            let (speaker, next) = (speaker.to_wire(), next.to_wire());
            Some(Progress { peer: link.ends().peer, speaker, next })
        })
    }

    /// Whether the output thread knows all that the input thread does: how each peer stands, and
    /// what to acknowledge to it.
    pub fn is_informed(&self) -> bool {
        let (Some(input), Some(output)) = (&self.input, &self.output) else { return true };
        input.links().map(Incoming::known).eq(output.links().map(Outgoing::known))
    }
}
