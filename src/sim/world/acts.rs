//! What a seed is played in: faults, the end of them, and what has to follow.

use std::time::Duration;

use super::{EACH, Mood, World};
use crate::envelope::Pid;
use crate::sim::network::Traffic;
use crate::sim::plan::{Fault, HEARTBEAT, LARGEST, LINGER, PEER_TIMEOUT, Plan, WallClock, Windows};
use crate::sim::process::{NEVER, Process};
use crate::stats::PeerState;

impl World {
    /// Faults and envelopes, for a while.
    pub(in crate::sim) fn rage(&mut self) {
        self.run_until(self.plan.chaos, |_| false);
    }

    /// Lets some time go by.
    pub(in crate::sim) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time, |_| false);
    }

    /// Whether a server sees a peer up.
    pub(in crate::sim) fn is_up(&self, pid: Pid, peer: Pid) -> bool {
        let process = self.newest(pid).map(|at| &self.processes[at]);
        process.is_some_and(|process| process.standings.up(peer).is_some())
    }

    /// How often a peer was seen to be down by those that run.
    pub(in crate::sim) fn downs(&self) -> usize {
        self.processes.iter().map(|process| process.standings.downs).sum()
    }

    /// Mends everything, and runs until all is settled, which takes a bounded time and a bounded
    /// number of frames.
    pub(in crate::sim) fn heal(&mut self) {
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
        let owed: usize = self.processes.iter().map(|process| process.app.asking.owes()).sum();
        // A question that is on its way is answered twice at most.
        let on_way = if self.plan.questions { self.pending() * 2 } else { 0 };
        let pending = self.pending() + on_way + owed + self.unsent() * self.plan.servers as usize;
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
        let slow = [Fault::Stick, Fault::Usurp, Fault::Unlist].iter().any(|it| faults.contains(it));
        let ending = self.processes.iter().any(|process| !process.is_open());
        let slow = slow || ending || *clock == WallClock::SetBack;
        if slow { PEER_TIMEOUT * 3 } else { HEARTBEAT * 2 }
    }

    /// One machine sleeps for an hour, with letters for it and by it on their way, and its network
    /// perhaps too; the others go on. They miss it, and go on with their heartbeats.
    pub(in crate::sim) fn sleep(&mut self) {
        const HOUR: Duration = Duration::from_secs(3_600);
        let (asleep, wakes) = (self.rng.usize(..self.processes.len()), self.now + HOUR);
        let sleeper = self.processes[asleep].pid;
        let alone = self.rng.bool();
        if alone {
            self.isolate(sleeper, wakes);
        }
        self.processes.iter_mut().for_each(|process| process.app.chats = 5);
        self.run_until(self.now + HEARTBEAT / 20, |_| false);
        if alone && self.rng.bool() {
            // What it lingers for is still to be sent when it wakes.
            self.processes[asleep].shut_down(false, self.now);
            self.run_until(self.now + HEARTBEAT / 20, |_| false);
        }
        self.network.traffic = Traffic::default();
        self.processes[asleep].pause(wakes, self.now);
        self.run_until(wakes - HEARTBEAT, |_| false);
        for process in self.processes.iter().filter(|process| process.pid != sleeper) {
            let state = process.stats().peer(sleeper).map(|stats| stats.state);
            assert_eq!(state, Some(PeerState::Down), "{} at {sleeper}", process.pid);
        }
        let heartbeats = self.network.traffic.heartbeats;
        assert!(heartbeats > 3_000, "{heartbeats} heartbeats within an hour");
        self.run_until(wakes, |_| false);
    }

    /// Who is well gets an answer to whatever it asks one that is well too, and soon.
    pub(in crate::sim) fn inquire(&mut self) {
        if !self.plan.questions {
            return;
        }
        let is_well = |process: &Process| process.is_open() && process.is_inbox_open();
        let well = |world: &Self| -> Vec<_> {
            let pairs = world.pairs().filter(|(from, to)| is_well(from) && is_well(to));
            pairs.map(|(from, to)| (from.id, to.pid)).collect()
        };
        let asked = well(self);
        for process in &mut self.processes {
            let peers = asked.iter().filter(|(from, _)| *from == process.id);
            let each = self.rng.u32(1..4);
            process.app.asking.inquiries = peers.map(|(_, to)| (*to, each)).collect();
            process.app.leisure_until = self.now;
        }
        let is_answered = |process: &Process| !process.app.asking.is_inquiring();
        let done = self.run_until(self.now + HEARTBEAT, |world| {
            well(world).iter().all(|(from, _)| {
                world.processes.iter().filter(|it| it.id == *from).all(is_answered)
            })
        });
        assert!(done, "not answered:\n{}", self.describe());
        // The idle timeout may have ended an inbox meanwhile.
        for (from, to) in well(self) {
            let from = self.processes.iter().find(|process| process.id == from);
            let silent = from.and_then(|from| from.app.asking.silent.get(&to));
            assert_eq!(silent, None, "of {to}:\n{}", self.describe());
        }
    }

    /// Without anything to do, the servers exchange heartbeats and nothing else.
    pub(in crate::sim) fn idle(&mut self) {
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
    pub(in crate::sim) fn chat(&mut self) {
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
    pub(in crate::sim) fn assert_untroubled(&self) {
        assert_eq!(self.trouble(), 0, "given up or sent twice:\n{}", self.describe());
    }

    /// How many envelopes were sent twice, or given up because a peer was silent.
    fn trouble(&self) -> u64 {
        let stats = self.processes.iter().flat_map(|process| process.stats().peers);
        let resent = u64::from(self.plan.windows != Windows::Various);
        stats.map(|stats| stats.dropped.peer_down + resent * stats.resent).sum()
    }

    /// All servers leave, which takes a bounded time and leaves nothing behind.
    pub(in crate::sim) fn leave(&mut self) {
        let unread = self.plan.joins_unread;
        let well = self.all_well() && !unread;
        if unread {
            let unlucky = self.rng.usize(..self.processes.len().max(1));
            self.processes.iter_mut().skip(unlucky).take(1).for_each(Process::stop_reading);
            self.processes.iter_mut().for_each(|process| process.app.chats = 20);
            self.run_until(self.now + HEARTBEAT, |_| false);
        }
        self.processes.iter_mut().for_each(|process| process.leave(&mut self.audit));
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

    fn check_traffic(&self, pending: usize) {
        let traffic = self.network.traffic;
        let lanes = u64::from(self.plan.servers * (self.plan.servers - 1));
        let often = if self.plan.windows == Windows::Various { 20 } else { 4 };
        let most = 20 * lanes + often * pending as u64;
        let others = traffic.others;
        assert!(others <= most, "{others} frames sent for {pending}:\n{}", self.describe());
        assert!(traffic.heartbeats <= most * 2, "{} heartbeats", traffic.heartbeats);
    }
}
