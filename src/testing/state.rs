//! All that is on a network, at one moment.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::io;
use std::time::Instant;

use super::connection::{AddressId, Answer, Connection, ConnectionId, Ends, ListenerId};
use super::faults::{Faults, Route};
use crate::frame::Frame;
use crate::transport::memory::Arrivals;

/// Who listens where, the connections, and what befalls them.
pub(super) struct State {
    pub(super) faults: Faults,
    addresses: HashMap<String, AddressId>,
    /// Who listens at each address.
    listeners: BTreeMap<AddressId, Listener>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// When there is something to do. What is no longer so is skipped.
    timers: BinaryHeap<Reverse<(Instant, ConnectionId)>>,
    /// How many listeners and connections there were.
    count: u64,
    /// Whether there is something to do sooner than before.
    hurried: bool,
    /// Whether nobody needs the network any more.
    pub(super) ended: bool,
}

struct Listener {
    id: ListenerId,
    arrivals: Arrivals,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            faults: Faults::new(seed),
            addresses: HashMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            timers: BinaryHeap::new(),
            count: 0,
            hurried: false,
            ended: false,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    pub(super) fn address(&mut self, url: &str) -> AddressId {
        let next = AddressId(self.addresses.len());
        *self.addresses.entry(url.to_owned()).or_insert(next)
    }

    /// Somebody listens at this address. Who waits for that connects.
    pub(super) fn bind(
        &mut self,
        address: AddressId,
        arrivals: Arrivals,
        now: Instant,
    ) -> io::Result<ListenerId> {
        if self.listeners.contains_key(&address) {
            let message = "another server of the network listens there";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        let id = ListenerId(self.next_number());
        self.listeners.insert(address, Listener { id, arrivals });
        let waits = |connection: &Connection, _: &Faults| connection.ends.address == address;
        self.change(waits, |connection| connection.hasten(now), now);
        Ok(id)
    }

    /// He listens there no more: the connections to him break, as far as anybody can tell.
    pub(super) fn unbind(&mut self, address: AddressId, id: ListenerId, now: Instant) {
        self.listeners.retain(|at, listener| *at != address || listener.id != id);
        let knows = |connection: &Connection, faults: &Faults| {
            connection.leads_to(id) && !faults.is_mute(connection.ends.route)
        };
        self.change(knows, |connection| connection.break_off(now), now);
    }

    /// A server connects to an address.
    pub(super) fn open(&mut self, ends: Ends, now: Instant) -> ConnectionId {
        let id = ConnectionId(self.next_number());
        self.connections.insert(id, Connection::open(ends, now));
        self.drive(id, now);
        id
    }

    /// A frame is sent. Where frames are lost, that breaks the connection.
    pub(super) fn send(&mut self, id: ConnectionId, frame: Frame, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let route = connection.ends.route;
        if self.faults.draw_loss(route) {
            connection.break_off(now);
        } else {
            connection.push(frame, now + self.faults.draw_delay(route));
        }
        self.drive(id, now);
    }

    pub(super) fn replace(&mut self, id: ConnectionId, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.replace(now);
            self.drive(id, now);
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId, until: Instant, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.close(until);
            self.drive(id, now);
        }
    }

    /// The connections of this route break.
    pub(super) fn reset(&mut self, route: Route, now: Instant) {
        let is_it = |connection: &Connection, _: &Faults| connection.ends.route == route;
        self.change(is_it, |connection| connection.break_off(now), now);
    }

    /// All faults end. Only now do those learn it whose connection leads to nobody.
    pub(super) fn heal(&mut self, now: Instant) {
        self.faults.heal();
        let ids: Vec<_> = self.listeners.values().map(|listener| listener.id).collect();
        let heal = |connection: &mut Connection| {
            if !ids.iter().any(|id| connection.leads_to(*id)) {
                connection.break_off(now);
            }
            connection.heal(now);
        };
        self.change(|_, _| true, heal, now);
    }

    /// Does something to some connections, and what follows from it.
    fn change(
        &mut self,
        is_meant: impl Fn(&Connection, &Faults) -> bool,
        act: impl Fn(&mut Connection),
        now: Instant,
    ) {
        let meant =
            |(_, connection): &(&ConnectionId, &mut Connection)| is_meant(connection, &self.faults);
        let change = |(id, connection): (&ConnectionId, &mut Connection)| {
            act(connection);
            *id
        };
        let ids: Vec<_> = self.connections.iter_mut().filter(meant).map(change).collect();
        ids.into_iter().for_each(|id| self.drive(id, now));
    }

    /// Does what is due by now, and tells when there is something to do next.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                return Some(at);
            }
            self.timers.pop();
            let connection = self.connections.get_mut(&id);
            if connection
                .is_some_and(|connection| connection.scheduled.take_if(|due| *due == at).is_some())
            {
                self.drive(id, now);
            }
        }
        None
    }

    /// Whether there is something to do sooner than [`advance`](Self::advance) has told.
    pub(super) fn take_hurry(&mut self) -> bool {
        std::mem::take(&mut self.hurried)
    }

    /// Tries a connection if it is time, lets arrive what is due, and takes note of what comes next.
    fn drive(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (route, listener) =
            (connection.ends.route, self.listeners.get(&connection.ends.address));
        if connection.is_tried(now) {
            let answer = match listener {
                _ if self.faults.is_mute(route) => Answer::Nothing,
                Some(listener) => Answer::Made(listener.id),
                None => Answer::Refused,
            };
            connection.handle_answer(answer, now);
        }
        let is_cut = self.faults.is_cut(route);
        while let Some(frame) = if is_cut { None } else { connection.take_due(now) } {
            if let Some(listener) = listener.filter(|listener| connection.leads_to(listener.id)) {
                listener.arrivals.put(frame);
            }
        }
        if connection.is_over(now) {
            self.connections.remove(&id);
            return;
        }
        let Some(at) = connection.poll_timeout(is_cut) else { return };
        if connection.scheduled.is_none_or(|scheduled| at < scheduled) {
            connection.scheduled = Some(at);
            self.hurried |= self.timers.peek().is_none_or(|Reverse((first, _))| at < *first);
            self.timers.push(Reverse((at, id)));
        }
    }
}
