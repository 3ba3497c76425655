//! How fast the leader is beside one that is stuck, and how soon a small message is there beside
//! large ones.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::after;

use super::Result;
use super::cluster::{Cluster, Line};
use super::follower::Order;
use super::pattern::ENTRY;
use super::traffic::{FAULTY, HEALTHY, PING, flood, flood_in_turns};
use raft_cluster::{Envelope, Event};

/// How often each of two that are compared has its turn.
const TURNS: usize = 5;

const ROUND_TRIPS: usize = 500;

/// What the small message is to overtake, in bytes.
const LARGE: usize = 64 << 10;

/// Two that are compared, each the median of its turns.
pub struct Comparison {
    pub without: f64,
    pub with: f64,
}

/// Measures both in turns.
fn compare(measure: impl Fn(bool) -> Result<f64>) -> Result<Comparison> {
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        figures[0].push(measure(false)?);
        figures[1].push(measure(true)?);
    }
    let [without, with] = figures.map(median);
    Ok(Comparison { without, with })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What is there besides the entries that the first server sends to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Nothing,
    /// The third server reads nothing.
    Stuck,
    /// Outboxes to the second server that nobody uses.
    Idle,
    /// The entries come by as many outboxes in turns.
    Busy,
}

/// How many further outboxes there are.
const OUTBOXES: usize = 64;

/// Entries per second from the first server to the second, without and with a third that is stuck.
pub fn beside_a_stuck_one(lasts: Duration) -> Result<Comparison> {
    compare(|stuck| rate(if stuck { Company::Stuck } else { Company::Nothing }, lasts))
}

/// The same without and with further outboxes that are idle.
pub fn beside_idle_outboxes(lasts: Duration) -> Result<Comparison> {
    compare(|idle| rate(if idle { Company::Idle } else { Company::Nothing }, lasts))
}

/// The same by one outbox and by many.
pub fn by_many_outboxes(lasts: Duration) -> Result<Comparison> {
    compare(|many| rate(if many { Company::Busy } else { Company::Nothing }, lasts))
}

fn rate(company: Company, lasts: Duration) -> Result<f64> {
    let Cluster { mailbox, server, mut healthy, mut faulty, _machines } =
        Cluster::start(Line::Loopback, None)?;
    thread::scope(|scope| {
        let to_faulty = server.outbox_to(FAULTY).ok_or("no such peer")?;
        if company == Company::Stuck {
            faulty.order(Order::StopReading)?;
            scope.spawn(move || flood(&to_faulty, FAULTY, ENTRY));
            while !matches!(server.events().recv()?, Event::Stalled(FAULTY)) {}
        }
        let many = matches!(company, Company::Idle | Company::Busy);
        let further =
            (0..if many { OUTBOXES } else { 0 }).filter_map(|_| server.outbox_to(HEALTHY));
        let further: Vec<_> = further.collect();
        let outboxes = match company {
            Company::Busy => further.clone(),
            _ => vec![mailbox.outbox.clone()],
        };
        scope.spawn(move || flood_in_turns(&outboxes, HEALTHY, ENTRY));
        after(lasts / 4).recv()?;
        healthy.report()?;
        after(lasts).recv()?;
        let notes = healthy.report();
        server.shutdown();
        let notes = notes?;
        Ok(notes.entries.number as f64 / notes.seconds)
    })
}

/// Seconds that a small message takes there and back by an outbox of its own, idle and beside a
/// stream of large ones.
pub fn beside_large_ones() -> Result<Comparison> {
    compare(round_trip)
}

fn round_trip(beside: bool) -> Result<f64> {
    let Cluster { mailbox, server, mut healthy, .. } = Cluster::start(Line::Loopback, None)?;
    thread::scope(|scope| {
        let small = server.outbox_to(HEALTHY).ok_or("no such peer")?;
        if beside {
            scope.spawn(|| flood(&mailbox.outbox, HEALTHY, LARGE));
        }
        let mut trips = Vec::new();
        for number in 0..ROUND_TRIPS {
            let sent = Instant::now();
            small.send(Envelope::to(HEALTHY, vec![7; PING]).with_id(i64::try_from(number)?))?;
            mailbox.inbox.recv()?;
            trips.push(sent.elapsed().as_secs_f64());
        }
        healthy.report()?;
        server.shutdown();
        Ok(median(trips))
    })
}
