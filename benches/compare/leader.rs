//! A leader at work: entries at a fixed rate to two followers, and heartbeats between them.
//!
//! One thread sends both, since a socket of libzmq's is for one thread. Every second has twenty
//! heartbeats only, and so what few of a thousand exceed is, in short runs, the longest of all.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use raft_cluster::Idle;

use super::measure::{Figure, Unit};
use super::rates::{
    Meter, SWITCHES, WARM_UP, WORKED, as_nanos, histogram, messages, percentiles, record_since,
    sleep_until,
};
use crate::pattern::{ENTRY, HEARTBEAT, HEARTBEAT_SIZE};
use crate::support::library::{Incoming, Library, Outgoing, WithIdle};
use crate::support::raw::Outlets;
use crate::support::traffic::or_give_up;
use crate::support::{
    Contender, Layout, Receipt, Receive, Result, Station, StationOf, Stations, Transmit,
};

/// What a run tells. Processor time and context switches are those of all three servers for one
/// entry, which goes to both followers.
pub const FIGURES: &[Figure] = &[
    Figure { name: WORKED, unit: Unit::Seconds },
    Figure { name: "entries, median", unit: Unit::Seconds },
    Figure { name: "entries, 99th percentile", unit: Unit::Seconds },
    Figure { name: "entries, 99.9th percentile", unit: Unit::Seconds },
    Figure { name: "heartbeats, median", unit: Unit::Seconds },
    Figure { name: "heartbeats, 99th percentile", unit: Unit::Seconds },
    Figure { name: "heartbeats, 99.9th percentile", unit: Unit::Seconds },
    Figure { name: SWITCHES, unit: Unit::Number },
];

const FOLLOWERS: usize = 2;

/// Where a leader sends to its followers.
pub trait Lead: Send {
    /// To all of them.
    fn send_heartbeat(&mut self, number: u64) -> Result<()>;

    /// To each of them by itself: in a real cluster they are not equally far.
    fn send_entry(&mut self, number: u64) -> Result<()>;
}

impl Lead for Outlets {
    fn send_heartbeat(&mut self, number: u64) -> Result<()> {
        self.transmit_part(number, HEARTBEAT_SIZE)
    }

    fn send_entry(&mut self, number: u64) -> Result<()> {
        self.transmit(number)
    }
}

/// The library, with an outbox for each follower besides the one for all.
#[derive(Clone, Copy, Debug)]
pub struct OutboxEach(pub Idle);

pub struct Outboxes {
    all: Outgoing,
    each: Vec<Outgoing>,
}

impl Contender for OutboxEach {
    type Transmitter = Outboxes;
    type Receiver = Incoming;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        let with_outboxes = |station: StationOf<Library>| {
            let Station { transmitter: all, receiver } = station;
            let server = &receiver.server;
            let each = server.peers().into_iter().filter_map(|peer| all.outbox_to(server, peer));
            let each = each.collect();
            Station { transmitter: Outboxes { all, each }, receiver }
        };
        Ok(WithIdle(self.0).connect(layout)?.into_iter().map(with_outboxes).collect())
    }

    fn disconnect(&self, stations: Stations<Self>) -> Result<()> {
        let without_outboxes = |station: StationOf<Self>| {
            let Station { transmitter, receiver } = station;
            Station { transmitter: transmitter.all, receiver }
        };
        Library.disconnect(stations.into_iter().map(without_outboxes).collect())
    }
}

impl Transmit for Outboxes {
    fn transmit(&mut self, number: u64) -> Result<()> {
        self.all.transmit(number)
    }
}

/// Everything waits for room, also a heartbeat: otherwise one could come back, and a follower would
/// wait for it.
impl Lead for Outboxes {
    fn send_heartbeat(&mut self, number: u64) -> Result<()> {
        self.all.transmit_part(number, HEARTBEAT_SIZE)
    }

    fn send_entry(&mut self, number: u64) -> Result<()> {
        self.each.iter_mut().try_for_each(|outbox| outbox.transmit(number))
    }
}

/// The [`FIGURES`] of a contender whose leader sends so many entries a second to each follower.
/// Delays are one way, and from when something was *due*.
pub fn measure<C>(contender: &C, rate: u32, seconds: f64) -> Result<Vec<f64>>
where
    C: Contender<Transmitter: Lead>,
{
    let mut stations = contender.connect(&Layout::broadcast(FOLLOWERS, ENTRY))?;
    go::<C>(&mut stations, Agenda::new(rate, WARM_UP))?;
    let meter = Meter::start()?;
    let agenda = Agenda::new(rate, seconds);
    let delays = go::<C>(&mut stations, agenda)?;
    let [worked, switches] = meter.for_each(agenda.entries, Duration::ZERO)?;
    contender.disconnect(stations)?;
    let (entries, heartbeats) = (percentiles(&delays.entries), percentiles(&delays.heartbeats));
    Ok([&[worked][..], &entries, &heartbeats, &[switches]].concat())
}

/// What the leader is to send, and when.
#[derive(Clone, Copy, Debug)]
struct Agenda {
    start: Instant,
    /// From one entry to the next.
    period: Duration,
    entries: u64,
    heartbeats: u64,
    entries_per_heartbeat: u64,
}

impl Agenda {
    /// From now on, for so long.
    fn new(rate: u32, seconds: f64) -> Self {
        let period = Duration::from_secs(1) / rate;
        let entries = messages(rate, seconds);
        let entries_per_heartbeat = as_nanos(HEARTBEAT).div_ceil(as_nanos(period));
        let heartbeats = entries.div_ceil(entries_per_heartbeat);
        Self { start: Instant::now(), period, entries, heartbeats, entries_per_heartbeat }
    }

    fn entry_due(&self, number: u64) -> Instant {
        self.start + Duration::from_nanos(as_nanos(self.period) * number)
    }

    /// In the middle between two entries: what makes these does not know of the leader's clock.
    fn heartbeat_due(&self, number: u64) -> Instant {
        self.entry_due(number * self.entries_per_heartbeat) + self.period / 2
    }

    fn send(&self, leader: &mut impl Lead) -> Result<()> {
        for number in 0..self.entries {
            sleep_until(self.entry_due(number));
            leader.send_entry(number)?;
            if number % self.entries_per_heartbeat == 0 {
                let heartbeat = number / self.entries_per_heartbeat;
                sleep_until(self.heartbeat_due(heartbeat));
                leader.send_heartbeat(heartbeat)?;
            }
        }
        Ok(())
    }

    /// Receives all of it, each kind in order.
    fn receive(&self, follower: &mut impl Receive) -> Result<Delays> {
        let mut delays = Delays::new()?;
        for _ in 0..self.entries + self.heartbeats {
            let Receipt { number, length, .. } = follower.receive()?;
            let (due, times) = match length {
                ENTRY => (self.entry_due(number), &mut delays.entries),
                HEARTBEAT_SIZE => (self.heartbeat_due(number), &mut delays.heartbeats),
                _ => return Err(format!("{length} bytes came from the leader").into()),
            };
            if number != times.len() {
                return Err(format!("{} was due, and {number} came", times.len()).into());
            }
            record_since(due, times);
        }
        Ok(delays)
    }
}

/// How late everything was that came in.
struct Delays {
    entries: Histogram<u64>,
    heartbeats: Histogram<u64>,
}

impl Delays {
    fn new() -> Result<Self> {
        Ok(Self { entries: histogram()?, heartbeats: histogram()? })
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.entries.add(&other.entries)?;
        Ok(self.heartbeats.add(&other.heartbeats)?)
    }
}

/// Has the leader send what is on the agenda, and tells the delays at both followers.
fn go<C>(stations: &mut Stations<C>, agenda: Agenda) -> Result<Delays>
where
    C: Contender<Transmitter: Lead>,
{
    let (leader, followers) = stations.split_first_mut().ok_or("there is no leader")?;
    thread::scope(|scope| {
        let receive = |follower: &mut StationOf<C>| or_give_up(agenda.receive(follower));
        let followers: Vec<_> =
            followers.iter_mut().map(|follower| scope.spawn(move || receive(follower))).collect();
        or_give_up(agenda.send(&mut leader.transmitter));
        let mut all = Delays::new()?;
        for follower in followers {
            all.add(&follower.join().map_err(|_| "a follower has panicked")?)?;
        }
        Ok(all)
    })
}
