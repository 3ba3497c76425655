//! The output thread: from the outbox to the peers.

mod addresses;
mod dispatch;
#[cfg(any(test, feature = "internals"))]
mod inspect;
mod packer;
mod peer_sender;
mod peers;
mod sizes;
#[cfg(test)]
mod snapshot;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, never, select};

use crate::clock::Clock;
use crate::counters::Counters;
use crate::envelope::{Envelope, Pid};
use crate::event::EventSink;
use crate::feedback::Feedback;
use crate::idle::{IdleStrategy, back_off};
use crate::lifecycle::{Lifecycle, Stage, Step};
use crate::link::{FRAME_OVERHEAD, Room};
use crate::output::packer::{Fit, Packer};
pub(crate) use crate::output::peer_sender::PeerSender;
pub(crate) use crate::output::peers::Peers;
pub(crate) use crate::output::sizes::MAX_BATCH;
#[cfg(test)]
pub(crate) use crate::output::snapshot::Snapshot;
use crate::pause::PauseDetector;
use crate::refusals::Refusals;
use crate::report::PeerReport;
use crate::transport::{Resolved, Waker};

/// From so many envelopes in one turn on, more are on their way: the outbox is given time to fill.
const STREAM: usize = 256;

/// With nothing to do, any time will do.
const IDLE: Duration = Duration::from_secs(3_600);

/// All the output thread needs to begin.
pub(crate) struct Setup {
    pub(crate) own: Pid,
    pub(crate) peers: Peers,
    pub(crate) outbox: Receiver<Envelope>,
    pub(crate) feedback: Receiver<Feedback>,
    /// Ends when the application wants the server to end.
    pub(crate) stop: Receiver<Infallible>,
    /// Tells the input thread each stage on the way to the end.
    pub(crate) control: Sender<Stage>,
    pub(crate) waker: Box<dyn Waker>,
    /// For what cannot be delivered.
    pub(crate) events: EventSink,
    pub(crate) refusals: Refusals,
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
    packer: Packer,
    /// What was taken from the outbox and had to wait.
    deferred: VecDeque<Envelope>,
    /// How many envelopes were taken from the outbox in the last turn.
    taken: usize,
    lifecycle: Lifecycle,
    pause_detector: PauseDetector,
    resolved: Receiver<Resolved>,
}

/// What to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There may be more to do at once.
    Again,
    Wait(Wait),
    /// The input thread has ended, and so does this one.
    End,
}

/// What the next turn waits for: feedback, a stop, and these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: Duration,
    /// Whether it also waits for the outbox. Not while a peer has no room.
    pub(crate) outbox: bool,
}

impl Output {
    pub(crate) fn new(setup: Setup, now: Duration) -> Self {
        Self {
            packer: Packer::new(setup.peers.len(), setup.window, setup.max_message),
            deferred: VecDeque::new(),
            taken: 0,
            lifecycle: Lifecycle::new(setup.linger),
            pause_detector: PauseDetector::new(setup.heartbeat, now),
            resolved: never(),
            setup,
        }
    }

    /// Runs until the input thread has ended. It blocks in [`wait`](Self::wait) and nowhere else.
    pub(crate) fn run(mut self, clock: Clock) -> Vec<PeerReport> {
        let mut idle = IdleStrategy::default();
        loop {
            let now = clock.now();
            match self.turn(now) {
                Next::Again => {
                    idle.on_work(now);
                    self.let_outbox_fill();
                }
                Next::Wait(_) if idle.stays_awake(now) => {}
                Next::Wait(wait) => self.wait(wait, now),
                Next::End => return self.end(now),
            }
        }
    }

    /// Looks at everything once: what peers have acknowledged, whether to stop, the outbox, what is
    /// to be sent, and the time.
    pub(crate) fn turn(&mut self, now: Duration) -> Next {
        self.handle_pause(now);
        if !self.take_feedback() {
            return Next::End;
        }
        self.take_resolved();
        self.take_stop(now);
        let worked = self.take_outbox(now);
        self.expire_linger(now);
        self.say_goodbye();
        self.transmit(now);
        self.settle(now);
        self.setup.refusals.tell(now);
        self.publish(now);
        if worked {
            return Next::Again;
        }
        let outbox = self.deferred.is_empty() && !self.is_held_up(now);
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
    fn take_feedback(&mut self) -> bool {
        loop {
            match self.setup.feedback.try_recv() {
                Ok(feedback) => self.handle_feedback(&feedback),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn handle_feedback(&mut self, feedback: &Feedback) {
        let link = &mut self.setup.peers[feedback.peer].link;
        if let Err(reason) = link.handle_status(&feedback.status) {
            self.setup.refusals.note(reason, None);
        }
    }

    fn take_stop(&mut self, now: Duration) {
        if self.setup.stop.try_recv() == Err(TryRecvError::Disconnected) {
            self.setup.stop = never();
            self.advance(Step::Stop, now);
        }
    }

    /// Takes from the outbox what one frame holds, unless a living peer's window is full. Returns
    /// whether there was anything.
    fn take_outbox(&mut self, now: Duration) -> bool {
        self.taken = 0;
        let batches = self.setup.peers.iter().filter_map(|peer| peer.link.max_batch());
        self.packer.limit(batches.min().unwrap_or(MAX_BATCH));
        if self.is_held_up(now) {
            return false;
        }
        while let Some(envelope) = self.next_envelope(now) {
            match self.packer.fit(&envelope) {
                Fit::Batch => self.pack(&envelope),
                Fit::Single => {
                    self.flush(now);
                    if let Some(envelope) = self.push_large(envelope, now) {
                        self.deferred.push_front(envelope);
                    } else {
                        self.taken += 1;
                    }
                    break;
                }
                Fit::Full => {
                    self.deferred.push_front(envelope);
                    break;
                }
            }
            self.taken += 1;
        }
        self.flush(now);
        self.taken > 0
    }

    /// Whether a living peer has no room for what the outbox may hold.
    fn is_held_up(&self, now: Duration) -> bool {
        let bytes = self.packer.max_batch() + FRAME_OVERHEAD;
        self.setup.peers.iter().any(|peer| peer.link.room(bytes, now) == Room::Wait)
    }

    fn next_envelope(&mut self, now: Duration) -> Option<Envelope> {
        if let Some(envelope) = self.deferred.pop_front() {
            return Some(envelope);
        }
        match self.setup.outbox.try_recv() {
            Ok(envelope) => Some(envelope),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.advance(Step::OutboxEnded, now);
                None
            }
        }
    }

    fn transmit(&mut self, now: Duration) {
        for peer in self.setup.peers.iter_mut() {
            peer.transmit(now);
            peer.report_dropped(&mut self.setup.events);
        }
    }

    fn publish(&self, now: Duration) {
        for (peer, counters) in self.setup.peers.iter().zip(&self.setup.counters.peers) {
            counters.sending.store(peer.link.stats(now));
        }
    }

    /// Takes a step on the way to the end, and tells the input thread where it leads.
    fn advance(&mut self, step: Step, now: Duration) {
        let before = self.lifecycle.stage();
        let Some(stage) = self.lifecycle.take(step, now) else { return };
        if before == Stage::Open {
            self.close_outbox();
        }
        // There is room for every stage there is, and who has ended need not know.
        let _ = self.setup.control.try_send(stage);
        self.setup.waker.wake();
    }

    /// Closes the outbox. What it holds now is still to be sent; who goes on sending must not keep
    /// it open.
    fn close_outbox(&mut self) {
        let held = self.setup.outbox.len();
        self.deferred.extend(self.setup.outbox.try_iter().take(held));
        self.setup.outbox = never();
    }

    /// Says goodbye once all is on its way.
    fn say_goodbye(&mut self) {
        if self.lifecycle.stage() != Stage::Open && self.deferred.is_empty() {
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
        if waits && self.deferred.is_empty() && self.setup.peers.iter().all(done) {
            self.advance(Step::Settled, now);
        }
    }

    /// Accepts what waits for room, whether there is some or not.
    fn accept_deferred(&mut self, now: Duration) {
        for envelope in std::mem::take(&mut self.deferred) {
            self.push_single(envelope, now);
        }
    }

    /// When there is something to do although nothing has come in.
    fn poll_timeout(&self, now: Duration) -> Duration {
        let peers = self.setup.peers.iter().filter_map(|peer| peer.poll_timeout(now));
        let others = [self.lifecycle.linger_deadline(), self.setup.refusals.poll_timeout()];
        peers.chain(others.into_iter().flatten()).min().unwrap_or(now + IDLE)
    }

    /// Waits, and takes what ended the wait. That a channel has ended shows again in the next turn.
    fn wait(&mut self, wait: Wait, now: Duration) {
        let nothing = never();
        let outbox = if wait.outbox { &self.setup.outbox } else { &nothing };
        select! {
            recv(outbox) -> envelope => self.deferred.extend(envelope),
            recv(self.setup.feedback) -> feedback => {
                feedback.into_iter().for_each(|feedback| self.handle_feedback(&feedback));
            }
            recv(self.resolved) -> resolved => self.handle_resolved(resolved),
            recv(self.setup.stop) -> _ => {}
            default(wait.until.saturating_sub(now)) => {}
        }
    }

    /// While envelopes stream in, has them come in larger batches, and stays out of the
    /// application's way.
    fn let_outbox_fill(&self) {
        let outbox = &self.setup.outbox;
        if self.taken >= STREAM {
            back_off(|| outbox.len(), outbox.capacity().unwrap_or_default() / 2);
        }
    }

    /// Says the last words to every peer, closes the ways to them, and tells what was left behind.
    pub(crate) fn end(mut self, now: Duration) -> Vec<PeerReport> {
        self.advance(Step::Stop, now);
        self.accept_deferred(now);
        let Setup { peers, events, .. } = &mut self.setup;
        peers.iter_mut().for_each(|peer| peer.report_dropped(events));
        self.publish(now);
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
