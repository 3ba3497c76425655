//! One server of the model: a value between two turns, threads while one of them has its turn.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::envelope::Envelope;
use crate::event::Event;
use crate::feedback::{Feedback, News};
use crate::frame::{Acknowledgement, ClusterId, Frame, Incarnation, Silence, Stamp};
use crate::input::{self, Input};
use crate::lifecycle::{Order, Stage};
use crate::link::{FrameSizes, Limits, Outgoing, PeerStatus, Presence};
use crate::model::turns::Turn;
use crate::model::{HEARTBEAT, NOW, PEER_TIMEOUT, RECONNECT_GRACE, Side};
use crate::output::{self, Output};
use crate::report::PeerReport;
use crate::server::assembly::{Plan, Ways};
use crate::transport::Waker;
use crate::transport::memory::{Arrivals, Departures, MemoryInlet, MemoryOutlet, Sent};

const MESSAGE: &[u8] = b"some message";

/// More than the outbox ever holds here.
const OUTBOX: usize = 4;

/// What the servers of a scope are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// The capacity of the inbox, in envelopes.
    pub(super) inbox: usize,
    /// How much feedback waits for the output thread.
    pub(super) feedback: usize,
    pub(super) linger: Duration,
    /// The largest frame, in bytes.
    pub(super) max_frame: usize,
}

/// A server between two turns of its threads: what they know, and what is in the channels.
/// Envelopes are known by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    side: Side,
    pub(super) incarnation: u64,
    /// None once the thread has ended; so too below.
    pub(super) output: Option<output::Snapshot>,
    pub(super) input: Option<input::Snapshot>,
    pub(super) outbox: Vec<i64>,
    pub(super) inbox: VecDeque<i64>,
    feedback: Vec<PeerStatus>,
    control: Vec<Stage>,
    /// Whether the application has dropped its outbox.
    pub(super) leaving: bool,
    /// Whether the application has shut the server down.
    pub(super) stopping: bool,
}

/// What comes out of a turn.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) sent: Vec<Sent>,
    pub(super) entered: Vec<Envelope>,
    pub(super) events: Vec<Event>,
    /// How many envelopes the output thread has accepted, and the peer not acknowledged.
    pub(super) unsettled: u64,
    /// Of a server that has ended.
    pub(super) report: Option<PeerReport>,
}

impl Server {
    pub(super) fn start(side: Side, incarnation: u64, settings: Settings) -> Self {
        let feedback = bounded(settings.feedback);
        let threads = Threads::assemble(side, incarnation, settings, feedback, NOW);
        Self {
            side,
            incarnation,
            output: Some(threads.output.snapshot(NOW)),
            input: threads.input.as_ref().map(|input| input.snapshot(NOW)),
            outbox: Vec::new(),
            inbox: VecDeque::new(),
            feedback: Vec::new(),
            control: Vec::new(),
            leaving: false,
            stopping: false,
        }
    }

    /// The process of the peer that takes what is sent to it now, if there is one.
    pub(super) fn listener(&self) -> Option<Incarnation> {
        self.output.as_ref()?.link.listener()
    }

    /// The processes that what the output thread hears next speaks of.
    pub(super) fn heard(&self) -> impl Iterator<Item = Option<u64>> {
        self.feedback.iter().map(|status| status.incarnation.map(Incarnation::to_wire))
    }

    /// Whether its application was told that the peer has left.
    pub(super) fn has_left(&self) -> bool {
        let presence = |input: &input::Snapshot| input.peer.link.presence();
        self.input.as_ref().map(presence) == Some(Presence::Left)
    }

    /// Whether the input thread keeps something from the output thread that it knows.
    pub(super) fn withholds_news(&self) -> bool {
        let (Some(output), Some(input)) = (&self.output, &self.input) else { return false };
        let Some(told) = input.peer.link.told() else { return false };
        let mut output = output.link.clone();
        for status in &self.feedback {
            // What the peer says is false shows elsewhere.
            let _ = output.handle_status(status);
        }
        !output.knows(&told)
    }

    /// One of the threads has a turn.
    pub(super) fn turn(&mut self, turn: &Turn, settings: Settings) -> Outcome {
        match turn {
            Turn::Output(after) => self.turn_output(settings, NOW + *after),
            Turn::Input(after, frame) => self.turn_input(frame.as_deref(), settings, NOW + *after),
        }
    }

    fn turn_output(&mut self, settings: Settings, at: Duration) -> Outcome {
        if self.output.is_none() {
            return Outcome::default();
        }
        let mut threads = Threads::resume(self, settings, at);
        let next = threads.output.turn(at);
        let mut outcome =
            Outcome { unsettled: pending(threads.output.link()), ..Outcome::default() };
        if next == output::Next::End {
            outcome.report = threads.output.end(at).pop();
            self.output = None;
        } else {
            self.output = Some(threads.output.snapshot(NOW));
        }
        outcome.sent = threads.departures.try_iter().map(timeless).collect();
        outcome.events = threads.events.try_iter().collect();
        self.outbox.clear();
        self.feedback.clear();
        self.control = threads.input.as_ref().map(Input::pending_control).unwrap_or_default();
        outcome
    }

    fn turn_input(&mut self, frame: Option<&Frame>, settings: Settings, at: Duration) -> Outcome {
        let mut threads = Threads::resume(self, settings, at);
        let Some(input) = &mut threads.input else { return Outcome::default() };
        if let Some(frame) = frame {
            threads.arrivals.put(frame.clone());
        }
        self.input = match input.turn(at).unwrap() {
            input::Next::End => None,
            input::Next::Again | input::Next::Wait(_) => Some(input.snapshot(NOW)),
        };
        let entered = threads.inbox.try_iter().skip(self.inbox.len()).collect::<Vec<_>>();
        self.inbox.extend(entered.iter().map(|envelope| envelope.msg_id));
        let status = |Feedback { news, .. }| {
            let News::Status(status) = news else { return None };
            let ack_to_send = Acknowledgement { delay: Stamp::ZERO, ..status.ack_to_send };
            Some(PeerStatus { heard_at: NOW, ack_to_send, ..status })
        };
        self.feedback = threads.feedback.try_iter().filter_map(status).collect();
        self.control.clear();
        Outcome { entered, events: threads.events.try_iter().collect(), ..Outcome::default() }
    }
}

/// The threads of a server, and the ends of their channels that the application and the network
/// hold.
pub(super) struct Threads {
    pub(super) output: Output,
    /// None once it has ended.
    pub(super) input: Option<Input>,
    pub(super) outbox: Option<Sender<Envelope>>,
    pub(super) inbox: Receiver<Envelope>,
    stop: Option<Sender<Order>>,
    pub(super) events: Receiver<Event>,
    pub(super) departures: Departures,
    pub(super) arrivals: Arrivals,
    pub(super) wake_ups: Receiver<()>,
    feedback: Receiver<Feedback>,
}

impl Threads {
    /// Makes threads of a server, which go on at this time from where it stands.
    pub(super) fn resume(server: &Server, settings: Settings, at: Duration) -> Self {
        let feedback = bounded(settings.feedback);
        for status in &server.feedback {
            let news = News::Status(*status);
            feedback.0.try_send(Feedback { peer: server.side.other().pid(), news }).unwrap();
        }
        let mut threads = Self::assemble(server.side, server.incarnation, settings, feedback, at);
        if let Some(snapshot) = &server.output {
            threads.output.resume(snapshot, &server.control, NOW);
        }
        match (&mut threads.input, &server.input) {
            (Some(input), Some(snapshot)) => {
                input.resume(snapshot, envelopes(server.side, &server.inbox), NOW);
            }
            (input, _) => *input = None,
        }
        for envelope in envelopes(server.side.other(), &server.outbox) {
            threads.outbox.as_ref().unwrap().try_send(envelope).unwrap();
        }
        threads.outbox = threads.outbox.filter(|_| !server.leaving);
        threads.stop = threads.stop.filter(|_| !server.stopping);
        threads
    }

    /// Whether one of the channels that the output thread waits for has something, or has ended.
    pub(super) fn wakes_output(&self, wait: output::Wait) -> bool {
        let stage = self.output.stage();
        let stopping = matches!(stage, Stage::Stopping | Stage::Ending);
        let outbox = self.outbox.as_ref().map_or(stage == Stage::Open, |it| !it.is_empty());
        let stop = self.stop.is_none() && !stopping;
        wait.outbox && outbox || stop || !self.feedback.is_empty() || self.input.is_none()
    }

    /// Threads that have had no turn yet.
    fn assemble(
        side: Side,
        incarnation: u64,
        settings: Settings,
        feedback: (Sender<Feedback>, Receiver<Feedback>),
        at: Duration,
    ) -> Self {
        let (outlet, departures) = MemoryOutlet::new(HEARTBEAT, PEER_TIMEOUT, NOW);
        let (inlet, _, arrivals) = MemoryInlet::new();
        let (waker, wake_ups) = bounded(1);
        let ways = Ways {
            outlets: vec![Box::new(outlet)],
            inlet: Box::new(inlet),
            waker: Box::new(ModelWaker(waker)),
            feedback: feedback.clone(),
        };
        let parts = plan(side, incarnation, settings).assemble(ways, at);
        Self {
            output: parts.output,
            input: Some(parts.input),
            outbox: Some(parts.mailbox.outbox),
            inbox: parts.mailbox.inbox,
            stop: Some(parts.stop),
            events: parts.events,
            departures,
            arrivals,
            wake_ups,
            feedback: feedback.1,
        }
    }
}

/// Shows that the input thread was woken.
struct ModelWaker(Sender<()>);

impl Waker for ModelWaker {
    fn wake(&self) {
        // A wake-up that is there already is enough.
        let _ = self.0.try_send(());
    }
}

fn plan(side: Side, incarnation: u64, settings: Settings) -> Plan {
    Plan {
        own: side.pid(),
        peers: vec![side.other().pid()],
        cluster: ClusterId::new(None),
        incarnation: Incarnation::from_wire(incarnation).unwrap(),
        limits: Limits {
            window: 1 << 20,
            min_backlog: 1 << 20,
            frames: FrameSizes { min: settings.max_frame, max: settings.max_frame },
            max_message: 1_000,
            heartbeat: HEARTBEAT,
            peer_timeout: PEER_TIMEOUT,
            reconnect_grace: RECONNECT_GRACE,
        },
        outbox_capacity: OUTBOX,
        inbox_capacity: settings.inbox,
        idle_timeout: None,
        linger: settings.linger,
    }
}

/// What a link has accepted, and the peer not acknowledged.
pub(super) fn pending(link: &Outgoing) -> u64 {
    let stats = link.stats(NOW);
    stats.queued + stats.in_flight
}

/// The envelopes for a server with these ids.
fn envelopes<'a>(
    to: Side,
    ids: impl IntoIterator<Item = &'a i64>,
) -> impl Iterator<Item = Envelope> {
    let envelope = move |id: &i64| Envelope::to(to.pid(), Bytes::from_static(MESSAGE)).with_id(*id);
    ids.into_iter().map(envelope)
}

/// The same frame, as if it had been sent right now.
fn timeless(sent: Sent) -> Sent {
    let Sent::Frame(mut frame) = sent else { return sent };
    frame.header.stamp = Stamp::ZERO;
    let ack = &mut frame.header.acknowledgement;
    ack.delay = Stamp::ZERO;
    if ack.silence != Silence::NEVER_HEARD {
        ack.silence = Silence::new(Duration::ZERO);
    }
    Sent::Frame(frame)
}
