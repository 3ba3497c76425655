//! The servers, the network between them, and what befalls both.

mod acts;
mod connecting;

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use crate::envelope::Pid;
use crate::sim::audit::{Audit, ProcessId};
use crate::sim::is_traced;
use crate::sim::network::Network;
use crate::sim::plan::{Plan, WallClock, draw_limits, up_to};
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

    pub(super) fn at_peace(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(&mut rng).at_peace();
        Self::with_plan(plan, rng)
    }

    /// Two servers to which nothing happens of itself.
    pub(super) fn undisturbed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(&mut rng).undisturbed(&mut rng);
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
        self.connect();
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
        self.desert(pid);
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
        process.relist(self.mood == Mood::Calm, self.now);
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
        let peers: Vec<_> = process.peers().collect();
        for peer in peers {
            self.network.connections.open((id, peer), self.now);
        }
        self.processes.push(process);
        self.network.connections.occupy(pid, self.now);
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
            && self.processes.iter().all(|process| process.app.asking.owes() == 0)
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
