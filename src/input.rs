//! The input thread: from the peers to the inbox.

mod lane;
mod shelf;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

use crate::clock::{Clock, Vigil};
use crate::counters::{Counters, EventSink};
use crate::envelope::{Envelope, Pid};
use crate::event::Rejection;
use crate::frame::ClusterId;
use crate::input::lane::Entered;
pub(crate) use crate::input::lane::Lane;
use crate::input::shelf::{Lot, Put, Shelf};
use crate::link::Feedback;
use crate::refusals::Refusals;
use crate::socket::{Alarm, Inlet, Parts, Received, Signal, Speaker, Visitor};
use crate::wire::{self, DecodeError};

/// How many frames are read before the inbox is looked after.
const FRAMES_AT_ONCE: usize = 64;

/// How many of those who want to come in are attended to before the frames are.
const VISITORS_AT_ONCE: usize = 16;

/// How long the thread waits for room in the inbox before it looks at the socket again.
const GLANCE: Duration = Duration::from_millis(2);

/// How long feedback that found no room waits for it.
const RETRY: Duration = Duration::from_millis(1);

/// How long the end waits at most for peers to learn that their goodbye came in.
const PARTING: Duration = Duration::from_secs(1);

/// All the input thread needs to begin.
pub(crate) struct Setup {
    pub(crate) own: Pid,
    pub(crate) cluster: ClusterId,
    pub(crate) clock: Clock,
    pub(crate) inlet: Inlet,
    pub(crate) alarm: Alarm,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) inbox: Sender<Envelope>,
    pub(crate) feedback: Sender<Feedback>,
    pub(crate) events: EventSink,
    pub(crate) counters: Arc<Counters>,
    pub(crate) window: usize,
    pub(crate) idle_timeout: Option<Duration>,
    /// A silence longer than this, while the thread did not run, is the thread's own.
    pub(crate) heartbeat: Duration,
}

/// The input thread. It blocks in [`wait`](Self::wait) and nowhere else.
pub(crate) struct Input {
    own: Pid,
    cluster: ClusterId,
    clock: Clock,
    inlet: Inlet,
    alarm: Alarm,
    lanes: Vec<Lane>,
    by_pid: HashMap<Pid, usize>,
    /// Whose turn it is to fill the inbox.
    turn: usize,
    /// None once the inbox has ended, for whatever reason.
    shelf: Option<Shelf>,
    feedback: Sender<Feedback>,
    events: EventSink,
    refusals: Refusals,
    counters: Arc<Counters>,
    idle_timeout: Option<Duration>,
    heartbeat: Duration,
    /// When the last envelope entered the inbox.
    entered_at: Duration,
    sending: Sending,
    /// Since when only partings are left to wait for.
    parting_since: Option<Duration>,
    vigil: Vigil,
}

/// How far the output thread is.
///
/// ```text
///   Open ──► Leaving ──► Settled ──► Ended
///     │         │           ▲
///     └─────────┴► Stopping ┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Open,
    /// It takes nothing more; what the peers still send is welcome.
    Leaving,
    /// It takes nothing more, and neither does the application.
    Stopping,
    /// All is acknowledged, or the linger time is over; the inbox stays until the peers have left.
    Settled,
    /// The same, and the inbox does not stay.
    Done,
}

/// How the inbox took what was there for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Free,
    /// It has no room for what this lane holds.
    Blocked {
        lane: usize,
    },
}

/// Whether the output thread got what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    All,
    /// Its ears are full.
    Some,
    /// It has ended.
    Nobody,
}

/// Whether the socket had more than was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    Drained,
    More,
}

impl Input {
    pub(crate) fn new(setup: Setup) -> Self {
        let now = setup.clock.now();
        let by_pid = setup.lanes.iter().enumerate().map(|(at, lane)| (lane.peer, at)).collect();
        Self {
            own: setup.own,
            cluster: setup.cluster,
            clock: setup.clock,
            inlet: setup.inlet,
            alarm: setup.alarm,
            lanes: setup.lanes,
            by_pid,
            turn: 0,
            shelf: Some(Shelf::new(setup.inbox, setup.window)),
            feedback: setup.feedback,
            refusals: Refusals::new(setup.events.clone(), Arc::clone(&setup.counters)),
            events: setup.events,
            counters: setup.counters,
            idle_timeout: setup.idle_timeout,
            heartbeat: setup.heartbeat,
            entered_at: now,
            sending: Sending::Open,
            parting_since: None,
            vigil: Vigil::new(setup.heartbeat, now),
        }
    }

    /// Runs until the output thread has settled everything and the inbox has ended.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            let now = self.clock.now();
            self.forgive_pause(now);
            self.listen();
            let door = self.attend_door()?;
            let socket = self.receive(now)?;
            let flow = self.fill_inbox(now);
            if socket == Socket::Drained {
                self.lanes.iter_mut().for_each(|lane| lane.handle_timeout(now));
            }
            self.end_inbox(now);
            self.refusals.tell(now);
            self.lanes.iter_mut().for_each(|lane| lane.report(&self.events));
            let told = self.tell();
            if told == Told::Nobody || self.is_finished(now) {
                return Ok(());
            }
            match (socket, door) {
                (Socket::Drained, Socket::Drained) => self.wait(flow, told, now)?,
                _ => self.inlet.prick_up(&mut self.alarm),
            }
        }
    }

    /// A process that was stopped for a while finds all its peers silent: it must not hold that against
    /// them.
    fn forgive_pause(&mut self, now: Duration) {
        if let Some(pause) = self.vigil.wake(now) {
            self.lanes.iter_mut().for_each(|lane| lane.forgive(pause));
        }
    }

    /// Hears what the output thread has to say.
    fn listen(&mut self) {
        while let Some(signal) = self.alarm.heard() {
            self.sending = match (signal, self.sending) {
                (Signal::Leaving, Sending::Open) => Sending::Leaving,
                (Signal::Shutdown, Sending::Open | Sending::Leaving) => Sending::Stopping,
                (Signal::Settled, Sending::Open | Sending::Leaving) => Sending::Settled,
                (Signal::Settled, Sending::Stopping)
                | (Signal::Shutdown, Sending::Settled)
                | (Signal::Ended, _) => Sending::Done,
                (_, unchanged) => unchanged,
            };
        }
    }

    /// Answers those who want to come in.
    fn attend_door(&mut self) -> io::Result<Socket> {
        for _ in 0..VISITORS_AT_ONCE {
            match self.inlet.attend_door()? {
                None => return Ok(Socket::Drained),
                Some(Visitor::Admitted) => {}
                Some(Visitor::Refused { reason, address }) => self.refusals.note(reason, address),
            }
        }
        Ok(Socket::More)
    }

    /// Takes in what the socket holds, but not so much that the inbox has to wait long.
    fn receive(&mut self, now: Duration) -> io::Result<Socket> {
        for _ in 0..FRAMES_AT_ONCE {
            let Some(mut received) = self.inlet.receive()? else { return Ok(Socket::Drained) };
            if let Err(reason) = self.accept(&received, now) {
                self.refusals.note(reason, received.address());
            }
        }
        Ok(Socket::More)
    }

    fn accept(&mut self, received: &Received, now: Duration) -> Result<(), Rejection> {
        if received.parts == Parts::More {
            return Err(Rejection::Malformed);
        }
        let frame = wire::decode(received.header(), received.body.clone()).map_err(rejection)?;
        let header = &frame.header;
        refuse_impostor(received.speaker, header.from)?;
        if header.cluster != self.cluster {
            return Err(Rejection::OtherCluster);
        }
        if header.to != self.own {
            return Err(Rejection::OtherRecipient(header.to));
        }
        let lane = self.by_pid.get(&header.from).ok_or(Rejection::UnknownSender(header.from))?;
        let lane = &mut self.lanes[*lane];
        lane.handle_frame(frame, now)?;
        lane.report(&self.events);
        Ok(())
    }

    /// Puts what has come in order into the inbox, one frame of each peer after the other.
    fn fill_inbox(&mut self, now: Duration) -> Flow {
        let mut empty = 0;
        while empty < self.lanes.len() {
            let turn = self.turn;
            let lane = &mut self.lanes[turn];
            let Some(shelf) = &mut self.shelf else {
                self.lanes.iter_mut().for_each(|lane| lane.pass(now));
                return Flow::Free;
            };
            match lane.enter(shelf, &self.events, &self.counters.peers[turn], now) {
                Entered::One => {
                    self.entered_at = now;
                    empty = 0;
                }
                Entered::Nothing => empty += 1,
                Entered::Blocked => return Flow::Blocked { lane: turn },
                Entered::Closed => self.close_inbox(),
            }
            self.turn = (turn + 1) % self.lanes.len();
        }
        Flow::Free
    }

    /// Ends the inbox when there is no reason to keep it.
    fn end_inbox(&mut self, now: Duration) {
        let leaving = matches!(self.sending, Sending::Leaving | Sending::Settled);
        let alone = leaving && self.lanes.iter().all(Lane::is_gone);
        let idle = self.idle_deadline().is_some_and(|deadline| now >= deadline);
        let waiting = self.lanes.iter().any(Lane::is_waiting);
        if self.shelf.is_some() && !waiting && (alone || idle) {
            self.close_inbox();
        }
    }

    fn idle_deadline(&self) -> Option<Duration> {
        self.shelf.as_ref()?;
        self.idle_timeout.map(|timeout| self.entered_at.saturating_add(timeout))
    }

    fn close_inbox(&mut self) {
        self.shelf = None;
        self.lanes.iter_mut().for_each(Lane::close);
    }

    /// Tells the output thread what it does not know yet.
    fn tell(&mut self) -> Told {
        let mut told = Told::All;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let Some(heard) = lane.poll_heard() else { continue };
            match self.feedback.try_send(Feedback { lane: at, heard }) {
                Ok(()) => {}
                Err(TrySendError::Full(feedback)) => {
                    lane.untold(&feedback.heard);
                    told = Told::Some;
                }
                Err(TrySendError::Disconnected(_)) => return Told::Nobody,
            }
        }
        told
    }

    fn is_finished(&mut self, now: Duration) -> bool {
        let settled = match self.sending {
            Sending::Open | Sending::Leaving | Sending::Stopping => false,
            Sending::Settled => self.shelf.is_none(),
            Sending::Done => true,
        };
        if !settled {
            return false;
        }
        let since = *self.parting_since.get_or_insert(now);
        !self.lanes.iter().any(Lane::is_parting) || now >= since + PARTING
    }

    fn wait(&mut self, flow: Flow, told: Told, now: Duration) -> io::Result<()> {
        // Who sleeps no longer than this notices how long it was stopped.
        let soon = |due: Duration| due.saturating_sub(now).min(self.heartbeat);
        let due = self.poll_timeout(told, now).map(soon);
        let timeout = match flow {
            Flow::Free => due,
            Flow::Blocked { .. } => Some(due.map_or(GLANCE, |due| due.min(GLANCE))),
        };
        self.vigil.sleep(timeout.map(|timeout| now + timeout));
        match (flow, timeout) {
            (Flow::Blocked { lane }, Some(timeout)) => self.wait_for_room(lane, timeout),
            _ => self.inlet.wait(&mut self.alarm, timeout),
        }
    }

    /// Waits for the application to read from the inbox.
    fn wait_for_room(&mut self, turn: usize, timeout: Duration) -> io::Result<()> {
        let Some(shelf) = &mut self.shelf else { return Ok(()) };
        let lane = &mut self.lanes[turn];
        let held = if shelf.is_laden() { None } else { lane.take_held() };
        let Some(envelope) = held else {
            return self.inlet.wait(&mut self.alarm, Some(timeout));
        };
        self.inlet.prick_up(&mut self.alarm);
        let bytes = envelope.msg.len();
        match shelf.put_within(envelope, timeout) {
            Put::Done => shelf.note(Lot { envelopes: 1, bytes }),
            Put::Full(envelope) => lane.hold(envelope),
            Put::Closed => self.close_inbox(),
        }
        Ok(())
    }

    /// When there is something to do although nothing has come in.
    fn poll_timeout(&self, told: Told, now: Duration) -> Option<Duration> {
        let retry = (told != Told::All).then(|| now + RETRY);
        let waiting = self.lanes.iter().any(Lane::is_waiting);
        let idle = self.idle_deadline().filter(|_| !waiting);
        let parting = self.parting_since.map(|since| since + PARTING);
        let lanes = self.lanes.iter().filter_map(Lane::poll_timeout);
        let others = [retry, idle, parting, self.refusals.poll_timeout()];
        lanes.chain(others.into_iter().flatten()).min()
    }
}

/// Refuses a frame that says it is from another than its connection is.
fn refuse_impostor(speaker: Speaker, claimed: Pid) -> Result<(), Rejection> {
    match speaker {
        Speaker::Unproven => Ok(()),
        Speaker::Proven(actual) if actual == claimed => Ok(()),
        Speaker::Proven(actual) => Err(Rejection::Impostor { claimed, actual }),
        Speaker::Unknown => Err(Rejection::Stranger),
    }
}

fn rejection(error: DecodeError) -> Rejection {
    match error {
        DecodeError::Version(version) => Rejection::Version(version),
        _ => Rejection::Malformed,
    }
}
