//! The output thread: from the outbox to the peers.

mod addresses;
mod dispatch;
#[cfg(any(test, feature = "internals"))]
mod inspect;
mod intake;
mod membership;
mod outbox;
mod packer;
mod peer_sender;
mod peers;
mod sizes;
#[cfg(test)]
mod snapshot;
mod stall;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, never};

use crate::asker::Questions;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::envelope::Pid;
use crate::event::EventSink;
use crate::feedback::{Feedback, News};
use crate::idle::{Idle, IdleStrategy, sleep_precisely};
use crate::input;
use crate::lifecycle::{Lifecycle, Order, Stage, Step};
use crate::link::Room;
use crate::output::intake::Taken;
pub(crate) use crate::output::membership::Change;
pub(crate) use crate::output::outbox::Outbox;
use crate::output::packer::Packer;
pub(crate) use crate::output::peer_sender::PeerSender;
pub(crate) use crate::output::peers::Peers;
#[cfg(feature = "internals")]
pub(crate) use crate::output::sizes::MAX_BATCH;
#[cfg(test)]
pub(crate) use crate::output::snapshot::Snapshot;
use crate::pause::PauseDetector;
use crate::refusals::Refusals;
use crate::report::PeerReport;
use crate::trace;
use crate::transport::{Resolved, Waker};

/// With nothing to do, any time will do.
const IDLE: Duration = Duration::from_secs(3_600);

/// All the output thread needs to begin.
pub(crate) struct Setup {
    pub(crate) own: Pid,
    pub(crate) peers: Peers,
    /// Further outboxes, which the application asks for.
    pub(crate) new_outboxes: Receiver<Outbox>,
    /// Changes of the cluster, and where they go on to the input thread.
    pub(crate) changes: Receiver<Change>,
    pub(crate) input_changes: Sender<input::Change>,
    pub(crate) feedback: Receiver<Feedback>,
    /// Ends when the application wants the server to end.
    pub(crate) stop: Receiver<Order>,
    /// Tells the input thread each stage on the way to the end.
    pub(crate) control: Sender<Stage>,
    pub(crate) waker: Box<dyn Waker>,
    /// For what cannot be delivered.
    pub(crate) events: EventSink,
    pub(crate) refusals: Refusals,
    pub(crate) questions: Arc<Questions>,
    pub(crate) counters: Arc<Counters>,
    /// Of one peer, in bytes.
    pub(crate) window: usize,
    /// In bytes.
    pub(crate) max_message: usize,
    pub(crate) linger: Duration,
    /// A silence longer than this, while the thread did not run, is the thread's own.
    pub(crate) heartbeat: Duration,
}

/// The output thread: [`turn`](Self::turn) does all there is to do and never blocks;
/// [`run`](Self::run) calls it, and waits between two turns.
pub(crate) struct Output {
    setup: Setup,
    outboxes: Vec<Outbox>,
    /// Whose turn it is.
    next_outbox: usize,
    packer: Packer,
    /// Whether each peer has room for a batch, and whether somebody waits for one of them.
    rooms: Vec<Room>,
    somebody_waits: bool,
    /// Whether somebody is not there.
    somebody_is_away: bool,
    /// What was taken from the outboxes in the last turn.
    taken: Taken,
    lifecycle: Lifecycle,
    /// Whether it ends where it stands.
    aborted: bool,
    pause_detector: PauseDetector,
    resolved: Receiver<Resolved>,
}

/// What to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There may be more to do at once.
    Again,
    Wait(Wait),
    /// The input thread has ended, and so does this one; or the server is aborted.
    End,
}

/// What the next turn waits for: feedback, a stop, and these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: Duration,
    /// Whether it also waits for an outbox. Not while a peer holds up all of them.
    pub(crate) outbox: bool,
}

impl Output {
    pub(crate) fn new(setup: Setup, outbox: Outbox, now: Duration) -> Self {
        Self {
            outboxes: vec![outbox],
            next_outbox: 0,
            packer: Packer::new(setup.peers.len(), setup.window, setup.max_message),
            rooms: vec![Room::Yes; setup.peers.len()],
            somebody_waits: false,
            somebody_is_away: false,
            taken: Taken::default(),
            lifecycle: Lifecycle::new(setup.linger),
            aborted: false,
            pause_detector: PauseDetector::new(setup.heartbeat, now),
            resolved: never(),
            setup,
        }
    }

    /// Runs until the input thread has ended. It blocks in [`wait`](Self::wait), and pauses where
    /// there is too little work for a turn.
    pub(crate) fn run(mut self, clock: Clock, idle: Idle) -> Vec<PeerReport> {
        let mut idle = IdleStrategy::new(idle);
        sleep_precisely();
        loop {
            let now = clock.now();
            match self.turn(now) {
                Next::Again => {
                    idle.on_work(now);
                    self.let_outbox_fill();
                    if let Some(envelopes) = self.taken.few() {
                        thread::sleep(idle.pause(envelopes, clock.now()));
                    }
                }
                Next::Wait(_) if idle.stays_awake(now) => {}
                Next::Wait(wait) => self.wait(wait, now),
                Next::End if self.aborted => return Vec::new(),
                Next::End => return self.end(now),
            }
        }
    }

    /// Looks at everything once: what peers have acknowledged, whether to stop, the outbox, what is
    /// to be sent, and the time.
    pub(crate) fn turn(&mut self, now: Duration) -> Next {
        self.handle_pause(now);
        if !self.take_feedback(now) {
            return Next::End;
        }
        self.take_resolved();
        self.take_changes(now);
        self.take_stop(now);
        if self.aborted {
            return Next::End;
        }
        self.take_outboxes(now);
        self.expire_linger(now);
        self.say_goodbye();
        self.transmit(now);
        self.settle(now);
        self.setup.refusals.tell(now);
        self.publish(now);
        self.report();
        if self.taken.envelopes > 0 || self.can_go_on(now) {
            return Next::Again;
        }
        let outbox = self.outboxes.iter().any(|outbox| outbox.source().is_some());
        let wait = Wait { until: self.poll_timeout(now), outbox };
        self.pause_detector.sleep(Some(wait.until.max(now)));
        Next::Wait(wait)
    }

    /// A process that was stopped for a while has heard nothing from its peers: they are not to be
    /// taken for unreachable, nor does the linger time run meanwhile.
    fn handle_pause(&mut self, now: Duration) {
        if let Some(pause) = self.pause_detector.wake(now) {
            self.lifecycle.handle_pause(pause);
            self.setup.peers.iter_mut().for_each(|peer| peer.handle_pause(pause));
        }
    }

    /// Returns whether the input thread is still there.
    fn take_feedback(&mut self, now: Duration) -> bool {
        loop {
            match self.setup.feedback.try_recv() {
                Ok(feedback) => self.handle_feedback(&feedback, now),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// What is told of one that is no peer any more is of no use.
    fn handle_feedback(&mut self, feedback: &Feedback, now: Duration) {
        let Some(peer) = self.setup.peers.get_mut(feedback.peer) else { return };
        match &feedback.news {
            News::Proof(key) => peer.handle_proof(*key, now),
            News::Status(status) => {
                if let Err(reason) = peer.link.handle_status(status) {
                    self.setup.refusals.note(reason, None);
                }
            }
        }
    }

    fn take_stop(&mut self, now: Duration) {
        match self.setup.stop.try_recv() {
            #[cfg(feature = "testing")]
            Ok(Order::Abort) => self.aborted = true,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                self.setup.stop = never();
                self.advance(Step::Stop, now);
            }
        }
    }

    fn transmit(&mut self, now: Duration) {
        self.setup.peers.iter_mut().for_each(|peer| peer.transmit(now));
    }

    /// Tells the application what has become of envelopes, which is counted by now.
    fn report(&mut self) {
        let Setup { peers, events, .. } = &mut self.setup;
        peers.iter_mut().for_each(|peer| peer.report(events));
    }

    fn publish(&self, now: Duration) {
        self.setup.peers.iter().for_each(|peer| peer.publish(now));
    }

    /// Takes a step on the way to the end, and tells the input thread where it leads.
    fn advance(&mut self, step: Step, now: Duration) {
        let before = self.lifecycle.stage();
        let Some(stage) = self.lifecycle.take(step, now) else { return };
        trace::leaving(stage);
        if before == Stage::Open {
            self.close_outboxes();
        }
        // There is room for every stage there is, and who has ended need not know.
        let _ = self.setup.control.try_send(stage);
        self.setup.waker.wake();
    }

    /// Says goodbye once all is on its way.
    fn say_goodbye(&mut self) {
        if self.lifecycle.stage() != Stage::Open && self.has_no_deferred() {
            self.setup.peers.iter_mut().for_each(|peer| peer.link.say_goodbye());
        }
    }

    /// Goes on when the linger time is over. From then on nobody waits for room: peers that have
    /// some are not to wait for those that have none.
    fn expire_linger(&mut self, now: Duration) {
        if self.lifecycle.linger_deadline().is_some_and(|deadline| now >= deadline) {
            self.accept_deferred(now);
            self.advance(Step::LingerOver, now);
        }
    }

    /// Goes on when all is acknowledged.
    fn settle(&mut self, now: Duration) {
        let waits = self.lifecycle.stage().lingers();
        let done = |peer: &PeerSender| peer.link.awaits_nothing();
        if waits && self.has_no_deferred() && self.setup.peers.iter().all(done) {
            self.advance(Step::Settled, now);
        }
    }

    /// When there is something to do although nothing has come in.
    fn poll_timeout(&self, now: Duration) -> Duration {
        let peers = self.setup.peers.iter().filter_map(|peer| peer.poll_timeout(now));
        let others = [self.lifecycle.linger_deadline(), self.setup.refusals.poll_timeout()];
        peers.chain(others.into_iter().flatten()).min().unwrap_or(now + IDLE)
    }

    /// Waits. What has ended the wait shows in the next turn.
    fn wait(&mut self, wait: Wait, now: Duration) {
        let mut select = Select::new();
        select.recv(&self.setup.feedback);
        select.recv(&self.setup.stop);
        select.recv(&self.setup.new_outboxes);
        select.recv(&self.setup.changes);
        select.recv(&self.resolved);
        for source in self.outboxes.iter().filter_map(Outbox::source) {
            select.recv(source);
        }
        let _ = select.ready_timeout(wait.until.saturating_sub(now));
    }

    /// Says the last words to every peer, closes the ways to them, and tells what was left behind.
    pub(crate) fn end(mut self, now: Duration) -> Vec<PeerReport> {
        self.advance(Step::Stop, now);
        self.accept_deferred(now);
        self.publish(now);
        self.report();
        self.setup.peers.take_all().map(|peer| peer.end(now)).collect()
    }
}

impl Drop for Output {
    /// The input thread must not wait for a thread that has gone, also by a panic.
    fn drop(&mut self) {
        let (gone, _) = crossbeam_channel::bounded(0);
        self.setup.control = gone;
        self.setup.waker.wake();
    }
}
