//! A network in virtual time that does its worst.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fastrand::Rng;

use crate::envelope::Pid;
use crate::frame::{Frame, Header, Payload};
use crate::sim::connections::Connections;
use crate::sim::is_traced;
use crate::sim::plan::{Plan, up_to};
use crate::wire::HEADER_LEN;

/// How much longer than others a frame can be on its way that is overtaken or comes twice. Less
/// than the peer timeout: a frame that is older than that is of no connection any more.
const DETOUR: Duration = Duration::from_secs(3);

/// From whom to whom.
pub(super) type Route = (Pid, Pid);

pub(super) struct Network {
    rng: Rng,
    loss: u32,
    repeats: u32,
    detours: u32,
    delay: Duration,
    /// In bytes per second.
    rate: Option<u64>,
    roads: BTreeMap<Route, Road>,
    flights: BinaryHeap<Reverse<Flight>>,
    /// How many frames were ever given to the network.
    departures: u64,
    pub(super) traffic: Traffic,
    pub(super) connections: Connections,
    /// When a frame arrived last.
    arrivals: BTreeMap<Route, Duration>,
}

/// What was given to the network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) heartbeats: u64,
    pub(super) others: u64,
}

/// One direction between two servers.
#[derive(Default)]
struct Road {
    cut_until: Duration,
    stalled_until: Duration,
    /// What waits for the road to be open, or for the server at its end to start.
    held: Vec<Frame>,
    /// Until when the frames before take up the line.
    busy_until: Duration,
    /// When the last frame that took no detour arrives.
    last: Duration,
}

struct Flight {
    at: Duration,
    departure: u64,
    frame: Frame,
}

impl Flight {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.departure)
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

fn route(frame: &Frame) -> Route {
    (frame.header.from, frame.header.to)
}

/// Shows every frame of a seed that is played alone.
fn trace(now: Duration, what: &str, frame: &Frame) {
    if !is_traced() {
        return;
    }
    let Frame { header, payload } = frame;
    let kind = match payload {
        Payload::Heartbeat => "heartbeat".to_owned(),
        Payload::Batch { envelopes, .. } => format!("batch of {envelopes}"),
        Payload::Single { msg, .. } => format!("single of {} bytes", msg.len()),
        Payload::Fragment { whole, body } => format!("{} bytes of {whole:?}", body.len()),
        Payload::Goodbye => "goodbye".to_owned(),
    };
    let Header { from, to, position, base, epoch, missed, wants_ack, settled, .. } = header;
    let incarnation = header.incarnation.to_wire();
    eprintln!(
        "{now:>12?} {what} {from} ({incarnation}) to {to}: {kind} {position:?} base {base:?} {epoch:?} \
         missed {missed} {wants_ack:?} {settled:?}, {:?}",
        header.acknowledgement
    );
}

impl Network {
    pub(super) fn new(rng: Rng, plan: &Plan) -> Self {
        Self {
            rng,
            loss: plan.loss,
            repeats: plan.repeats,
            detours: plan.detours,
            delay: plan.delay,
            rate: plan.rate,
            roads: BTreeMap::new(),
            flights: BinaryHeap::new(),
            departures: 0,
            traffic: Traffic::default(),
            connections: Connections::default(),
            arrivals: BTreeMap::new(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    pub(super) fn send(&mut self, frame: Frame, now: Duration) {
        match frame.payload {
            Payload::Heartbeat => self.traffic.heartbeats += 1,
            _ => self.traffic.others += 1,
        }
        trace(now, "sent", &frame);
        let road = self.roads.entry(route(&frame)).or_default();
        if now < road.cut_until {
            return;
        }
        if now < road.stalled_until {
            return road.held.push(frame);
        }
        if self.chance(self.loss) {
            return;
        }
        if self.chance(self.repeats) {
            let late = up_to(&mut self.rng, DETOUR);
            self.depart(frame.clone(), now + late);
        }
        self.forward(frame, now);
    }

    /// Lets a frame take the road, or a detour.
    fn forward(&mut self, frame: Frame, now: Duration) {
        if self.chance(self.detours) {
            let late = up_to(&mut self.rng, DETOUR);
            return self.depart(frame, now + late);
        }
        let delay = up_to(&mut self.rng, self.delay);
        let takes = self.time_on_line(&frame);
        let road = self.roads.entry(route(&frame)).or_default();
        road.busy_until = road.busy_until.max(now) + takes;
        let soon = road.busy_until + delay;
        road.last = road.last.max(soon);
        let at = road.last;
        self.depart(frame, at);
    }

    fn time_on_line(&self, frame: &Frame) -> Duration {
        let bytes = (HEADER_LEN + frame.payload.len()) as u64;
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_micros(bytes * 1_000_000 / rate))
    }

    fn depart(&mut self, frame: Frame, at: Duration) {
        self.departures += 1;
        self.flights.push(Reverse(Flight { at, departure: self.departures, frame }));
    }

    /// The next frame that arrives by now.
    pub(super) fn arrival(&mut self, now: Duration) -> Option<Frame> {
        self.release_stalled(now);
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.at <= now) {
            let Reverse(flight) = self.flights.pop()?;
            let road = self.roads.entry(route(&flight.frame)).or_default();
            if now >= road.cut_until {
                trace(now, "came", &flight.frame);
                self.arrivals.insert(route(&flight.frame), now);
                return Some(flight.frame);
            }
        }
        None
    }

    /// When a frame arrived last on this road.
    pub(super) fn last_arrival(&self, route: Route) -> Option<Duration> {
        self.arrivals.get(&route).copied()
    }

    /// When the next frame arrives, or a connection is tried.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let stalled = self.roads.values().filter(|road| !road.stalled_until.is_zero());
        let opened = stalled.map(|road| road.stalled_until);
        let arrival = self.flights.peek().map(|Reverse(flight)| flight.at);
        arrival.into_iter().chain(opened).chain(self.connections.poll_timeout()).min()
    }

    fn release_stalled(&mut self, now: Duration) {
        let over = |road: &Road| !road.stalled_until.is_zero() && now >= road.stalled_until;
        let routes: Vec<Route> =
            self.roads.iter().filter(|(_, road)| over(road)).map(|(route, _)| *route).collect();
        for route in routes {
            self.roads.entry(route).or_default().stalled_until = Duration::ZERO;
            self.release(route, now);
        }
    }

    /// Nobody is at the end of the road: the frame waits for somebody, as in a socket that
    /// connects.
    pub(super) fn hold(&mut self, frame: Frame) {
        self.roads.entry(route(&frame)).or_default().held.push(frame);
    }

    /// Somebody is at the end of the road.
    pub(super) fn release(&mut self, route: Route, now: Duration) {
        let held = std::mem::take(&mut self.roads.entry(route).or_default().held);
        for frame in held {
            self.forward(frame, now);
        }
    }

    /// The socket that sends on this road was replaced: what it still held is gone.
    pub(super) fn renew(&mut self, route: Route) {
        let road = self.roads.entry(route).or_default();
        road.held.clear();
    }

    pub(super) fn cut(&mut self, route: Route, until: Duration) {
        self.roads.entry(route).or_default().cut_until = until;
    }

    /// Whether one of the two directions is cut, so that neither answers.
    pub(super) fn is_cut(&self, (from, to): Route, now: Duration) -> bool {
        let cut = |route| self.roads.get(&route).is_some_and(|road| now < road.cut_until);
        cut((from, to)) || cut((to, from))
    }

    pub(super) fn stall(&mut self, route: Route, until: Duration) {
        self.roads.entry(route).or_default().stalled_until = until;
    }

    /// Loses about half of what is on its way on this road.
    pub(super) fn reset(&mut self, lost: Route) {
        let flights = std::mem::take(&mut self.flights).into_vec();
        for flight in flights {
            if route(&flight.0.frame) != lost || self.rng.bool() {
                self.flights.push(flight);
            }
        }
    }

    /// From now on nothing is lost, repeated or overtaken, and all roads are open.
    pub(super) fn heal(&mut self, now: Duration) {
        self.loss = 0;
        self.repeats = 0;
        self.detours = 0;
        self.delay = Duration::from_millis(5);
        self.rate = None;
        self.connections.hasten(now);
        let mut flights = std::mem::take(&mut self.flights).into_vec();
        flights.retain(|Reverse(flight)| flight.at < now + Duration::from_millis(20));
        self.flights = flights.into();
        for road in self.roads.values_mut() {
            road.cut_until = Duration::ZERO;
            road.busy_until = road.busy_until.min(now);
            road.last = road.last.min(now);
            if !road.stalled_until.is_zero() {
                road.stalled_until = now;
            }
        }
    }
}
