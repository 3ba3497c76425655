//! The servers, the network between them, and what befalls both.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use crate::envelope::Pid;
use crate::sim::audit::{Audit, ProcessId};
use crate::sim::is_traced;
use crate::sim::network::{Network, Traffic};
use crate::sim::plan::{
    Fault, HEARTBEAT, LARGEST, LINGER, PEER_TIMEOUT, Plan, WallClock, Windows, draw_limits, up_to,
};
use crate::sim::process::{NEVER, Process};

/// How long it takes to deliver one frame after another after the last fault, at most: a window may
/// hold only one.
const EACH: Duration = Duration::from_millis(20);

/// How long what one fault does lasts, at most. Longer than the peer timeout.
pub(super) const LONGEST: Duration = Duration::from_secs(8);

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) network: Network,
    pub(super) audit: Audit,
    /// All that run. Of those with the same pid the last one has the address.
    pub(super) processes: Vec<Process>,
    /// When the servers without a process start one.
    starts: Vec<(Pid, Duration)>,
    /// Who has ever started.
    started: BTreeSet<Pid>,
    /// The smallest and the largest incarnation there was.
    ids: (ProcessId, ProcessId),
    pub(super) next_fault: Duration,
    mood: Mood,
}

/// What a process touches.
pub(super) struct Surroundings<'a> {
    pub(super) now: Duration,
    pub(super) rng: &'a mut Rng,
    pub(super) network: &'a mut Network,
    pub(super) audit: &'a mut Audit,
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
        Self::with_plan(plan, rng)
    }

    pub(super) fn with_slow_lines(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(&mut rng).slowed_down(&mut rng);
        let mut world = Self::with_plan(plan, rng);
        world.starts.iter_mut().for_each(|(_, at)| *at = Duration::ZERO);
        world
    }

    fn with_plan(plan: Plan, mut rng: Rng) -> Self {
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
            started: BTreeSet::new(),
            ids: (1_000, 1_000),
            next_fault: Duration::ZERO,
            mood: Mood::Chaos,
        }
    }

    /// Faults and envelopes, for a while.
    pub(super) fn rage(&mut self) {
        self.run_until(self.plan.chaos, |_| false);
    }

    /// Mends everything, and runs until all is settled, which takes a bounded time and a bounded
    /// number of frames.
    pub(super) fn heal(&mut self) {
        self.mood = Mood::Calm;
        self.next_fault = NEVER;
        self.remove_usurped();
        self.network.heal(self.now);
        self.starts.iter_mut().for_each(|(_, at)| *at = self.now);
        for process in &mut self.processes {
            process.paused_until = process.paused_until.min(self.now);
            process.app.calm_down(self.now);
        }
        self.network.traffic = Traffic::default();
        let pending = self.pending() + self.unsent() * self.plan.servers as usize;
        let frames = u32::try_from(pending * (1 + LARGEST / self.plan.frames.min)).unwrap();
        let deadline = self.now + self.recovery() + EACH * frames;
        assert!(self.run_until(deadline, Self::is_quiet), "not settled:\n{}", self.describe());
        self.check_traffic(pending);
    }

    /// How long after the last fault everything is settled, at most.
    fn recovery(&self) -> Duration {
        let Plan { faults, clock, .. } = &self.plan;
        // A stuck socket has to be replaced first, who was heard wrongly has to be silent, and a
        // peer that ends holds others up until it is missed.
        let slow = faults.contains(&Fault::Stick) || faults.contains(&Fault::Usurp);
        let ending = self.processes.iter().any(|process| !process.is_open());
        let slow = slow || ending || *clock == WallClock::SetBack;
        if slow { PEER_TIMEOUT * 3 } else { HEARTBEAT * 2 }
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
            process.app.chats = 10;
        }
        // They are to be written first.
        self.run_until(self.now + HEARTBEAT / 10, |_| false);
        let done = self.run_until(self.now + HEARTBEAT, Self::is_quiet);
        assert!(done, "not delivered:\n{}", self.describe());
        assert_eq!(self.trouble(), before, "given up or sent twice");
    }

    /// Nothing was sent twice or given up so far.
    pub(super) fn assert_untroubled(&self) {
        assert_eq!(self.trouble(), 0, "given up or sent twice:\n{}", self.describe());
    }

    /// How many envelopes were sent twice, or given up because a peer was silent.
    fn trouble(&self) -> u64 {
        let stats = self.processes.iter().flat_map(|process| process.stats().peers);
        let resent = u64::from(self.plan.windows != Windows::Various);
        stats.map(|stats| stats.dropped.peer_down + resent * stats.resent).sum()
    }

    /// All servers leave, which takes a bounded time and leaves nothing behind.
    pub(super) fn leave(&mut self) {
        let unread = self.plan.joins_unread;
        let well = self.all_well() && !unread;
        if unread {
            let unlucky = self.rng.usize(..self.processes.len().max(1));
            self.processes.iter_mut().skip(unlucky).take(1).for_each(Process::stop_reading);
            self.processes.iter_mut().for_each(|process| process.app.chats = 20);
            self.run_until(self.now + HEARTBEAT, |_| false);
        }
        self.processes.iter_mut().for_each(Process::leave);
        // Those that find a peer missing wait for it as long as they may; one whose application
        // reads no more, until the others have given up and are missed, and then as long again.
        let patience = if well { HEARTBEAT / 2 } else { LINGER + PEER_TIMEOUT };
        let patience = if unread { patience * 2 } else { patience };
        let done = self.run_until(self.now + patience, Self::is_over);
        // A peer that was never heard has not left, and one whose application does not read holds
        // up those who still send. Whoever waits for one has to be told to end.
        let waits = |process: &Process| process.peers().any(|peer| process.awaits(peer));
        let held_up = unread && self.processes.len() > 1;
        let excused = done || held_up || self.processes.iter().all(waits);
        assert!(excused, "not ended:\n{}", self.describe());
        let now = self.now;
        self.processes.iter_mut().for_each(|process| process.shut_down(false, now));
        let done = self.run_until(self.now + LINGER + PEER_TIMEOUT, Self::is_over);
        assert!(done, "not shut down:\n{}", self.describe());
    }

    fn is_over(&self) -> bool {
        self.processes.is_empty()
    }

    /// Whether all servers are there, and none is about to leave.
    fn all_well(&self) -> bool {
        self.processes.len() == self.plan.servers as usize
            && self.processes.iter().all(Process::is_open)
    }

    /// Runs until something is true or the time is over, and tells whether it was.
    fn run_until(&mut self, end: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let mut moments_here = 0;
        // What the caller has just done may wake a thread.
        self.step();
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
        let looks = self.processes.iter().map(Process::next_look);
        let starts = self.starts.iter().map(|(_, at)| *at);
        let arrival = self.network.poll_timeout().unwrap_or(NEVER);
        let others = threads.chain(looks).chain(starts);
        others.fold(self.next_fault.min(arrival), Duration::min)
    }

    fn step(&mut self) {
        self.start_due();
        while let Some(frame) = self.network.arrival(self.now) {
            match self.newest(frame.header.to) {
                Some(at) => self.processes[at].arrive(frame),
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
            if newest.is_some_and(Process::has_ended) {
                let late = up_to(&mut self.rng, LONGEST);
                self.bury(pid, self.now + late);
            }
        }
        self.processes.retain(|process| !process.has_ended());
    }

    /// Ends a server and those whose address it took over. It starts again, unless all is calm.
    pub(super) fn bury(&mut self, pid: Pid, start: Duration) {
        for process in self.processes.iter_mut().filter(|process| process.pid == pid) {
            process.bury(&mut self.audit);
        }
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
        let mut surroundings = Surroundings {
            now: self.now,
            rng: &mut self.rng,
            network: &mut self.network,
            audit: &mut self.audit,
        };
        if process.next_look() <= self.now {
            process.use_channels(&self.plan, self.mood == Mood::Calm, &mut surroundings);
        }
        process.run(&mut surroundings);
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
        let limits = draw_limits(&mut self.rng, &self.plan);
        let mut process = Process::start(pid, id, limits, &self.plan, self.now);
        process.has_predecessor = !self.started.insert(pid);
        if self.mood == Mood::Calm {
            process.app.calm_down(self.now);
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
        let pending = self
            .processes
            .iter()
            .flat_map(|from| from.peers().map(move |peer| self.audit.pending(from.id, peer)));
        pending.sum()
    }

    /// How many envelopes wait to be taken from the applications.
    fn unsent(&self) -> usize {
        self.processes.iter().map(Process::unsent).sum()
    }

    fn is_quiet(&self) -> bool {
        let listening = |(from, to): (&Process, &Process)| {
            !from.is_open() || !to.is_open() || to.standings.up(from.pid) == Some(from.id)
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
                let staying = from.is_open() && to.is_open();
                let speaker = to.standings.up(from.pid);
                assert!(!staying || speaker == Some(from.id), "{} hears {speaker:?}", to.id);
                if to.is_inbox_open() {
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
        let describe = |from: &Process| {
            let peers = from.peers().map(|peer| {
                let (pending, up) = (self.audit.pending(from.id, peer), from.standings.up(peer));
                format!("[{peer}: {pending} pending, hears {up:?}]")
            });
            format!("{} {}\n", from.describe(), peers.collect::<String>())
        };
        let processes: String = self.processes.iter().map(describe).collect();
        format!("at {:?}, {:?}\n{processes}", self.now, self.plan)
    }
}
