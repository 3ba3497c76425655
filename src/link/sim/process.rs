//! One process of a server: its links' halves, driven as its two threads drive them.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Vigil;
use crate::envelope::Pid;
use crate::event::Reason;
use crate::frame::{ClusterId, Frame, Incarnation, Intake, Payload};
use crate::link::sim::audit::{Audit, Gap, ProcessId};
use crate::link::sim::inlet::Inlet;
use crate::link::sim::letter::{Letter, Record, Shape};
use crate::link::sim::network::Network;
use crate::link::sim::plan::{HEARTBEAT, PEER_TIMEOUT, Plan};
use crate::link::{Ends, FRAME_OVERHEAD, Feedback, Limits, Outgoing, Room};
use crate::stats::PeerStats;

/// How long a server that leaves waits for its peers.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// How long the end waits at most for peers to learn that their goodbye came in.
const PARTING: Duration = Duration::from_secs(1);

/// "Never", in virtual time.
pub(super) const NEVER: Duration = Duration::from_secs(1 << 30);

/// A running process.
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) id: ProcessId,
    pub(super) limits: Limits,
    pub(super) inlet: Inlet,
    pub(super) lanes: Vec<Lane>,
    /// What the input thread told the output thread, which it has not heard yet.
    feedback: VecDeque<Feedback>,
    pub(super) outbox: VecDeque<Letter>,
    pub(super) phase: Phase,
    parting_since: Option<Duration>,
    pub(super) paused_until: Duration,
    /// When the output thread wakes.
    output_due: Duration,
    vigil: Vigil,
    /// When the application looks at its channels.
    pub(super) leisure_until: Duration,
    pub(super) started: Duration,
    /// Whom the first letter in the outbox waits for.
    pub(super) held_up_by: Option<Pid>,
}

/// The sending half of the link to one peer, and the socket it sends through.
pub(super) struct Lane {
    pub(super) peer: Pid,
    outgoing: Outgoing,
    pub(super) socket: Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Good,
    /// It takes everything and sends nothing.
    Stuck,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// It takes nothing more from its application, and stays for its peers.
    Leaving {
        since: Duration,
    },
    /// It does not stay for them.
    ShuttingDown {
        since: Duration,
    },
    /// All is acknowledged, or the linger time is over; it stays for its peers.
    Settled,
    /// The same, and it does not.
    Done,
    Ended,
}

fn ends(id: ProcessId, own: Pid, peer: Pid) -> Ends {
    let incarnation = Incarnation::from_wire(id).unwrap();
    Ends { cluster: ClusterId::new(None), own, peer, incarnation }
}

impl Process {
    pub(super) fn start(
        pid: Pid,
        id: ProcessId,
        limits: Limits,
        plan: &Plan,
        now: Duration,
    ) -> Self {
        let peers = || (1..=plan.servers).map(Pid::new).filter(|peer| *peer != pid);
        let lanes = peers().map(|peer| Lane {
            peer,
            outgoing: Outgoing::new(ends(id, pid, peer), limits, now),
            socket: Socket::Good,
        });
        let lanes = lanes.collect();
        let ends = peers().map(|peer| ends(id, pid, peer));
        Self {
            pid,
            id,
            limits,
            inlet: Inlet::new((pid, id), limits, ends, plan, now),
            lanes,
            feedback: VecDeque::new(),
            outbox: VecDeque::new(),
            phase: Phase::Open,
            parting_since: None,
            paused_until: Duration::ZERO,
            output_due: now,
            vigil: Vigil::new(HEARTBEAT, now),
            leisure_until: now,
            started: now,
            held_up_by: None,
        }
    }

    /// When one of the threads wakes.
    pub(super) fn poll_timeout(&self) -> Duration {
        let due = self.inlet.due.min(self.output_due);
        due.max(self.paused_until)
    }

    pub(super) fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }

    /// A frame has reached the socket. The input thread wakes for it, but not at once.
    pub(super) fn arrive(&mut self, frame: Frame, now: Duration, rng: &mut Rng) {
        self.inlet.arrive(frame, now + Duration::from_micros(rng.u64(..200)));
    }

    /// The application puts a letter in the outbox.
    pub(super) fn write(&mut self, letter: Letter, now: Duration) {
        self.outbox.push_back(letter);
        self.output_due = self.output_due.min(now);
    }

    /// The application reads so many envelopes, if there are any.
    pub(super) fn read(&mut self, envelopes: usize, now: Duration) {
        self.inlet.read(envelopes, now);
    }

    pub(super) fn drop_inbox(&mut self, now: Duration) {
        self.inlet.close();
        self.inlet.due = self.inlet.due.min(now);
    }

    /// The application drops its outbox, or shuts the server down.
    pub(super) fn leave(&mut self, phase: Phase, now: Duration) {
        if self.phase == Phase::Open {
            self.phase = phase;
            self.output_due = self.output_due.min(now);
            self.inlet.due = self.inlet.due.min(now);
        }
    }

    /// Lets the threads run whose time it is.
    pub(super) fn run(&mut self, world: &mut Surroundings<'_>) {
        let now = world.now;
        if self.inlet.due <= now {
            self.run_input(world);
        }
        if self.output_due <= now && self.phase != Phase::Ended {
            self.run_output(world);
        }
    }

    fn run_input(&mut self, world: &mut Surroundings<'_>) {
        let now = world.now;
        self.inlet.run(world.audit, now);
        let staying = matches!(self.phase, Phase::Leaving { .. } | Phase::Settled);
        if staying && self.inlet.is_alone(self.phase) {
            self.inlet.close();
        }
        let before = self.feedback.len();
        self.inlet.tell(&mut self.feedback, now);
        if self.feedback.len() > before {
            let soon = now + Duration::from_micros(world.rng.u64(..200));
            self.output_due = self.output_due.min(soon);
        }
        let finished = match self.phase {
            Phase::Settled => self.inlet.is_closed(),
            Phase::Done => true,
            _ => false,
        };
        if finished {
            let since = *self.parting_since.get_or_insert(now);
            self.inlet.due = self.inlet.due.min(since + PARTING);
            if !self.inlet.is_parting() || now >= since + PARTING {
                self.end(world);
            }
        }
    }

    fn run_output(&mut self, world: &mut Surroundings<'_>) {
        let now = world.now;
        if let Some(pause) = self.vigil.wake(now) {
            self.lanes.iter_mut().for_each(|lane| lane.outgoing.forgive(pause));
        }
        while let Some(Feedback { lane, heard }) = self.feedback.pop_front() {
            let lane = &mut self.lanes[lane];
            lane.outgoing.handle_heard(&heard).expect("an acknowledgement that is true");
            if heard.said.intake != Intake::Open {
                world.audit.close(self.id, lane.peer);
            }
            let by = heard.incarnation.map(Incarnation::to_wire);
            lane.settle_accounts(self.id, &self.limits, by, world);
        }
        self.empty_outbox(world);
        if self.phase != Phase::Open && self.outbox.is_empty() {
            self.lanes.iter_mut().for_each(|lane| lane.outgoing.say_goodbye());
        }
        for lane in &mut self.lanes {
            lane.transmit((self.pid, lane.peer), world);
            lane.settle_accounts(self.id, &self.limits, None, world);
        }
        self.settle(now);
        let lanes = self.lanes.iter().filter_map(|lane| lane.outgoing.poll_timeout(now));
        self.output_due = lanes.chain(self.linger_until()).min().unwrap_or(NEVER);
        self.vigil.sleep(Some(self.output_due.max(now)));
    }

    fn linger_until(&self) -> Option<Duration> {
        match self.phase {
            Phase::Leaving { since } | Phase::ShuttingDown { since } => Some(since + LINGER),
            _ => None,
        }
    }

    fn settle(&mut self, now: Duration) {
        let Some(until) = self.linger_until() else { return };
        let settled = self.lanes.iter().all(|lane| lane.outgoing.awaits_nothing());
        if settled || now >= until {
            let stays = matches!(self.phase, Phase::Leaving { .. });
            self.phase = if stays { Phase::Settled } else { Phase::Done };
            self.inlet.due = self.inlet.due.min(now);
        }
    }

    /// Pushes letters as long as there is room for them at all recipients.
    fn empty_outbox(&mut self, world: &mut Surroundings<'_>) {
        let now = world.now;
        self.held_up_by = None;
        while let Some(letter) = self.outbox.front() {
            let fits = letter.len() <= self.limits.largest as usize;
            let waits = |lane: &&Lane| {
                letter.is_for(lane.peer) && lane.outgoing.room(letter.len(), now) == Room::Wait
            };
            if let Some(full) = self.lanes.iter().find(waits).filter(|_| fits) {
                self.held_up_by = Some(full.peer);
                return;
            }
            let Some(letter) = self.outbox.pop_front() else { return };
            for lane in self.lanes.iter_mut().filter(|lane| letter.is_for(lane.peer)) {
                lane.push(&letter, self.id, &self.limits, world);
            }
        }
    }

    /// Says the last words, and hands over what is left.
    fn end(&mut self, world: &mut Surroundings<'_>) {
        let now = world.now;
        for lane in std::mem::take(&mut self.lanes) {
            let Lane { peer, mut outgoing, socket } = lane;
            if !outgoing.is_finished() && outgoing.has_listener(now) {
                let frame = outgoing.last_words(now);
                if socket == Socket::Good {
                    world.network.send(frame, now);
                }
            }
            let left: Vec<Record> =
                outgoing.into_undelivered().flat_map(|payload| Record::all(&payload)).collect();
            world.audit.check_undelivered(self.id, peer, &left);
        }
        self.phase = Phase::Ended;
    }
}

/// What a process touches.
pub(super) struct Surroundings<'a> {
    pub(super) now: Duration,
    pub(super) rng: &'a mut Rng,
    pub(super) network: &'a mut Network,
    pub(super) audit: &'a mut Audit,
}

impl Lane {
    pub(super) fn stats(&self, now: Duration) -> PeerStats {
        self.outgoing.stats(now)
    }

    fn push(
        &mut self,
        letter: &Letter,
        id: ProcessId,
        limits: &Limits,
        world: &mut Surroundings<'_>,
    ) {
        let number = world.audit.next_number(id, self.peer);
        let payload = letter.payload(Record { writer: id, to: self.peer, number });
        world.audit.accept(id, self.peer, letter.envelopes());
        let single = matches!(letter.shape, Shape::Single { .. });
        if single && letter.len() > limits.largest as usize {
            self.outgoing.refuse(payload, Reason::TooLarge);
        } else {
            match self.outgoing.room(payload.len(), world.now) {
                Room::Refuse(reason) => self.outgoing.refuse(payload, reason),
                Room::Yes => self.outgoing.push(payload),
                Room::Wait => panic!("{id} to {}: pushed without room", self.peer),
            }
        }
        self.settle_accounts(id, limits, None, world);
    }

    fn transmit(&mut self, route: (Pid, Pid), world: &mut Surroundings<'_>) {
        let now = world.now;
        if self.outgoing.wants_renewal(now) {
            self.socket = Socket::Good;
            world.network.renew(route);
            self.outgoing.handle_renewal(now);
        }
        for sent in 0.. {
            let Some(frame) = self.outgoing.poll_transmit(now) else { break };
            assert!(sent < 1_000, "{route:?}: sends without end");
            if self.socket == Socket::Good {
                world.network.send(frame, now);
            }
        }
    }

    /// Tells the audit what became of the lane's envelopes, and compares the counts.
    fn settle_accounts(
        &mut self,
        id: ProcessId,
        limits: &Limits,
        by: Option<ProcessId>,
        world: &mut Surroundings<'_>,
    ) {
        let stats = self.outgoing.stats(world.now);
        world.audit.acknowledge(id, self.peer, by, stats.acknowledged);
        while let Some((payload, reason)) = self.outgoing.poll_dropped() {
            let own = matches!(&payload, Payload::Single { msg, .. }
                if msg.len() > limits.largest as usize);
            let gap = if own { Gap::Untold } else { Gap::Told };
            for record in Record::all(&payload) {
                world.audit.give_up(id, record, reason, gap);
            }
        }
        world.audit.check_stats(id, self.peer, &stats);
        let largest = limits.window.max(limits.largest as usize) + 3 * FRAME_OVERHEAD;
        assert!(stats.window_bytes <= largest as u64, "{id}: {} bytes", stats.window_bytes);
    }
}

// A peer that is down holds nobody up for longer than this.
pub(super) const PATIENCE: Duration = PEER_TIMEOUT.saturating_add(HEARTBEAT);
