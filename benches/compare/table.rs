//! The outcomes as a table to read.

use std::io::{self, Write};

use super::measure::{Outcome, Unit};

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
    Ok(())
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
        Unit::Allocations => format!("{figure:.4}"),
    }
}
