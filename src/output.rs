//! The output thread: from the outbox to the peers.

mod lane;
mod packer;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvError, TryRecvError, never, select};

use crate::clock::{Clock, Doze, Vigil, give_way};
use crate::counters::{Counters, EventSink, add};
use crate::envelope::{Envelope, Pid, Recipient};
use crate::event::{Event, Reason};
use crate::frame::Payload;
use crate::link::{FRAME_OVERHEAD, Feedback, Room};
pub(crate) use crate::output::lane::Lane;
use crate::output::packer::{Addressee, Packer};
use crate::refusals::Refusals;
use crate::report::PeerReport;
use crate::socket::{Bell, Context, Signal};

/// How many bytes of envelopes one frame gathers at most.
pub(crate) const BATCH: usize = 256 * 1024;

/// From which size a message is a frame of its own, in bytes. Below it two of them fit into a batch, and
/// to copy them costs less than another frame does, with a wake-up for each of five threads.
const SINGLE: usize = BATCH / 2;

/// Who has taken so many envelopes at once finds more of them soon.
const STREAM: usize = 256;

/// All the output thread needs to begin.
pub(crate) struct Setup {
    pub(crate) own: Pid,
    pub(crate) clock: Clock,
    pub(crate) context: Context,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) outbox: Receiver<Envelope>,
    pub(crate) feedback: Receiver<Feedback>,
    /// Ends when the application wants the server to end.
    pub(crate) stop: Receiver<Infallible>,
    pub(crate) bell: Bell,
    pub(crate) events: EventSink,
    pub(crate) counters: Arc<Counters>,
    pub(crate) window: usize,
    pub(crate) largest: usize,
    pub(crate) linger: Duration,
    /// A silence longer than this, while the thread did not run, is the thread's own.
    pub(crate) heartbeat: Duration,
}

/// The output thread. It blocks in [`wait`](Self::wait) and nowhere else.
///
/// ```text
///            outbox ends, or stop          all settled,           input ends
///   Open ───────────────────────► Leaving ──────────────► Settled ──────────► ended
///                                          or linger over
/// ```
pub(crate) struct Output {
    setup: Setup,
    by_pid: HashMap<Pid, usize>,
    packer: Packer,
    /// What was taken from the outbox and had to wait.
    backlog: VecDeque<Envelope>,
    batch: usize,
    /// How many envelopes were taken from the outbox in the last turn.
    taken: usize,
    phase: Phase,
    vigil: Vigil,
    doze: Doze,
    refusals: Refusals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Leaving { since: Duration },
    Settled,
}

/// Whether the other thread is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Running,
    Ended,
}

/// Whether there was something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Done,
    None,
}

/// What ended a wait: a channel, or the time.
enum Woken {
    Outbox(Result<Envelope, RecvError>),
    Feedback(Result<Feedback, RecvError>),
    Stop,
    Timeout,
}

impl Output {
    pub(crate) fn new(setup: Setup) -> Self {
        let by_pid = setup.lanes.iter().enumerate().map(|(at, lane)| (lane.peer, at)).collect();
        let batch = BATCH.min(setup.window / 4);
        let packer = Packer::new(setup.lanes.len(), batch);
        let vigil = Vigil::new(setup.heartbeat, setup.clock.now());
        let refusals = Refusals::new(setup.events.clone(), Arc::clone(&setup.counters));
        Self {
            setup,
            by_pid,
            packer,
            backlog: VecDeque::new(),
            batch,
            taken: 0,
            phase: Phase::Open,
            vigil,
            doze: Doze::default(),
            refusals,
        }
    }

    /// Runs until the input thread has ended.
    pub(crate) fn run(mut self) -> Vec<PeerReport> {
        let mut input = Input::Running;
        while input == Input::Running {
            let now = self.setup.clock.now();
            self.forgive_pause(now);
            input = self.take_feedback();
            let work = self.take_outbox(now);
            self.say_goodbye();
            self.transmit(now);
            self.settle(now);
            self.refusals.tell(now);
            self.publish(now);
            if work == Work::Done {
                self.doze.interrupt(now);
            } else if input == Input::Running && !self.doze.stays_awake(now) {
                input = self.wait(now);
            }
        }
        self.end()
    }

    /// A process that was stopped for a while has heard nothing from its peers: they are not to be
    /// taken for unreachable.
    fn forgive_pause(&mut self, now: Duration) {
        if let Some(pause) = self.vigil.wake(now) {
            self.setup.lanes.iter_mut().for_each(|lane| lane.forgive(pause));
        }
    }

    fn take_feedback(&mut self) -> Input {
        loop {
            match self.setup.feedback.try_recv() {
                Ok(feedback) => self.handle_feedback(&feedback),
                Err(TryRecvError::Empty) => return Input::Running,
                Err(TryRecvError::Disconnected) => return Input::Ended,
            }
        }
    }

    fn handle_feedback(&mut self, feedback: &Feedback) {
        let lane = &mut self.setup.lanes[feedback.lane];
        if let Err(reason) = lane.handle_heard(&feedback.heard) {
            self.refusals.note(reason, None);
        }
    }

    /// Takes from the outbox what one frame holds, unless a living peer's window is full.
    fn take_outbox(&mut self, now: Duration) -> Work {
        if self.is_held_up(now) {
            return Work::None;
        }
        self.let_outbox_fill();
        self.taken = 0;
        while let Some(envelope) = self.next_envelope(now) {
            if self.is_large(&envelope) {
                self.flush(now);
                if let Some(envelope) = self.push_large(envelope, now) {
                    self.backlog.push_front(envelope);
                } else {
                    self.taken += 1;
                }
                break;
            }
            if !self.packer.has_room(&envelope) {
                self.backlog.push_front(envelope);
                break;
            }
            self.pack(&envelope);
            self.taken += 1;
        }
        self.flush(now);
        if self.taken > 0 { Work::Done } else { Work::None }
    }

    /// While envelopes stream in, has them come in larger batches, and stays out of the application's way.
    fn let_outbox_fill(&self) {
        let outbox = &self.setup.outbox;
        if self.taken >= STREAM {
            give_way(|| outbox.len(), outbox.capacity().unwrap_or_default() / 2);
        }
    }

    /// Whether a living peer has no room for what the outbox may hold.
    fn is_held_up(&self, now: Duration) -> bool {
        let bytes = self.batch + FRAME_OVERHEAD;
        self.setup.lanes.iter().any(|lane| lane.room(bytes, now) == Room::Wait)
    }

    fn next_envelope(&mut self, now: Duration) -> Option<Envelope> {
        if let Some(envelope) = self.backlog.pop_front() {
            return Some(envelope);
        }
        match self.setup.outbox.try_recv() {
            Ok(envelope) => Some(envelope),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.leave(Signal::Leaving, now);
                None
            }
        }
    }

    fn is_large(&self, envelope: &Envelope) -> bool {
        let single = SINGLE.min(self.batch.saturating_sub(FRAME_OVERHEAD));
        envelope.msg.len() >= single || envelope.msg.len() > self.setup.largest
    }

    fn pack(&mut self, envelope: &Envelope) {
        match self.addressee(envelope.to) {
            Some(addressee) => self.packer.push(envelope, addressee),
            None => self.return_unaddressed(envelope.clone()),
        }
    }

    fn addressee(&self, to: Recipient) -> Option<Addressee> {
        match to {
            Recipient::Broadcast => Some(Addressee::All),
            Recipient::Peer(pid) => self.by_pid.get(&pid).copied().map(Addressee::One),
        }
    }

    fn return_unaddressed(&self, mut envelope: Envelope) {
        let Recipient::Peer(peer) = envelope.to else { return };
        add(&self.setup.counters.no_such_peer, 1);
        envelope.from = self.setup.own;
        let reason = Reason::NoSuchPeer;
        self.setup.events.emit(Event::Undeliverable { peer, envelope, reason });
    }

    /// Sends an envelope as a frame of its own, or hands it back to wait for room.
    fn push_large(&mut self, envelope: Envelope, now: Duration) -> Option<Envelope> {
        let bytes = envelope.msg.len();
        let fits = bytes <= self.setup.largest;
        let waits = |lane: &Lane| lane.room(bytes, now) == Room::Wait;
        if fits && self.recipients(envelope.to).iter().any(waits) {
            return Some(envelope);
        }
        self.push_single(envelope, now);
        None
    }

    fn push_single(&mut self, envelope: Envelope, now: Duration) {
        if self.addressee(envelope.to).is_none() {
            return self.return_unaddressed(envelope);
        }
        let largest = self.setup.largest;
        let Envelope { to, msg_id, msg, .. } = envelope;
        for lane in self.recipients(to) {
            let payload = Payload::Single { to, msg_id, msg: msg.clone() };
            if msg.len() <= largest {
                lane.push(payload, now);
            } else {
                lane.refuse(payload, Reason::TooLarge);
            }
        }
    }

    fn recipients(&mut self, to: Recipient) -> &mut [Lane] {
        match self.addressee(to) {
            None => &mut [],
            Some(Addressee::All) => &mut self.setup.lanes,
            Some(Addressee::One(lane)) => std::slice::from_mut(&mut self.setup.lanes[lane]),
        }
    }

    fn flush(&mut self, now: Duration) {
        let lanes = &mut self.setup.lanes;
        self.packer.flush(|lane, payload| lanes[lane].push(payload, now));
    }

    fn transmit(&mut self, now: Duration) {
        for lane in &mut self.setup.lanes {
            lane.transmit(&self.setup.context, now);
            lane.report_dropped(&self.setup.events);
        }
    }

    fn publish(&self, now: Duration) {
        for (lane, counters) in self.setup.lanes.iter().zip(&self.setup.counters.peers) {
            lane.publish(&counters.sending, now);
        }
    }

    /// Begins to leave. What the outbox still holds is taken out of it, so that it can be closed.
    fn leave(&mut self, signal: Signal, now: Duration) {
        self.backlog.extend(self.setup.outbox.try_iter());
        self.setup.outbox = never();
        if signal == Signal::Shutdown {
            self.setup.stop = never();
        }
        self.setup.bell.ring(signal);
        if self.phase == Phase::Open {
            self.phase = Phase::Leaving { since: now };
        }
    }

    /// Says goodbye once all is on its way.
    fn say_goodbye(&mut self) {
        if self.phase != Phase::Open && self.backlog.is_empty() {
            self.setup.lanes.iter_mut().for_each(Lane::say_goodbye);
        }
    }

    /// Tells the input thread when all is acknowledged, or the linger time is over.
    fn settle(&mut self, now: Duration) {
        let Phase::Leaving { since } = self.phase else { return };
        let settled = self.backlog.is_empty() && self.setup.lanes.iter().all(Lane::awaits_nothing);
        if settled || now >= since + self.setup.linger {
            self.phase = Phase::Settled;
            self.setup.bell.ring(Signal::Settled);
        }
    }

    fn wait(&mut self, now: Duration) -> Input {
        let timeout = self.poll_timeout(now).saturating_sub(now);
        self.vigil.sleep(Some(now + timeout));
        match self.select(timeout, now) {
            Woken::Outbox(Ok(envelope)) => self.backlog.push_back(envelope),
            Woken::Outbox(Err(RecvError)) => self.leave(Signal::Leaving, self.setup.clock.now()),
            Woken::Feedback(Ok(feedback)) => self.handle_feedback(&feedback),
            Woken::Feedback(Err(RecvError)) => return Input::Ended,
            Woken::Stop => self.leave(Signal::Shutdown, self.setup.clock.now()),
            Woken::Timeout => {}
        }
        Input::Running
    }

    fn select(&self, timeout: Duration, now: Duration) -> Woken {
        let held_up = !self.backlog.is_empty() || self.is_held_up(now);
        let nothing = never();
        let outbox = if held_up { &nothing } else { &self.setup.outbox };
        select! {
            recv(outbox) -> envelope => Woken::Outbox(envelope),
            recv(self.setup.feedback) -> feedback => Woken::Feedback(feedback),
            recv(self.setup.stop) -> _ => Woken::Stop,
            default(timeout) => Woken::Timeout,
        }
    }

    /// When there is something to do although nothing has come in.
    fn poll_timeout(&self, now: Duration) -> Duration {
        /// With nothing to do, any time will do.
        const IDLE: Duration = Duration::from_secs(3_600);
        let linger = match self.phase {
            Phase::Leaving { since } => Some(since + self.setup.linger),
            Phase::Open | Phase::Settled => None,
        };
        let lanes = self.setup.lanes.iter().filter_map(|lane| lane.poll_timeout(now));
        lanes.chain(linger).chain(self.refusals.poll_timeout()).min().unwrap_or(now + IDLE)
    }

    /// Says the last words to every peer and closes the sockets.
    fn end(mut self) -> Vec<PeerReport> {
        let now = self.setup.clock.now();
        if self.phase == Phase::Open {
            self.leave(Signal::Shutdown, now);
        }
        for envelope in std::mem::take(&mut self.backlog) {
            self.push_single(envelope, now);
        }
        self.setup.lanes.iter_mut().for_each(|lane| lane.report_dropped(&self.setup.events));
        self.publish(now);
        self.setup.lanes.drain(..).map(|lane| lane.end(now)).collect()
    }
}
