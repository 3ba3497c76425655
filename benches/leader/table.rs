//! What to measure, and the table of it.

use std::io::{self, Write};
use std::time::Duration;

use clap::Parser;
use nix::unistd::Uid;

use super::Result;
use super::cluster::Line;
use super::follower::{Arrivals, Notes, follow};
use super::rows::{self, Fault, Outcome, Returned, Row, Way};
use super::speed::{self, Comparison};

const STUCK: &str = "entries/s to 2 without and with 3 stuck";
const IDLE: &str = "entries/s to 2 without and with 64 idle outboxes";
const BUSY: &str = "entries/s to 2 by one outbox and by 64 in turns";
const ROUND_TRIP: &str = "round trip in µs, idle and beside a stream of 64 KiB";

/// Measures what the healthy follower of a leader notices of the other one.
#[derive(Debug, Parser)]
struct Args {
    /// Only the rows whose name contains this
    #[arg(long, value_name = "FILTER", default_value = "")]
    rows: String,
    /// How long it counts, from when something has gone wrong
    #[arg(long, value_name = "S", default_value_t = 8.0)]
    seconds: f64,
    /// Be a follower
    #[arg(long, hide = true)]
    follow: Option<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

pub fn run() -> Result<()> {
    let args = Args::parse();
    if let Some(role) = &args.follow {
        return follow(role);
    }
    let lasts = Duration::try_from_secs_f64(args.seconds)?;
    write_faults(&args.rows, lasts)?;
    write_speeds(&args.rows, lasts / 4)
}

fn write_faults(filter: &str, lasts: Duration) -> Result<()> {
    let mut rows = rows::all();
    rows.retain(|row| row.name.contains(filter));
    if !Uid::effective().is_root() {
        for row in rows.iter().filter(|row| row.line != Line::Loopback) {
            writeln!(io::stderr(), "left out, as it takes root: {}", row.name)?;
        }
        rows.retain(|row| row.line == Line::Loopback);
    }
    if rows.is_empty() {
        return Ok(());
    }
    println!("Intervals are the longest, in ms.\n");
    println!(
        "| | entries are | heartbeats at 2 | entries at 2 | entries/s at 2 | back from 2 | \
         heartbeats at 3 | back from 3 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for row in &rows {
        for way in Way::ALL {
            let outcome = row.measure(way, lasts)?;
            write_outcome(row, way, &outcome);
        }
    }
    println!();
    Ok(())
}

fn write_outcome(row: &Row, way: Way, outcome: &Outcome) {
    let Outcome { healthy, faulty, returned } = outcome;
    let [from_healthy, from_faulty] = returned.map(count);
    let rate = healthy.entries.number as f64 / healthy.seconds;
    let at_faulty = faulty.as_ref().map_or("–".to_owned(), |notes| faulty_cell(row, notes));
    println!(
        "| {} | {} | {} | {} | {rate:.0} | {from_healthy} | {at_faulty} | {from_faulty} |",
        row.name,
        way.name(),
        interval(healthy.heartbeats),
        interval(healthy.entries),
    );
}

fn faulty_cell(row: &Row, notes: &Notes) -> String {
    let interval = interval(notes.heartbeats);
    match notes.snapshot {
        _ if row.fault != Fault::TakesSnapshot => interval,
        Some(seconds) => format!("{interval}; snapshot in {seconds:.1} s"),
        None => format!("{interval}; no snapshot"),
    }
}

fn interval(arrivals: Arrivals) -> String {
    format!("{:.0}", arrivals.longest_interval * 1e3)
}

fn count(Returned { heartbeats, entries }: Returned) -> String {
    format!("{heartbeats} + {entries}")
}

fn write_speeds(filter: &str, lasts: Duration) -> Result<()> {
    type Measure = fn(Duration) -> Result<Comparison>;
    let rates: [(&str, Measure); 3] = [
        (STUCK, speed::beside_a_stuck_one),
        (IDLE, speed::beside_idle_outboxes),
        (BUSY, speed::by_many_outboxes),
    ];
    for (name, measure) in rates.into_iter().filter(|(name, _)| name.contains(filter)) {
        let Comparison { without, with } = measure(lasts)?;
        println!("{name}: {without:.0}, {with:.0}, ratio {:.2}", with / without);
    }
    if ROUND_TRIP.contains(filter) {
        let Comparison { without, with } = speed::beside_large_ones()?;
        let ratio = with / without;
        println!("{ROUND_TRIP}: {:.0}, {:.0}, ratio {ratio:.2}", without * 1e6, with * 1e6);
    }
    Ok(())
}
