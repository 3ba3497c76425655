//! The library beside libzmq used the plain way, both under the same traffic:
//! `cargo bench --bench compare`.
//!
//! Contenders are measured in turns, A B A B and so on, each time by a new process; what is shown
//! are the medians, their ratio, and how far the ratios of the single turns lie apart. All servers
//! of a contender live in that process, are connected over TCP on loopback on ports that the system
//! hands out, and send the same number of messages of the same size; receivers check the number and
//! the length of every one. The library runs with its defaults and all its guarantees, and must
//! have had every envelope acknowledged at the end. Connecting is timed for nobody.

mod compare {
    pub mod absent;
    pub mod batched;
    pub mod channels;
    pub mod footprint;
    pub mod latency;
    pub mod leader;
    pub mod measure;
    pub mod picture;
    pub mod rates;
    pub mod rows;
    pub mod table;
    pub mod tcp;
}
#[path = "leader/pattern.rs"]
mod pattern;
mod support;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Parser, value_parser};

use compare::measure::{Clock, Outcome, Row, measure};
use compare::rows::Effort;
use compare::{footprint, picture, rows, table};
use support::Result;

/// Where the pictures in `docs/performance.md` are.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches");

/// Compares the library with libzmq used the plain way.
#[derive(Debug, Parser)]
struct Args {
    /// Only the rows whose name contains this
    #[arg(long, value_name = "FILTER", default_value = "")]
    rows: String,
    /// How often each contender has its turn
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = value_parser!(u16).range(1..))]
    pairs: u16,
    /// How long one run lasts, roughly, with the fastest contender
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
    /// Which time deliveries per second are counted by
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    clock: Clock,
    /// JSON on stdout instead of the table
    #[arg(long)]
    json: bool,
    /// Where to draw the pictures whose rows have been measured
    #[arg(long, value_name = "FOLDER", default_value = PICTURES)]
    pictures: PathBuf,
    /// Measure one contender of one row, once, and tell the figure
    #[arg(long, hide = true, num_args = 2, value_names = ["ROW", "CONTENDER"])]
    run: Option<Vec<usize>>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let rows = rows(&args);
    if let Some(&[row, contender]) = args.run.as_deref() {
        let row = rows.get(row).ok_or("there is no such row")?;
        for figure in row.run(contender)? {
            writeln!(io::stdout(), "{figure}")?;
        }
        return Ok(());
    }
    let outcomes = outcomes(&args, rows)?;
    if args.clock == Clock::Wall {
        picture::draw_speed(&args.pictures.join("compare.svg"), &outcomes)?;
        picture::draw_rates(&args.pictures.join("rates.svg"), &outcomes)?;
    }
    if args.json {
        serde_json::to_writer_pretty(io::stdout(), &outcomes)?;
        return Ok(());
    }
    table::write(&mut io::stdout(), &outcomes)?;
    Ok(())
}

fn rows(args: &Args) -> Vec<Row> {
    let mut rows = rows::all(Effort { seconds: args.seconds, clock: args.clock });
    rows.retain(|row| row.name.contains(&args.rows));
    rows
}

fn outcomes(args: &Args, rows: Vec<Row>) -> Result<Vec<Outcome>> {
    if rows.is_empty() {
        return Err(format!("no row has a name that contains {:?}", args.rows).into());
    }
    if !footprint::tells_resident() {
        writeln!(io::stderr(), "no row for the memory: only Linux tells how much is resident")?;
    }
    let libzmq = raft_cluster::libzmq();
    if !libzmq.curve {
        writeln!(io::stderr(), "no rows with keys: this is {libzmq} (see .cargo/curve.toml)")?;
    }
    let rows: Vec<_> = rows.into_iter().enumerate().collect();
    let mut outcomes = Vec::new();
    for chapter in rows.chunk_by(|(_, a), (_, b)| a.chapter == b.chapter) {
        outcomes.extend(measure(chapter, args.pairs)?);
    }
    Ok(outcomes)
}
