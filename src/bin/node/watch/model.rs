//! What the watch knows. It has no clock, terminal or threads: time is an argument, since the start
//! of the watch.

use std::collections::VecDeque;
use std::time::Duration;

use raft_cluster::Pid;

use super::snapshot::{Peer, Snapshot, State};
use super::verdict::Verdict;

/// How many events can be seen, on the highest of terminals.
const MAX_EVENTS: usize = 200;

/// How many intervals the traffic of a row goes back: the last minute.
const MAX_HISTORY: usize = 60;

/// Rates are of an interval that is at least so long. Where snapshots follow each other sooner, as
/// after an event, they tell states and not rates.
const INTERVAL: Duration = Duration::from_millis(900);

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// In the order in which they were named, or first told.
    pub(crate) servers: Vec<Server>,
    /// When, and what. The latest is the last.
    pub(crate) events: VecDeque<(Duration, String)>,
    /// How many could not be taken in.
    pub(crate) unshown: u64,
    /// What a message said that came lately.
    pub(crate) message: Option<String>,
    pub(crate) leaving: bool,
}

/// A server, by what it tells.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) pid: Pid,
    /// When it told last; before that, when it was named.
    pub(crate) told: Duration,
    /// What has come of its process, once that has ended.
    pub(crate) ended: Option<Verdict>,
    pub(crate) peers: Vec<Link>,
}

/// A peer as one server sees it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) now: Peer,
    /// When it was first seen in its state.
    pub(crate) since: Duration,
    pub(crate) rates: Rates,
    /// Messages a second, both ways, of each interval. The latest is the last.
    pub(crate) history: VecDeque<u64>,
    /// What the next interval is reckoned from.
    base: (Duration, Peer),
}

/// What happened in the last interval, for each second of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) sent: f64,
    pub(crate) received: f64,
    pub(crate) acknowledged: f64,
    pub(crate) resent: f64,
    pub(crate) dropped: f64,
    pub(crate) bytes_sent: f64,
    pub(crate) bytes_received: f64,
    /// Which part of the time it has held outboxes up.
    pub(crate) blocked: f64,
}

impl Model {
    /// Knows of these servers before they tell anything.
    pub(crate) fn of(pids: &[Pid]) -> Self {
        let server = |&pid| Server { pid, told: Duration::ZERO, ended: None, peers: Vec::new() };
        Self { servers: pids.iter().map(server).collect(), ..Self::default() }
    }

    pub(crate) fn counted(&mut self, snapshot: Snapshot, now: Duration) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.pid == snapshot.pid) {
            server.counted(snapshot, now);
        }
    }

    pub(crate) fn event(&mut self, text: String, now: Duration) {
        self.events.push_back((now, text));
        if self.events.len() > MAX_EVENTS {
            self.events.pop_front();
        }
    }

    pub(crate) fn ended(&mut self, pid: Pid, how: Verdict) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.pid == pid) {
            server.ended = Some(how);
        }
    }
}

impl Server {
    /// Takes the peers of the snapshot, and what is known of each from before.
    fn counted(&mut self, snapshot: Snapshot, now: Duration) {
        self.told = now;
        let mut before = std::mem::take(&mut self.peers);
        for peer in snapshot.peers {
            let known = before.iter().position(|link| link.now.pid == peer.pid);
            self.peers.push(match known.map(|place| before.swap_remove(place)) {
                Some(link) => link.counted(peer, now),
                None => Link::new(peer, now),
            });
        }
    }

    pub(crate) fn peer(&self, pid: Pid) -> Option<&Link> {
        self.peers.iter().find(|link| link.now.pid == pid)
    }
}

impl Link {
    fn new(peer: Peer, now: Duration) -> Self {
        Self {
            base: (now, peer.clone()),
            now: peer,
            since: now,
            rates: Rates::default(),
            history: VecDeque::new(),
        }
    }

    fn counted(mut self, peer: Peer, now: Duration) -> Self {
        if peer.state != self.now.state {
            self.since = now;
        }
        let passed = now.saturating_sub(self.base.0);
        if passed >= INTERVAL {
            self.rates = Rates::between(&self.base.1, &peer, passed);
            self.history.push_back((self.rates.sent + self.rates.received).round() as u64);
            if self.history.len() > MAX_HISTORY {
                self.history.pop_front();
            }
            self.base = (now, peer.clone());
        }
        self.now = peer;
        self
    }

    pub(crate) fn is(&self, state: State) -> bool {
        self.now.state == state
    }
}

impl Rates {
    fn between(before: &Peer, after: &Peer, passed: Duration) -> Self {
        // A peer that was taken out and put back begins at zero.
        let rate = |count: fn(&Peer) -> u64| {
            count(after).saturating_sub(count(before)) as f64 / passed.as_secs_f64()
        };
        Self {
            sent: rate(|peer| peer.sent),
            received: rate(|peer| peer.received),
            acknowledged: rate(|peer| peer.acknowledged),
            resent: rate(|peer| peer.resent),
            dropped: rate(|peer| peer.dropped),
            bytes_sent: rate(|peer| peer.bytes_sent),
            bytes_received: rate(|peer| peer.bytes_received),
            blocked: after.blocked.saturating_sub(before.blocked).as_secs_f64()
                / passed.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Pid = Pid::new(1);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn told(model: &mut Model, millis: u64, state: State, sent: u64) -> Link {
        let peer =
            Peer { pid: Pid::new(2), state, sent, blocked: at(millis / 2), ..Peer::default() };
        model.counted(Snapshot { pid: ONE, peers: vec![peer] }, at(millis));
        model.servers[0].peers[0].clone()
    }

    #[test]
    fn a_state_is_as_old_as_its_first_snapshot() {
        let mut model = Model::of(&[ONE]);
        assert_eq!(told(&mut model, 1_000, State::Up, 0).since, at(1_000));
        assert_eq!(told(&mut model, 2_000, State::Up, 0).since, at(1_000));
        assert_eq!(told(&mut model, 2_100, State::Down, 0).since, at(2_100));
    }

    #[test]
    fn rates_are_of_whole_intervals() {
        let mut model = Model::of(&[ONE]);
        told(&mut model, 0, State::Up, 0);
        let link = told(&mut model, 2_000, State::Up, 500);
        assert_eq!((link.rates.sent, link.rates.blocked), (250.0, 0.5));
        // An event has it told again soon after.
        assert_eq!(told(&mut model, 2_010, State::Up, 900).rates.sent, 250.0);
        let link = told(&mut model, 3_000, State::Up, 1_500);
        assert_eq!((link.rates.sent, link.history), (1_000.0, [250, 1_000].into()));
        assert_eq!(told(&mut model, 4_000, State::Up, 10).rates.sent, 0.0, "it was put back");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut model = Model::of(&[ONE]);
        for second in 0..1_000 {
            told(&mut model, second * 1_000, State::Up, second);
            model.event(second.to_string(), at(second));
        }
        assert_eq!(model.servers[0].peers[0].history.len(), MAX_HISTORY);
        assert_eq!(model.events.len(), MAX_EVENTS);
        assert_eq!(model.events.back(), Some(&(at(999), "999".into())));
    }

    #[test]
    fn a_peer_that_is_listed_no_more_is_gone() {
        let mut model = Model::of(&[ONE]);
        told(&mut model, 0, State::Up, 0);
        model.counted(Snapshot { pid: ONE, peers: Vec::new() }, at(1_000));
        assert!(model.servers[0].peers.is_empty());
        model.counted(Snapshot { pid: Pid::new(9), peers: Vec::new() }, at(1_000));
        assert_eq!(model.servers.len(), 1, "a stranger is not let in");
    }
}
