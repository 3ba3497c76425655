//! The input thread: from the peers to the inbox.

mod bounded_inbox;
mod ending;
#[cfg(any(test, feature = "internals"))]
mod inspect;
mod membership;
mod peer_receiver;
#[cfg(test)]
mod snapshot;
mod waiting;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::asker::Questions;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::envelope::Pid;
use crate::event::Rejection;
use crate::feedback::Feedback;
use crate::frame::ClusterId;
use crate::idle::Idle;
pub(crate) use crate::input::bounded_inbox::BoundedInbox;
pub(crate) use crate::input::membership::Change;
use crate::input::peer_receiver::Entered;
pub(crate) use crate::input::peer_receiver::PeerReceiver;
#[cfg(test)]
pub(crate) use crate::input::snapshot::Snapshot;
use crate::input::waiting::Waiting;
use crate::lifecycle::Stage;
use crate::link::Incoming;
use crate::pause::PauseDetector;
use crate::refusals::Refusals;
use crate::report::Ending;
use crate::trace;
use crate::transport::{Inlet, Outcome, Received, Refusal, Speaker};
use crate::wire::DecodeError;

/// How many frames are read before the inbox is looked after.
const FRAMES_AT_ONCE: usize = 64;

/// How many of those who want to come in are answered before the frames are read.
const REQUESTS_AT_ONCE: usize = 16;

/// How long the thread waits for room in the inbox before it looks at the network again.
const GLANCE: Duration = Duration::from_millis(2);

/// How long feedback that found no room waits for it.
const RETRY: Duration = Duration::from_millis(1);

/// All the input thread needs to begin.
pub(crate) struct Setup {
    pub(crate) own: Pid,
    pub(crate) cluster: ClusterId,
    pub(crate) peers: Vec<PeerReceiver>,
    pub(crate) inlet: Box<dyn Inlet>,
    /// None once the inbox has ended, for whatever reason.
    pub(crate) inbox: Option<BoundedInbox>,
    pub(crate) feedback: Sender<Feedback>,
    /// The stages of the output thread on the way to the end.
    pub(crate) control: Receiver<Stage>,
    /// Changes of the cluster, which the output thread has carried out.
    pub(crate) changes: Receiver<Change>,
    pub(crate) refusals: Refusals,
    pub(crate) counters: Arc<Counters>,
    pub(crate) questions: Arc<Questions>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) linger: Duration,
    /// A silence longer than this, while the thread did not run, is the thread's own.
    pub(crate) heartbeat: Duration,
}

/// The input thread: [`turn`](Self::turn) does all there is to do and never blocks;
/// [`run`](Self::run) calls it, and waits between two turns.
pub(crate) struct Input {
    setup: Setup,
    by_pid: HashMap<Pid, usize>,
    /// The links of those that are no peers any more: should one be a peer again, it goes on where it was.
    former: HashMap<Pid, Incoming>,
    /// Whose turn it is to fill the inbox.
    next_peer: usize,
    /// When the last envelope entered the inbox.
    entered_at: Duration,
    stage: Stage,
    /// What has ended the inbox, or is about to.
    ended: Option<Ending>,
    /// Since when the server is leaving and no peer is there any more.
    alone_since: Option<Duration>,
    /// Since when only partings are left to wait for.
    parting_since: Option<Duration>,
    pause_detector: PauseDetector,
    /// For room in the inbox.
    waiting: Waiting,
}

/// What to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do at once.
    Again,
    Wait(Wait),
    /// The server has nothing more to do.
    End,
}

/// What the next turn waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) timeout: Option<Duration>,
    /// Whether it waits for room in the inbox, else for the network.
    pub(crate) room: bool,
}

/// What became of the feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Everything,
    /// The channel is full.
    Part,
    /// The output thread has ended.
    Nobody,
}

impl Input {
    pub(crate) fn new(setup: Setup, now: Duration) -> Self {
        let mut input = Self {
            by_pid: HashMap::new(),
            former: HashMap::new(),
            next_peer: 0,
            entered_at: now,
            stage: Stage::Open,
            ended: None,
            alone_since: None,
            parting_since: None,
            pause_detector: PauseDetector::new(setup.heartbeat, now),
            waiting: Waiting::default(),
            setup,
        };
        input.find_places();
        input
    }

    /// Runs until the output thread has settled everything and the inbox has ended, and tells what
    /// has ended it. It blocks in [`wait`](Self::wait) and nowhere else.
    pub(crate) fn run(mut self, clock: Clock, idle: Idle) -> io::Result<Ending> {
        loop {
            match self.turn(clock.now())? {
                Next::Again => {}
                Next::Wait(_) if idle == Idle::Spin => {
                    self.setup.inlet.wait(Some(Duration::ZERO))?;
                    thread::yield_now();
                }
                Next::Wait(wait) => self.wait(wait)?,
                Next::End => return Ok(self.ended()),
            }
        }
    }

    /// Looks at everything once: the stage of the output thread, who wants to come in, what has
    /// come in, the inbox, and the time.
    pub(crate) fn turn(&mut self, now: Duration) -> io::Result<Next> {
        self.handle_pause(now);
        if !self.take_control() {
            return Ok(Next::End);
        }
        self.take_changes(now)?;
        let more_requests = self.authenticate()?;
        let more_frames = self.receive(now)?;
        if !self.announce() {
            return Ok(Next::End);
        }
        self.setup.peers.iter_mut().for_each(PeerReceiver::report);
        let blocked = !self.fill_inbox(now);
        self.setup.counters.publish_inbox_blocked(self.waiting.update(blocked, now));
        if !more_frames {
            self.take_refusals(now);
            self.setup.peers.iter_mut().for_each(|peer| peer.link.handle_timeout(now));
        }
        self.end_inbox(now);
        self.setup.refusals.tell(now);
        self.setup.peers.iter_mut().for_each(PeerReceiver::report);
        let told = self.send_feedback();
        if told == Told::Nobody || self.is_finished(now) {
            return Ok(Next::End);
        }
        if more_frames || more_requests {
            self.setup.inlet.rearm();
            return Ok(Next::Again);
        }
        Ok(Next::Wait(self.plan_wait(blocked, told, now)))
    }

    /// A process that was stopped for a while finds all its peers silent and its inbox idle: it
    /// must not hold that against them.
    fn handle_pause(&mut self, now: Duration) {
        let pause = self.pause_detector.wake(now);
        self.setup.counters.publish_paused(self.pause_detector.lost());
        if let Some(pause) = pause {
            trace::paused(pause);
            self.entered_at += pause;
            self.alone_since = self.alone_since.map(|since| since + pause);
            self.parting_since = self.parting_since.map(|since| since + pause);
            self.setup.inlet.handle_pause(pause);
            self.setup.peers.iter_mut().for_each(|peer| peer.link.handle_pause(pause));
        }
    }

    /// Answers those who want to come in. Returns whether there may be more of them.
    fn authenticate(&mut self) -> io::Result<bool> {
        for _ in 0..REQUESTS_AT_ONCE {
            match self.setup.inlet.authenticate()? {
                None => return Ok(false),
                Some(Outcome::Admitted) => {}
                Some(Outcome::Refused { reason, address }) => {
                    self.setup.refusals.note(reason, address);
                }
            }
        }
        Ok(true)
    }

    /// Takes in what has come, but not so much that the inbox has to wait long. Returns whether
    /// there may be more.
    fn receive(&mut self, now: Duration) -> io::Result<bool> {
        for _ in 0..FRAMES_AT_ONCE {
            let Some(received) = self.setup.inlet.receive()? else { return Ok(false) };
            if let Err(reason) = self.accept(received, now) {
                let address = self.setup.inlet.last_address();
                self.setup.refusals.note(reason, address);
            }
        }
        Ok(true)
    }

    /// Takes note of peers that refuse connections, now that all they sent has been received, and of
    /// all attempts to connect that failed.
    fn take_refusals(&mut self, now: Duration) {
        while let Some(Refusal { peer, refused_for }) = self.setup.inlet.poll_refusal(now) {
            if let Some(at) = self.by_pid.get(&peer) {
                self.setup.peers[*at].link.handle_refusal(refused_for, now);
            }
        }
        while let Some((peer, failure)) = self.setup.inlet.poll_failure() {
            if let Some(at) = self.by_pid.get(&peer) {
                self.setup.peers[*at].note_failure(failure);
            }
        }
    }

    fn accept(&mut self, received: Received, now: Duration) -> Result<(), Rejection> {
        let frame = received.frame.map_err(rejection)?;
        let header = &frame.header;
        refuse_impostor(received.speaker, header.from)?;
        if header.cluster != self.setup.cluster {
            return Err(Rejection::OtherCluster);
        }
        if header.to != self.setup.own {
            return Err(Rejection::OtherRecipient(header.to));
        }
        let at = self.by_pid.get(&header.from).ok_or(Rejection::UnknownSender(header.from))?;
        let peer = &mut self.setup.peers[*at];
        if let Speaker::Proven(_, key) = received.speaker {
            peer.note_proof(key);
        }
        peer.handle_frame(frame, now)?;
        peer.report();
        Ok(())
    }

    /// Puts what has come in order into the inbox. Returns whether there was room for all of it.
    fn fill_inbox(&mut self, now: Duration) -> bool {
        let entered = |inbox: &Option<BoundedInbox>| inbox.as_ref().map(BoundedInbox::entered);
        let before = entered(&self.setup.inbox);
        let fitted = self.enter_in_turns(now);
        if entered(&self.setup.inbox) != before {
            self.entered_at = now;
        }
        fitted
    }

    /// One frame of each peer after the other.
    fn enter_in_turns(&mut self, now: Duration) -> bool {
        let Setup { peers, inbox, .. } = &mut self.setup;
        let mut empty = 0;
        while empty < peers.len() {
            let Some(open) = inbox else {
                peers.iter_mut().for_each(|peer| peer.pass(now));
                return true;
            };
            let at = self.next_peer;
            match peers[at].enter(open, now) {
                Entered::One => empty = 0,
                Entered::Nothing => empty += 1,
                Entered::Blocked => return false,
                Entered::Closed => {
                    *inbox = None;
                    trace::inbox_ended(*self.ended.get_or_insert(Ending::InboxDropped));
                    peers.iter_mut().for_each(PeerReceiver::close);
                }
            }
            self.next_peer = (at + 1) % peers.len();
        }
        true
    }

    /// Whether anything waits to enter the inbox.
    fn is_waiting(&self) -> bool {
        self.setup.peers.iter().any(PeerReceiver::is_waiting)
    }

    /// Tells the output thread of processes that have not been heard before, or not for a while: who
    /// answers to what enters the inbox must find the process known there. Returns whether that thread is still there.
    fn announce(&mut self) -> bool {
        let all_known = self.setup.peers.iter().all(|peer| peer.link.is_announced());
        all_known || self.send_feedback() != Told::Nobody
    }

    /// Tells the output thread what it does not know yet.
    fn send_feedback(&mut self) -> Told {
        let mut told = Told::Everything;
        for peer in &mut self.setup.peers {
            let pid = peer.pid();
            while let Some(news) = peer.poll_news() {
                match self.setup.feedback.try_send(Feedback { peer: pid, news }) {
                    Ok(()) => peer.handle_told(&news),
                    Err(TrySendError::Full(_)) => {
                        peer.requeue(&news);
                        told = Told::Part;
                        break;
                    }
                    Err(TrySendError::Disconnected(_)) => return Told::Nobody,
                }
            }
        }
        told
    }

    fn plan_wait(&mut self, blocked: bool, told: Told, now: Duration) -> Wait {
        // Who sleeps no longer than this notices how long it was stopped.
        let soon = |due: Duration| due.saturating_sub(now).min(self.setup.heartbeat);
        let due = self.poll_timeout(told, now).map(soon);
        let timeout = if blocked { Some(due.map_or(GLANCE, |due| due.min(GLANCE))) } else { due };
        self.pause_detector.sleep(timeout.map(|timeout| now + timeout));
        let full = self.setup.inbox.as_mut().is_some_and(|inbox| !inbox.is_over_limit());
        Wait { timeout, room: blocked && full }
    }

    pub(crate) fn wait(&mut self, wait: Wait) -> io::Result<()> {
        match (&self.setup.inbox, wait) {
            (Some(inbox), Wait { timeout: Some(timeout), room: true }) => {
                self.setup.inlet.rearm();
                inbox.wait_for_room(timeout);
                Ok(())
            }
            _ => self.setup.inlet.wait(wait.timeout),
        }
    }

    /// When there is something to do although nothing has come in.
    fn poll_timeout(&self, told: Told, now: Duration) -> Option<Duration> {
        let retry = (told != Told::Everything).then(|| now + RETRY);
        let idle = self.idle_deadline().filter(|_| !self.is_waiting());
        let peers = self.setup.peers.iter().filter_map(|peer| peer.link.poll_timeout());
        let others = [retry, idle, self.parting_deadline(), self.setup.refusals.poll_timeout()];
        peers.chain(others.into_iter().flatten()).min()
    }
}

/// Refuses a frame that says it is from another than its connection is.
fn refuse_impostor(speaker: Speaker, claimed: Pid) -> Result<(), Rejection> {
    match speaker {
        Speaker::Unproven => Ok(()),
        Speaker::Proven(actual, _) if actual == claimed => Ok(()),
        Speaker::Proven(actual, _) => Err(Rejection::Impostor { claimed, actual }),
        Speaker::Unknown => Err(Rejection::Stranger),
    }
}

fn rejection(error: DecodeError) -> Rejection {
    match error {
        DecodeError::Version(version) => Rejection::Version(version),
        _ => Rejection::Malformed,
    }
}

#[cfg(test)]
mod tests;
