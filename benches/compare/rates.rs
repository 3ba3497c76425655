//! Round trips at a fixed rate, between rest and full speed, as services have them.

use std::fmt;
use std::hint;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

use super::measure::{Figure, Unit, processor_seconds, rounded};
use crate::support::traffic::or_give_up;
use crate::support::{Contender, Layout, Receipt, Receive, Result, Stations, Transmit};

/// Two of the figures, by their names.
pub const WORKED: &str = "processor time each";
pub const MEDIAN: &str = "median";

/// One more, which the leader's rows have, too.
pub const SWITCHES: &str = "context switches each";

/// What a run tells.
pub const FIGURES: &[Figure] = &[
    Figure { name: WORKED, unit: Unit::Seconds },
    Figure { name: MEDIAN, unit: Unit::Seconds },
    Figure { name: "99th percentile", unit: Unit::Seconds },
    Figure { name: "99.9th percentile", unit: Unit::Seconds },
    Figure { name: SWITCHES, unit: Unit::Number },
];

/// The size of the messages, in bytes.
pub const SIZE: usize = 64;

/// How many seconds of round trips are not counted, for the first ones find everybody asleep.
pub const WARM_UP: f64 = 0.2;

/// When the first server sends to the others, which send back what they get.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// In messages a second.
    pub rate: u32,
    pub sender: Sender,
    pub peers: usize,
}

/// What the sender does until the next message is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Sleeps,
    /// It keeps its core busy. That time does not count.
    Spins,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, sender, peers } = self;
        write!(f, "{} k round trips/s", rate / 1_000)?;
        if *peers > 1 {
            write!(f, " with {peers} peers")?;
        }
        match sender {
            Sender::Sleeps => Ok(()),
            Sender::Spins => write!(f, ", sender busy"),
        }
    }
}

/// The [`FIGURES`] of a contender that goes at this pace for so long. Times are counted from when a
/// message was *due*, so that what holds up the sender counts in full.
pub fn measure<C: Contender>(contender: &C, pace: Pace, seconds: f64) -> Result<Vec<f64>> {
    let servers = pace.peers + 1;
    let mut stations = contender.connect(&Layout { servers, senders: servers, size: SIZE })?;
    let mut next = 0;
    go::<C>(&mut stations, pace, &mut next, messages(pace.rate, WARM_UP))?;
    let meter = Meter::start()?;
    let count = messages(pace.rate, seconds);
    let Trips { times, spun } = go::<C>(&mut stations, pace, &mut next, count)?;
    let [worked, switches] = meter.for_each(times.len(), spun)?;
    contender.disconnect(stations)?;
    let [median, hundredth, thousandth] = percentiles(&times);
    Ok(vec![worked, median, hundredth, thousandth, switches])
}

/// What this process takes of the processors from some time on.
pub struct Meter {
    /// In seconds.
    worked: f64,
    switches: i64,
}

impl Meter {
    pub fn start() -> Result<Self> {
        Ok(Self { worked: processor_seconds()?, switches: context_switches()? })
    }

    /// How many seconds all threads have worked since then, and how many context switches there
    /// were, for each of so many. What was `spun` does not count.
    pub fn for_each(&self, count: u64, spun: Duration) -> Result<[f64; 2]> {
        let worked = processor_seconds()? - self.worked - spun.as_secs_f64();
        let switches = context_switches()? - self.switches;
        Ok([worked, switches as f64].map(|figure| figure / count as f64))
    }
}

/// An empty one of times, in nanoseconds.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?)
}

/// Takes note of the time that has passed since something was due.
pub fn record_since(due: Instant, times: &mut Histogram<u64>) {
    times.saturating_record(as_nanos(due.elapsed()));
}

/// The median, and what 99 of a hundred and 999 of a thousand do not exceed, in seconds.
pub fn percentiles(times: &Histogram<u64>) -> [f64; 3] {
    [0.5, 0.99, 0.999].map(|part| Duration::from_nanos(times.value_at_quantile(part)).as_secs_f64())
}

/// What came of some round trips.
struct Trips {
    /// In nanoseconds.
    times: Histogram<u64>,
    /// What the sender spent on being busy.
    spun: Duration,
}

/// Goes there and back so many times. Numbers go on where they have stopped.
fn go<C: Contender>(
    stations: &mut Stations<C>,
    pace: Pace,
    next: &mut u64,
    count: u64,
) -> Result<Trips> {
    let (near, far) = stations.split_first_mut().ok_or("there is no server")?;
    let first = *next;
    *next += count;
    let period = Duration::from_secs(1) / pace.rate;
    let start = Instant::now();
    let due = |number: u64| start + Duration::from_nanos(as_nanos(period) * (number - first));
    thread::scope(|scope| {
        for peer in far {
            scope.spawn(move || {
                or_give_up((first..first + count).try_for_each(|_| {
                    let number = peer.receiver.receive()?.number;
                    peer.transmitter.transmit_to_first(number)
                }));
            });
        }
        let transmitter = &mut near.transmitter;
        let sender = scope.spawn(move || {
            let mut spun = Duration::ZERO;
            for number in first..first + count {
                spun += or_give_up(pace.sender.wait_until(due(number)));
                or_give_up(transmitter.transmit(number));
            }
            spun
        });
        let mut times = histogram()?;
        for _ in 0..count * pace.peers as u64 {
            let Receipt { number, length, .. } = or_give_up(near.receiver.receive());
            if length != SIZE || number < first {
                return Err("something else came back".into());
            }
            record_since(due(number), &mut times);
        }
        let spun = sender.join().map_err(|_| "the sender has panicked")?;
        Ok(Trips { times, spun })
    })
}

impl Sender {
    /// Waits, and tells how long it worked meanwhile.
    fn wait_until(self, due: Instant) -> Result<Duration> {
        if self == Self::Sleeps {
            sleep_until(due);
            return Ok(Duration::ZERO);
        }
        let worked = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
        let before = worked()?;
        while Instant::now() < due {
            hint::spin_loop();
        }
        Ok(worked()? - before)
    }
}

pub fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// How many messages are sent in that time, at so many a second.
pub fn messages(rate: u32, seconds: f64) -> u64 {
    rounded(f64::from(rate) * seconds)
}

pub fn as_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn context_switches() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(usage.voluntary_context_switches() + usage.involuntary_context_switches())
}
