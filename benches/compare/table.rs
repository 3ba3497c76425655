//! The outcomes as a table to read.

use std::io::{self, Write};

use super::measure::{Chapter, Outcome, Unit};
use super::rows::RAW;

/// Writes the outcomes, one line for each contender the library is compared with.
pub fn write(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    writeln!(
        out,
        "{:<44} {:>12}  {:<24} {:>12} {:>7}  spread of the ratio",
        "", "raft-cluster", "against", "", "ratio"
    )?;
    for outcome in outcomes {
        let unit = outcome.unit;
        let library = show(unit, outcome.library.median);
        write!(out, "{:<44} {library:>12}", outcome.name)?;
        if outcome.others.is_empty() {
            writeln!(out)?;
        }
        for (line, other) in outcome.others.iter().enumerate() {
            if line > 0 {
                write!(out, "{:<44} {:>12}", "", "")?;
            }
            let figure = show(unit, other.samples.median);
            let (low, high) = other.spread;
            let ratio = other.ratio;
            writeln!(out, "  {:<24} {figure:>12} {ratio:>7.2}  {low:.2} to {high:.2}", other.name)?;
        }
    }
    write_shares(out, outcomes)
}

/// Writes how the deliveries per second hold as the peers become more: each as a part of the most.
fn write_shares(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    let outcomes: Vec<_> = outcomes.iter().filter(|o| o.chapter == Chapter::Peers).collect();
    if outcomes.len() < 2 {
        return Ok(());
    }
    write!(out, "\n{:<44}", "peers, and which part of the most is reached")?;
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
    write!(out, "\n{name:<44}")?;
    medians.try_for_each(|median| write!(out, " {:>6.2}", median / most))
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
