//! The process takes peers out of its list and puts them back, and goes other ways to them.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::Process;
use crate::envelope::Pid;
use crate::sim::plan::{HEARTBEAT, PEER_TIMEOUT};
use crate::sim::process::Way;
use crate::sim::world::Surroundings;
use crate::transport::Outlet;
use crate::transport::memory::MemoryOutlet;
use crate::{input, output};

/// A change that the threads are carrying out.
pub(super) struct Amendment {
    what: Change,
    peer: Pid,
    /// Whether the output thread goes by it.
    half_done: bool,
    done: Receiver<()>,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Change {
    /// The peer is none any more, until this time at least.
    Unlist(Duration),
    /// It is one again.
    Relist,
    /// It is to be found elsewhere.
    Reroute,
}

impl Process {
    /// Has a peer taken out of the list, or another way taken to it.
    pub(in crate::sim) fn change(&mut self, peer: Pid, what: Change, now: Duration) {
        let listed = self.ways.iter().any(|way| way.peer == peer && way.unlisted.is_none());
        if listed && self.amendment.is_none() && self.input.logic.is_some() {
            self.amend(peer, what, now);
        }
    }

    /// Puts a peer back whose time it is, once all is taken from the outboxes that was put in before.
    pub(in crate::sim) fn relist(&mut self, calm: bool, now: Duration) {
        let due = |way: &&Way| way.unlisted.is_some_and(|until| calm || now >= until);
        let Some(peer) = self.ways.iter().find(due).map(|way| way.peer) else { return };
        let drained = self.output.logic.as_ref().is_some_and(output::Output::is_drained);
        let runs = self.input.logic.is_some();
        if self.amendment.is_none() && runs && drained {
            self.amend(peer, Change::Relist, now);
        }
    }

    fn amend(&mut self, peer: Pid, what: Change, now: Duration) {
        // Who is counted is known before it is heard, and as long as it may be.
        self.list_counters(Some(peer));
        let (outlet, departures) = MemoryOutlet::new(HEARTBEAT, PEER_TIMEOUT, now);
        let outlet: Box<dyn Outlet> = Box::new(outlet);
        let (done, is_done) = bounded(1);
        let mut input = input::Change { removed: vec![], added: vec![], keys: None, done };
        let (mut removed, mut added, mut rerouted) = (vec![], vec![], vec![]);
        let count = self.ways.len();
        let way = self.ways.iter_mut().find(|way| way.peer == peer).expect("a peer");
        match what {
            Change::Unlist(_) => {
                input.removed.push(peer);
                removed.push(peer);
            }
            Change::Relist => {
                way.departures = departures;
                // Its link is to be found, so that these have none of their own.
                input.added.push(self.workshop.receiver(peer, count, now));
                added.push(self.workshop.sender(peer, outlet, count, now));
            }
            Change::Reroute => {
                way.departures = departures;
                rerouted.push((peer, outlet));
            }
        }
        let change = output::Change { removed, added, rerouted, keys: None, input };
        self.changes.send(change).unwrap();
        self.amendment = Some(Amendment { what, peer, half_done: false, done: is_done });
        self.notice_end();
    }

    /// The counters are those of the peers that are listed, and of this one.
    fn list_counters(&self, also: Option<Pid>) {
        let counts = |way: &&Way| way.unlisted.is_none() || Some(way.peer) == also;
        let peers: Vec<_> = self.ways.iter().filter(counts).map(|way| way.peer).collect();
        self.counters.list(&peers);
    }

    /// Whether a peer is about to be listed again: until it is, nobody knows for whom a broadcast is.
    pub(super) fn is_relisting(&self) -> bool {
        let relists = |it: &Amendment| it.what == Change::Relist && !it.half_done;
        self.amendment.as_ref().is_some_and(relists)
    }

    /// After a turn of the output thread: it goes by the change.
    pub(super) fn note_half(&mut self, world: &mut Surroundings<'_>) {
        let Some(amendment) = &mut self.amendment else { return };
        if std::mem::replace(&mut amendment.half_done, true) {
            return;
        }
        let (what, peer) = (amendment.what, amendment.peer);
        let way = self.ways.iter_mut().find(|way| way.peer == peer).expect("a peer");
        match what {
            Change::Unlist(until) => {
                (way.unlisted, way.was_unlisted) = (Some(until), true);
                self.feedback.speakers.remove(&peer);
                self.standings.forget_stall(peer);
                world.audit.unlist(self.id, peer);
                self.list_counters(None);
            }
            Change::Relist => {
                (way.unlisted, way.listed) = (None, world.now);
                world.audit.relist(self.id, peer);
                world.network.connections.open((self.id, peer), world.now);
            }
            Change::Reroute => {
                world.network.renew((self.pid, peer));
                world.network.connections.open((self.id, peer), world.now);
            }
        }
    }

    /// After a turn of the input thread: it goes by the change as well.
    pub(super) fn note_whole(&mut self) {
        let done = |amendment: &Amendment| amendment.done.try_recv().is_ok();
        let Some(Amendment { what, peer, .. }) = self.amendment.take_if(|it| done(it)) else {
            return;
        };
        if what != Change::Reroute {
            self.standings.forget(peer);
        }
        self.arrivals.tell(peer, None);
    }
}
