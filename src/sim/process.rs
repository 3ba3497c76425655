//! One process of a server: the logic of its two threads, and the application that holds its
//! channels.

mod answers;
mod application;
mod asking;
mod checks;
mod ending;
mod feedback_wire;
mod membership;
mod questions;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};

use crate::counters::Counters;
use crate::envelope::{Envelope, Pid};
use crate::frame::{ClusterId, Incarnation};
use crate::input::{self, Input};
use crate::link::{Limits, Presence};
use crate::output::{self, Output};
use crate::server::assembly::{Parts, Plan as Blueprint, Ways, Workshop};
use crate::sim::audit::ProcessId;
use crate::sim::message::{self, QuestionId, Record};
use crate::sim::plan::{HEARTBEAT, LINGER, PEER_TIMEOUT, Plan, up_to};
use crate::sim::process::application::Application;
use crate::sim::process::feedback_wire::FeedbackWire;
use crate::sim::process::membership::Amendment;
pub(super) use crate::sim::process::membership::Change;
use crate::sim::standing::Standings;
use crate::sim::world::Surroundings;
use crate::stats::{PeerState, Stats};
use crate::transport::memory::{
    Arrivals, ConnectionEvent, Departures, MemoryInlet, MemoryOutlet, Sent,
};

/// "Never", in virtual time.
pub(super) const NEVER: Duration = Duration::from_secs(1 << 30);

/// How long a thread takes to wake, or for a turn, at most.
const WAKES_WITHIN: Duration = Duration::from_micros(200);

/// How long the end may take beyond the linger time: peers part, and the threads wake some times.
const END_SLACK: Duration = Duration::from_millis(1_500);

/// A running process.
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) id: ProcessId,
    pub(super) limits: Limits,
    /// Whether it is not the first process of its server.
    pub(super) has_predecessor: bool,
    output: Thread<Output, output::Wait>,
    input: Thread<Input, input::Wait>,
    feedback: FeedbackWire,
    pub(super) app: Application,
    pub(super) ways: Vec<Way>,
    arrivals: Arrivals,
    /// Who sent what has arrived and is not read yet.
    unread: VecDeque<(Pid, ProcessId)>,
    pub(super) standings: Standings,
    pub(super) paused_until: Duration,
    pub(super) started: Duration,
    /// Until when it has to have ended.
    end_by: Option<Duration>,
    /// For how long it has been awake since its application wants to send nothing more, if it does.
    lingered: Option<Duration>,
    ran_at: Duration,
    counters: Arc<Counters>,
    workshop: Workshop,
    changes: Sender<output::Change>,
    amendment: Option<Amendment>,
}

/// The logic of a thread, and when its next turn is.
struct Thread<T, W> {
    /// None once it has ended.
    logic: Option<T>,
    /// What it waits for; none if it does not wait.
    wait: Option<W>,
    due: Duration,
}

impl<T, W> Thread<T, W> {
    fn new(logic: T, now: Duration) -> Self {
        Self { logic: Some(logic), wait: None, due: now }
    }
}

/// The way to one peer.
pub(super) struct Way {
    pub(super) peer: Pid,
    departures: Departures,
    /// Whether it takes everything and sends nothing.
    pub(super) stuck: bool,
    /// Until when the peer is none, at least, if it is none.
    unlisted: Option<Duration>,
    was_unlisted: bool,
    /// Since when the peer is one.
    listed: Duration,
}

impl Way {
    fn new(peer: Pid, departures: Departures, now: Duration) -> Self {
        Self { peer, departures, stuck: false, unlisted: None, was_unlisted: false, listed: now }
    }
}

impl Process {
    pub(super) fn start(
        pid: Pid,
        id: ProcessId,
        limits: Limits,
        plan: &Plan,
        now: Duration,
    ) -> Self {
        let peers: Vec<_> = (1..=plan.servers).map(Pid::new).filter(|peer| *peer != pid).collect();
        let (inlet, waker, arrivals) = MemoryInlet::new();
        let outlets = peers.iter().map(|_| MemoryOutlet::new(HEARTBEAT, PEER_TIMEOUT, now));
        let (outlets, departures): (Vec<_>, Vec<_>) = outlets.unzip();
        let (feedback, from_input) = crossbeam_channel::bounded(plan.feedback);
        let (to_output, feedback_end) = unbounded();
        let blueprint = Blueprint {
            own: pid,
            peers: peers.clone(),
            cluster: ClusterId::new(None),
            incarnation: Incarnation::from_wire(id).unwrap(),
            limits,
            outbox_capacity: plan.outbox,
            inbox_capacity: plan.inbox,
            idle_timeout: plan.idle_timeout,
            linger: LINGER,
        };
        let ways = Ways {
            outlets: outlets.into_iter().map(|outlet| Box::new(outlet) as Box<_>).collect(),
            inlet: Box::new(inlet),
            waker: Box::new(waker),
            feedback: (feedback, feedback_end),
        };
        let parts = blueprint.assemble(ways, now);
        let Parts { mailbox, outboxes, output, input, stop, events, counters, .. } = parts;
        let ways = peers.iter().zip(departures);
        let app = Application::new(mailbox, outboxes, parts.questions, stop, events, now);
        Self {
            pid,
            id,
            limits,
            has_predecessor: false,
            output: Thread::new(output, now),
            input: Thread::new(input, now),
            feedback: FeedbackWire {
                from_input,
                held: None,
                to_output: Some(to_output),
                speakers: BTreeMap::new(),
            },
            app,
            ways: ways.map(|(peer, departures)| Way::new(*peer, departures, now)).collect(),
            arrivals,
            unread: VecDeque::new(),
            standings: Standings::new(&peers, plan.idle_timeout, now),
            paused_until: Duration::ZERO,
            started: now,
            end_by: None,
            lingered: None,
            ran_at: now,
            counters,
            workshop: parts.workshop,
            changes: parts.changes,
            amendment: None,
        }
    }

    /// When one of the threads wakes.
    pub(super) fn poll_timeout(&self) -> Duration {
        self.input.due.min(self.output.due).max(self.paused_until)
    }

    pub(super) fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }

    pub(super) fn has_ended(&self) -> bool {
        self.output.logic.is_none()
    }

    /// Whether the application wants to send nothing more.
    fn is_ending(&self) -> bool {
        self.app.outbox.is_none() || self.app.stop.is_none()
    }

    /// Whether the application has done nothing yet to end it.
    pub(super) fn is_open(&self) -> bool {
        self.app.outbox.is_some() && self.app.stop.is_some() && self.app.inbox.is_some()
    }

    pub(super) fn stats(&self) -> Stats {
        self.counters.snapshot(self.ran_at)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = Pid> + '_ {
        self.ways.iter().map(|way| way.peer)
    }

    /// Something has happened to its connection to a peer.
    pub(super) fn notice(&self, peer: Pid, event: ConnectionEvent) {
        self.arrivals.tell(peer, Some(event));
    }

    /// A frame has reached the process.
    pub(super) fn arrive(&mut self, frame: crate::frame::Frame) {
        if self.input.logic.is_some() {
            self.unread.push_back((frame.header.from, frame.header.incarnation.to_wire()));
            self.arrivals.put(frame);
        }
    }

    /// Lets the threads run whose time it is, and tells when the others wake.
    pub(super) fn run(&mut self, world: &mut Surroundings<'_>) {
        if self.input.due <= world.now && self.input.logic.is_some() {
            self.run_input(world);
        }
        if self.output.due <= world.now && self.output.logic.is_some() {
            self.run_output(world);
        }
        self.wake_threads(world);
        if let Some(end_by) = self.end_by {
            assert!(self.has_ended() || world.now <= end_by, "{} has not ended in time", self.id);
        }
    }

    /// A thread that waits is due soon once what it waits for has come.
    fn wake_threads(&mut self, world: &mut Surroundings<'_>) {
        let soon = world.now + up_to(world.rng, WAKES_WITHIN);
        if let (Some(input), Some(wait)) = (&self.input.logic, self.input.wait) {
            let ready = if wait.room { input.has_room() } else { self.arrivals.is_ready() };
            if ready && self.input.due > soon {
                self.input.due = soon;
            }
        }
        let told = self.feedback.is_ready(self.input.logic.is_none());
        if let (Some(output), Some(wait)) = (&self.output.logic, self.output.wait) {
            if (told || output.is_ready(wait)) && self.output.due > soon {
                self.output.due = soon;
            }
        }
    }

    fn run_input(&mut self, world: &mut Surroundings<'_>) {
        let now = world.now;
        let Some(input) = &mut self.input.logic else { return };
        self.input.wait = None;
        self.arrivals.take_wake_up();
        self.standings.wake(now);
        let (before, entered) = (self.arrivals.len(), self.app.entered());
        let was_open = input.is_inbox_open();
        let next = input.turn(now).unwrap();
        for (peer, speaker, presence) in input.speakers() {
            self.standings.note_speaker(peer, speaker, presence == Presence::Up);
        }
        for (peer, process) in self.unread.drain(..before - self.arrivals.len()) {
            self.standings.note_frame(peer, process);
        }
        let ended = was_open && !input.is_inbox_open();
        match next {
            input::Next::Again => self.input.due = now + up_to(world.rng, WAKES_WITHIN),
            input::Next::Wait(wait) => {
                self.input.due = wait.timeout.map_or(NEVER, |timeout| now + timeout);
                self.input.wait = Some(wait);
            }
            input::Next::End => {
                self.input.logic = None;
                self.input.due = NEVER;
            }
        }
        self.note_whole();
        self.read_events(world);
        self.hear_answers(world);
        self.standings.check_silence(self.id);
        if ended && self.is_open() {
            self.standings.check_idle_end(self.id);
        }
        if self.app.entered() > entered {
            self.standings.note_entry();
        }
    }

    fn run_output(&mut self, world: &mut Surroundings<'_>) {
        let now = world.now;
        self.output.wait = None;
        let away = now - std::mem::replace(&mut self.ran_at, now);
        let awake = if away > HEARTBEAT * 2 { HEARTBEAT } else { away };
        self.lingered = self.lingered.map(|lingered| lingered + awake);
        self.forward_feedback(world);
        let Some(output) = &mut self.output.logic else { return };
        match output.turn(now) {
            output::Next::Again => self.output.due = now + up_to(world.rng, WAKES_WITHIN),
            output::Next::Wait(wait) => {
                self.output.due = wait.until.max(now);
                self.output.wait = Some(wait);
                self.check_patience(world);
            }
            output::Next::End => return self.end(world),
        }
        let acknowledged = self.output.logic.as_mut().map(Output::take_acknowledged);
        self.take_stock(acknowledged.unwrap_or_default(), world);
    }

    /// Looks at what the output thread has done.
    fn take_stock(&mut self, acknowledged: Vec<(Pid, Envelope)>, world: &mut Surroundings<'_>) {
        for (peer, envelope) in acknowledged {
            let by = self.feedback.speakers.get(&peer).copied().flatten();
            world.audit.acknowledge(peer, Record::of(&envelope), by);
            if message::is_answer(&envelope) {
                world.audit.questions.acknowledge(QuestionId::of(&envelope), by);
            }
        }
        self.depart(world);
        self.read_events(world);
        self.hear_answers(world);
        self.note_half(world);
        self.check_accounts(world);
    }

    /// Hands to the network what was sent.
    fn depart(&mut self, world: &mut Surroundings<'_>) {
        for way in &mut self.ways {
            for (count, sent) in way.departures.try_iter().enumerate() {
                assert!(count < 1_000, "{} to {}: sends without end", self.id, way.peer);
                match sent {
                    Sent::Renewed => {
                        way.stuck = false;
                        world.network.renew((self.pid, way.peer));
                        world.network.connections.open((self.id, way.peer), world.now);
                        self.arrivals.tell(way.peer, None);
                    }
                    Sent::Frame(_) if way.stuck => {}
                    Sent::Frame(frame) => world.network.send(frame, world.now),
                }
            }
        }
    }

    pub(super) fn is_inbox_open(&self) -> bool {
        self.app.inbox.is_some() && self.input.logic.as_ref().is_some_and(Input::is_inbox_open)
    }

    /// Whether a peer was never heard.
    pub(super) fn awaits(&self, peer: Pid) -> bool {
        self.stats().peer(peer).is_some_and(|stats| stats.state == PeerState::Awaited)
    }

    /// A channel has ended, for which a thread may wait.
    fn notice_end(&mut self) {
        self.input.due = self.input.due.min(self.started);
        self.output.due = self.output.due.min(self.started);
    }

    /// It does not run for a while, and has that much longer for its end.
    pub(super) fn pause(&mut self, until: Duration, now: Duration) {
        let pause = until.saturating_sub(now.max(self.paused_until));
        self.paused_until = self.paused_until.max(until);
        self.end_by = self.end_by.map(|end_by| end_by + pause + HEARTBEAT);
    }

    pub(super) fn describe(&self) -> String {
        let Self { pid, id, .. } = self;
        let output = (self.output.wait, self.output.due);
        let input = (self.input.wait, self.input.due);
        let open = (self.app.outbox.is_some(), self.app.inbox.is_some(), self.app.stop.is_some());
        format!(
            "{pid} ({id}) {open:?}, output {output:?}, input {input:?}, {} unsent",
            self.unsent()
        )
    }
}
