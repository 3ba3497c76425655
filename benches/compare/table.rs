//! The outcomes as a table to read.

use std::io::{self, Write};
use std::thread;

use super::measure::{Chapter, Outcome, Unit};
use super::rates::MEDIAN;
use super::rows::{AT_REST, RAW, TCP};

/// How wide the column of the rows' names is.
const NAME: usize = 54;

/// How many times as long as over blocking TCP a round trip may take at rest, where each of the
/// four threads that spin has a core.
const BOUND: f64 = 1.5;
const BOUND_CORES: usize = 4;

/// Writes the outcomes, one line for each contender the library is compared with.
pub fn write(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    writeln!(
        out,
        "{:<NAME$} {:>12}  {:<24} {:>12} {:>7}  spread of the ratio",
        "", "raft-cluster", "against", "", "ratio"
    )?;
    for outcome in outcomes {
        let unit = outcome.unit;
        let library = show(unit, outcome.library.median);
        write!(out, "{:<NAME$} {library:>12}", outcome.name)?;
        if outcome.others.is_empty() {
            writeln!(out)?;
        }
        for (line, other) in outcome.others.iter().enumerate() {
            if line > 0 {
                write!(out, "{:<NAME$} {:>12}", "", "")?;
            }
            let figure = show(unit, other.samples.median);
            let (low, high) = other.spread;
            let ratio = other.ratio;
            writeln!(out, "  {:<24} {figure:>12} {ratio:>7.2}  {low:.2} to {high:.2}", other.name)?;
        }
    }
    write_shares(out, outcomes)?;
    write_bound(out, outcomes)
}

/// Writes how the deliveries per second hold as the peers become more: each as a part of the most.
fn write_shares(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    let outcomes: Vec<_> = outcomes.iter().filter(|o| o.chapter == Chapter::Peers).collect();
    if outcomes.len() < 2 {
        return Ok(());
    }
    write!(out, "\n{:<NAME$}", "peers, and which part of the most is reached")?;
    outcomes.iter().try_for_each(|outcome| write!(out, " {:>6}", outcome.at))?;
    let libzmq = outcomes.iter().flat_map(|outcome| &outcome.others);
    write_share(out, "raft-cluster", outcomes.iter().map(|outcome| outcome.library.median))?;
    write_share(out, RAW, libzmq.map(|other| other.samples.median))?;
    writeln!(out)
}

fn write_share(
    out: &mut impl Write,
    name: &str,
    mut medians: impl Iterator<Item = f64> + Clone,
) -> io::Result<()> {
    let most = medians.clone().fold(0.0, f64::max);
    write!(out, "\n{name:<NAME$}")?;
    medians.try_for_each(|median| write!(out, " {:>6.2}", median / most))
}

/// Writes how a round trip at rest stands to its bound, and whether this machine is one it is for.
fn write_bound(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    let median = format!("{AT_REST}, {MEDIAN}");
    let Some(outcome) = outcomes.iter().find(|outcome| outcome.name == median) else {
        return Ok(());
    };
    let Some(tcp) = outcome.others.iter().find(|other| other.name == TCP) else { return Ok(()) };
    let cores = thread::available_parallelism()?.get();
    let verdict = match tcp.ratio <= BOUND {
        _ if cores < BOUND_CORES => "it is not for this machine",
        true => "it is kept",
        false => "it is broken",
    };
    writeln!(
        out,
        "\n{AT_REST}: {:.2} times {TCP} (cores: {cores}). The bound is {BOUND} times, on \
         {BOUND_CORES} cores or more: {verdict}.",
        tcp.ratio
    )
}

/// A figure with its unit.
pub fn show(unit: Unit, figure: f64) -> String {
    match unit {
        Unit::DeliveriesPerSecond if figure < 1e4 => format!("{figure:.0} /s"),
        Unit::DeliveriesPerSecond if figure < 1e6 => format!("{:.1} k/s", figure / 1e3),
        Unit::DeliveriesPerSecond => format!("{:.2} M/s", figure / 1e6),
        Unit::Seconds if figure < 1e-3 => format!("{:.0} µs", figure * 1e6),
        Unit::Seconds => format!("{:.2} ms", figure * 1e3),
        Unit::Bytes => format!("{:.1} MiB", figure / f64::from(1 << 20)),
        Unit::Number => format!("{figure:.4}"),
    }
}
