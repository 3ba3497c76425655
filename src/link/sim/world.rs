//! The servers, the network between them, and what befalls both.

use std::time::Duration;

use fastrand::Rng;

use crate::envelope::Pid;
use crate::link::sim::audit::{Audit, ProcessId};
use crate::link::sim::is_traced;
use crate::link::sim::letter::Letter;
use crate::link::sim::network::{Network, Traffic};
use crate::link::sim::plan::{
    Fault, HEARTBEAT, PEER_TIMEOUT, Plan, WallClock, Windows, draw_limits, up_to,
};
use crate::link::sim::process::{LINGER, NEVER, PATIENCE, Phase, Process, Surroundings};

/// How long what one fault does lasts, at most. Longer than the peer timeout.
pub(super) const LONGEST: Duration = Duration::from_secs(8);

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) network: Network,
    audit: Audit,
    /// All that run. Of those with the same pid the last one has the address.
    pub(super) processes: Vec<Process>,
    /// When the servers without a process start one.
    starts: Vec<(Pid, Duration)>,
    /// The smallest and the largest incarnation there was.
    ids: (ProcessId, ProcessId),
    pub(super) next_fault: Duration,
    mood: Mood,
}

/// What the applications do, and whether faults happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Chaos,
    /// Nothing happens any more, and the applications only read.
    Calm,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(&mut rng);
        let starts = (1..=plan.servers).map(|pid| {
            let late = if rng.u32(..4) == 0 { up_to(&mut rng, LONGEST) } else { Duration::ZERO };
            (Pid::new(pid), late)
        });
        Self {
            now: Duration::ZERO,
            starts: starts.collect(),
            network: Network::new(rng.fork(), &plan),
            rng,
            plan,
            audit: Audit::default(),
            processes: Vec::new(),
            ids: (1_000, 1_000),
            next_fault: Duration::ZERO,
            mood: Mood::Chaos,
        }
    }

    /// Faults and letters, for a while.
    pub(super) fn rage(&mut self) {
        self.run_until(self.plan.chaos, |_| false);
    }

    /// Mends everything, and runs until all is settled, which takes a bounded time and a bounded number
    /// of frames.
    pub(super) fn heal(&mut self) {
        self.mood = Mood::Calm;
        self.next_fault = NEVER;
        self.remove_usurped();
        self.network.heal(self.now);
        self.starts.iter_mut().for_each(|(_, at)| *at = self.now);
        for process in &mut self.processes {
            process.paused_until = process.paused_until.min(self.now);
            process.leisure_until = self.now;
            process.inlet.read_all();
        }
        self.network.traffic = Traffic::default();
        let pending = self.pending() + self.unsent() * self.plan.servers as usize;
        let deadline = self.now + self.recovery();
        assert!(self.run_until(deadline, Self::is_quiet), "not settled:\n{}", self.describe());
        self.check_traffic(pending);
    }

    /// How long after the last fault everything is settled, at most.
    fn recovery(&self) -> Duration {
        let Plan { faults, clock, .. } = &self.plan;
        // A stuck socket has to be replaced first, who was heard wrongly has to be silent, and a peer that
        // ends holds others up until it is missed.
        let slow = faults.contains(&Fault::Stick) || faults.contains(&Fault::Usurp);
        let ending = self.processes.iter().any(|process| process.phase != Phase::Open);
        let slow = slow || ending || *clock == WallClock::SetBack;
        if slow { PEER_TIMEOUT * 2 } else { HEARTBEAT * 2 }
    }

    /// Without anything to do, the servers exchange heartbeats and nothing else.
    pub(super) fn idle(&mut self) {
        // Last acknowledgements are on their way, and stuck sockets are still to be replaced.
        self.run_until(self.now + HEARTBEAT * 5, |_| false);
        self.network.traffic = Traffic::default();
        self.run_until(self.now + HEARTBEAT * 10, |_| false);
        self.check_all();
        let traffic = self.network.traffic;
        if self.all_well() {
            assert_eq!(traffic.others, 0, "resent without need");
        }
        let lanes = u64::from(self.plan.servers * (self.plan.servers - 1));
        assert!(traffic.heartbeats <= lanes * 15, "{} heartbeats", traffic.heartbeats);
    }

    /// Where all are well, a few more letters get through without anything given up or sent twice.
    pub(super) fn chat(&mut self) {
        if !self.all_well() {
            return;
        }
        let before = self.trouble();
        for process in &mut self.processes {
            for _ in 0..10 {
                let largest = process.limits.largest;
                let letter = Letter::draw(&mut self.rng, process.pid, self.plan.servers, largest);
                process.write(letter, self.now);
            }
        }
        let done = self.run_until(self.now + HEARTBEAT, Self::is_quiet);
        assert!(done, "not delivered:\n{}", self.describe());
        assert_eq!(self.trouble(), before, "given up or sent twice");
    }

    /// How many envelopes were sent twice, or given up because a peer was silent.
    fn trouble(&self) -> u64 {
        let lanes = self.processes.iter().flat_map(|process| &process.lanes);
        let stats = lanes.map(|lane| lane.stats(self.now));
        let resent = u64::from(self.plan.windows != Windows::Various);
        stats.map(|stats| stats.dropped.peer_down + resent * stats.resent).sum()
    }

    /// All servers leave, which takes a bounded time and leaves nothing behind.
    pub(super) fn leave(&mut self) {
        let well = self.all_well();
        for process in &mut self.processes {
            process.leave(Phase::Leaving { since: self.now }, self.now);
        }
        // Those that find a peer missing wait for it as long as they may.
        let patience = if well { HEARTBEAT / 2 } else { LINGER + PEER_TIMEOUT };
        let deadline = self.now + patience;
        let done = self.run_until(deadline, |world| world.processes.is_empty());
        assert!(done, "not ended:\n{}", self.describe());
    }

    /// Whether all servers are there, and none is about to leave.
    fn all_well(&self) -> bool {
        self.processes.len() == self.plan.servers as usize
            && self.processes.iter().all(|process| process.phase == Phase::Open)
    }

    /// Runs until something is true or the time is over, and tells whether it was.
    fn run_until(&mut self, end: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let mut moments_here = 0;
        while !done(self) {
            let next = self.poll_timeout();
            if next > end {
                self.now = end;
                return false;
            }
            moments_here = if next > self.now { 0 } else { moments_here + 1 };
            assert!(moments_here < 500, "time stands still:\n{}", self.describe());
            self.now = self.now.max(next);
            self.step();
        }
        true
    }

    fn poll_timeout(&self) -> Duration {
        let threads = self.processes.iter().map(Process::poll_timeout);
        let looks =
            self.processes.iter().map(|process| process.leisure_until.max(process.paused_until));
        let starts = self.starts.iter().map(|(_, at)| *at);
        let arrival = self.network.poll_timeout().unwrap_or(NEVER);
        let others = threads.chain(looks).chain(starts);
        others.fold(self.next_fault.min(arrival), Duration::min)
    }

    fn step(&mut self) {
        self.start_due();
        while let Some(frame) = self.network.arrival(self.now) {
            match self.newest(frame.header.to) {
                Some(at) => self.processes[at].arrive(frame, self.now, &mut self.rng),
                None if self.rng.bool() => self.network.hold(frame),
                None => {}
            }
        }
        if self.now >= self.next_fault {
            self.strike();
        }
        for at in 0..self.processes.len() {
            self.run_process(at);
        }
        self.bury_ended();
    }

    /// Where the process with the address of `pid` is: the newest.
    pub(super) fn newest(&self, pid: Pid) -> Option<usize> {
        self.processes.iter().rposition(|process| process.pid == pid)
    }

    fn bury_ended(&mut self) {
        for pid in (1..=self.plan.servers).map(Pid::new) {
            let newest = self.newest(pid).map(|at| &self.processes[at]);
            if newest.is_some_and(|process| process.phase == Phase::Ended) {
                let late = up_to(&mut self.rng, LONGEST);
                self.bury(pid, self.now + late);
            }
        }
        self.processes.retain(|process| process.phase != Phase::Ended);
    }

    /// Ends a server and those whose address it took over. It starts again, unless all is calm.
    pub(super) fn bury(&mut self, pid: Pid, start: Duration) {
        self.processes.retain(|process| process.pid != pid);
        if self.mood == Mood::Chaos {
            self.starts.push((pid, start));
        }
    }

    fn run_process(&mut self, at: usize) {
        let process = &mut self.processes[at];
        if process.is_paused(self.now) {
            return;
        }
        if process.leisure_until <= self.now {
            self.use_channels(at);
        }
        let process = &mut self.processes[at];
        let mut surroundings = Surroundings {
            now: self.now,
            rng: &mut self.rng,
            network: &mut self.network,
            audit: &mut self.audit,
        };
        process.run(&mut surroundings);
        if let Some(full) = process.held_up_by {
            let heard = self.network.last_arrival((full, process.pid)).unwrap_or_default();
            let awake = process.started.max(process.paused_until);
            let silent = self.now > heard.max(awake) + PATIENCE;
            assert!(!silent, "{full} is silent and holds {} up", process.id);
        }
    }

    /// The application reads what there is, writes a few letters, and turns to something else.
    fn use_channels(&mut self, at: usize) {
        let process = &mut self.processes[at];
        let leisure = up_to(&mut self.rng, self.plan.leisure) + Duration::from_millis(1);
        process.leisure_until = self.now + leisure;
        if self.mood == Mood::Calm {
            return process.read(usize::MAX, self.now);
        }
        process.read(self.rng.usize(..self.plan.inbox.max(8) * 2), self.now);
        if process.phase == Phase::Open && process.outbox.len() < 8 {
            for _ in 0..self.rng.usize(..3) {
                let largest = process.limits.largest;
                let letter = Letter::draw(&mut self.rng, process.pid, self.plan.servers, largest);
                process.write(letter, self.now);
            }
        }
    }

    fn start_due(&mut self) {
        let now = self.now;
        let starts = std::mem::take(&mut self.starts);
        let (due, later) = starts.into_iter().partition(|(_, at)| *at <= now);
        self.starts = later;
        let due: Vec<_> = due;
        due.into_iter().for_each(|(pid, _)| self.start(pid));
    }

    pub(super) fn start(&mut self, pid: Pid) {
        let id = self.draw_id(pid);
        if is_traced() {
            eprintln!("{:>12?} {id} starts as {pid}", self.now);
        }
        let limits = draw_limits(&mut self.rng, self.plan.windows);
        let mut process = Process::start(pid, id, limits, &self.plan, self.now);
        if self.mood == Mood::Calm {
            process.inlet.read_all();
        }
        self.processes.push(process);
        for from in 1..=self.plan.servers {
            self.network.release((Pid::new(from), pid), self.now);
        }
    }

    /// The incarnation of a process that starts. One that usurps an address has the larger one.
    fn draw_id(&mut self, pid: Pid) -> ProcessId {
        let (smallest, largest) = &mut self.ids;
        let alone = !self.processes.iter().any(|process| process.pid == pid);
        if self.plan.clock == WallClock::SetBack && alone && self.rng.bool() {
            *smallest -= 1;
            return *smallest;
        }
        *largest += 1;
        *largest
    }

    /// Of several processes with one pid, only the newest goes on.
    fn remove_usurped(&mut self) {
        let newest: Vec<_> =
            (1..=self.plan.servers).filter_map(|pid| self.newest(Pid::new(pid))).collect();
        let mut at = 0..;
        self.processes.retain(|_| at.next().is_some_and(|at| newest.contains(&at)));
    }

    /// Each process with each process that it sends to.
    fn pairs(&self) -> impl Iterator<Item = (&Process, &Process)> {
        let others = |from: &Process| {
            let own = from.pid;
            self.processes.iter().filter(move |to| to.pid != own)
        };
        self.processes.iter().flat_map(move |from| others(from).map(move |to| (from, to)))
    }

    fn pending(&self) -> usize {
        let lanes = self.processes.iter().flat_map(|from| {
            from.lanes.iter().map(move |lane| self.audit.pending(from.id, lane.peer))
        });
        lanes.sum()
    }

    /// How many letters wait in the outboxes.
    fn unsent(&self) -> usize {
        self.processes.iter().map(|process| process.outbox.len()).sum()
    }

    fn is_quiet(&self) -> bool {
        let listening = |(from, to): (&Process, &Process)| {
            from.phase != Phase::Open
                || to.phase != Phase::Open
                || to.inlet.speaker(from.pid) == Some(from.id)
        };
        self.starts.is_empty()
            && self.unsent() == 0
            && self.pairs().all(|(from, to)| self.audit.pending(from.id, to.pid) == 0)
            && self.pairs().all(listening)
    }

    fn check_all(&mut self) {
        let Self { processes, audit, .. } = self;
        for from in &*processes {
            for to in processes.iter().filter(|to| to.pid != from.pid) {
                let staying = from.phase == Phase::Open && to.phase == Phase::Open;
                let speaker = to.inlet.speaker(from.pid);
                assert!(!staying || speaker == Some(from.id), "{} hears {speaker:?}", to.id);
                if !to.inlet.is_closed() {
                    audit.check_quiet(from.id, to.pid, to.id);
                }
            }
        }
    }

    fn check_traffic(&self, pending: usize) {
        let traffic = self.network.traffic;
        let lanes = u64::from(self.plan.servers * (self.plan.servers - 1));
        let often = if self.plan.windows == Windows::Various { 20 } else { 4 };
        let most = 20 * lanes + often * pending as u64;
        let others = traffic.others;
        assert!(others <= most, "{others} frames sent for {pending}:\n{}", self.describe());
        assert!(traffic.heartbeats <= most * 2, "{} heartbeats", traffic.heartbeats);
    }

    fn describe(&self) -> String {
        let pending = |from: &Process, to: Pid| self.audit.pending(from.id, to);
        let describe = |process: &Process| {
            let peers = process.lanes.iter().map(|lane| {
                let heard = process.inlet.speaker(lane.peer);
                format!("[{}: {} pending, hears {heard:?}]", lane.peer, pending(process, lane.peer))
            });
            let peers: String = peers.collect();
            let Process { pid, id, phase, .. } = process;
            format!("{pid} ({id}), {phase:?}, {} to send, {peers}\n", process.outbox.len())
        };
        let processes: String = self.processes.iter().map(describe).collect();
        format!("at {:?}, {:?}\n{processes}", self.now, self.plan)
    }
}
