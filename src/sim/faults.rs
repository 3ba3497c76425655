//! What befalls the servers and the network between them.

use std::time::Duration;

use crate::envelope::Pid;
use crate::sim::is_traced;
use crate::sim::network::Route;
use crate::sim::plan::{Fault, up_to};
use crate::sim::process::Change;
use crate::sim::world::{LONGEST, World};

/// How long an application sends as much as it can, at most.
const FLOOD: Duration = Duration::from_millis(100);

impl World {
    /// The next fault happens.
    pub(super) fn strike(&mut self) {
        self.next_fault = self.now + up_to(&mut self.rng, self.plan.lull);
        let Some(fault) = self.rng.choice(self.plan.faults.iter().copied()) else { return };
        let a = self.rng.u32(..self.plan.servers);
        let b = (a + self.rng.u32(1..self.plan.servers)) % self.plan.servers;
        let (a, b) = (Pid::new(a + 1), Pid::new(b + 1));
        let until = self.now + up_to(&mut self.rng, LONGEST);
        if is_traced() {
            eprintln!("{:>12?} {fault:?} {a} {b} until {until:?}", self.now);
        }
        match fault {
            Fault::CutOneWay => self.network.cut((a, b), until),
            Fault::CutBothWays => both(a, b).into_iter().for_each(|r| self.network.cut(r, until)),
            Fault::Isolate => self.isolate(a, until),
            Fault::Stall => self.network.stall((a, b), until),
            Fault::Reset => both(a, b).into_iter().for_each(|r| self.reset(r)),
            _ => self.strike_process(fault, a, b, until),
        }
    }

    fn reset(&mut self, route: Route) {
        self.network.reset(route);
        self.disconnect(route);
    }

    pub(super) fn isolate(&mut self, pid: Pid, until: Duration) {
        for other in (1..=self.plan.servers).map(Pid::new) {
            both(pid, other).into_iter().for_each(|route| self.network.cut(route, until));
        }
    }

    fn strike_process(&mut self, fault: Fault, pid: Pid, peer: Pid, until: Duration) {
        let Some(at) = self.newest(pid) else { return };
        let process = &mut self.processes[at];
        match fault {
            Fault::Stick => {
                let way = process.ways.iter_mut().find(|way| way.peer == peer);
                way.unwrap().stuck = true;
            }
            Fault::Kill => self.bury(pid, until),
            Fault::Usurp => self.start(pid),
            Fault::Pause => process.pause(until, self.now),
            Fault::StopReading => process.app.leisure_until = until,
            Fault::DropInbox => process.drop_inbox(&mut self.audit),
            Fault::Leave => process.leave(&mut self.audit),
            Fault::Unlist => process.change(peer, Change::Unlist(until), self.now),
            Fault::Reroute => process.change(peer, Change::Reroute, self.now),
            Fault::ShutDown => process.shut_down(self.rng.bool(), self.now),
            _ => process.app.floods_until = self.now + up_to(&mut self.rng, FLOOD),
        }
    }
}

fn both(a: Pid, b: Pid) -> [Route; 2] {
    [(a, b), (b, a)]
}
