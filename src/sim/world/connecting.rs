//! What the processes learn of their connections.

use super::World;
use crate::envelope::Pid;
use crate::sim::connections::{Answer, End};
use crate::sim::network::Route;
use crate::transport::memory::ConnectionEvent;

impl World {
    /// Tries the connections that are to be made.
    pub(super) fn connect(&mut self) {
        for end in self.network.connections.due(self.now) {
            let (id, peer) = end;
            let Some(process) = self.processes.iter().find(|process| process.id == id) else {
                self.network.connections.forget(id);
                continue;
            };
            if process.is_paused(self.now) {
                self.network.connections.postpone(end, process.paused_until);
                continue;
            }
            let answer = self.answer((process.pid, peer));
            if self.network.connections.take_failure(end) {
                self.tell(end, ConnectionEvent::Failed);
            }
            self.network.connections.note_answer(end, answer, self.now);
            match answer {
                Answer::Made => self.tell(end, ConnectionEvent::Made),
                Answer::Refused => self.tell(end, ConnectionEvent::Refused),
                Answer::Nothing => {}
            }
        }
    }

    fn answer(&self, route: Route) -> Answer {
        if self.network.connections.firewalls.contains(&route) {
            Answer::Refused
        } else if self.network.is_cut(route, self.now) {
            Answer::Nothing
        } else if self.newest(route.1).is_some() {
            Answer::Made
        } else {
            Answer::Refused
        }
    }

    /// The connection to `peer` breaks, of each process with this pid.
    pub(in crate::sim) fn disconnect(&mut self, (pid, peer): Route) {
        let ends: Vec<End> = self
            .processes
            .iter()
            .filter(|process| process.pid == pid)
            .map(|process| (process.id, peer))
            .collect();
        for end in ends {
            if self.network.connections.close(end, self.now) {
                self.tell(end, ConnectionEvent::Closed);
            }
        }
    }

    /// Nobody is at this address any more: all connections there break.
    pub(super) fn desert(&mut self, pid: Pid) {
        self.network.connections.vacate(pid, self.now);
        for other in (1..=self.plan.servers).map(Pid::new) {
            self.disconnect((other, pid));
        }
    }

    fn tell(&self, (id, peer): End, event: ConnectionEvent) {
        if let Some(process) = self.processes.iter().find(|process| process.id == id) {
            process.notice(peer, event);
        }
    }
}
