//! How contenders are measured against each other: in turns, each time by a process of its own.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;

use crate::support::Result;

/// What is compared under one name: one figure, or several that a run gives together.
pub struct Row {
    pub chapter: Chapter,
    pub name: String,
    pub figures: &'static [Figure],
    /// Where it lies on the axis of its chapter's picture, if that has one.
    pub at: usize,
    pub library: Run,
    pub others: Vec<Contestant>,
}

/// One figure of a row.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// What stands behind the row's name, if there are several.
    pub name: &'static str,
    pub unit: Unit,
}

/// Measures something once: all figures of a row.
pub type Run = Box<dyn Fn() -> Result<Vec<f64>>>;

/// Whom the library is compared with.
pub struct Contestant {
    pub name: &'static str,
    pub run: Run,
}

/// Rows that are measured together: each turn goes through all of them, so that a disturbance of
/// the machine meets them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chapter {
    /// Broadcasts, by the size of the message.
    Sizes,
    /// Broadcasts, by the number of peers.
    Peers,
    /// Other traffic at full speed.
    Traffic,
    /// Broadcasts of servers that have keys.
    Keys,
    /// How long a message is on its way.
    Latency,
    /// Round trips at a fixed rate, by that rate.
    Rates,
    /// What it takes of the machine.
    Footprint,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    DeliveriesPerSecond,
    Seconds,
    Bytes,
    /// A number without a unit.
    Number,
}

/// Which time full speed is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// What passes.
    Wall,
    /// What all processors together spend on this process. Other work on the machine disturbs it
    /// less.
    Processor,
}

impl Clock {
    /// How many seconds the traffic takes, which knows how long it lasted.
    pub fn seconds(self, traffic: impl FnOnce() -> Duration) -> Result<f64> {
        match self {
            Self::Wall => Ok(traffic().as_secs_f64()),
            Self::Processor => {
                let before = processor_seconds()?;
                traffic();
                Ok(processor_seconds()? - before)
            }
        }
    }
}

/// What all threads of this process have worked.
pub fn processor_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let times = [usage.user_time(), usage.system_time()];
    Ok(times.iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6).sum())
}

/// What came of a row.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub chapter: Chapter,
    pub name: String,
    pub unit: Unit,
    #[serde(skip)]
    pub at: usize,
    pub library: Samples,
    pub others: Vec<Comparison>,
}

/// The figures of one contender, in the order they were measured.
#[derive(Clone, Debug, Serialize)]
pub struct Samples {
    pub median: f64,
    pub samples: Vec<f64>,
}

/// The library beside another: its figure divided by the other's.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub name: &'static str,
    #[serde(flatten)]
    pub samples: Samples,
    /// Of the medians.
    pub ratio: f64,
    /// The lowest and the highest ratio of one turn.
    pub spread: (f64, f64),
}

/// Measures all rows of one chapter, with their places among all rows, `turns` times in turns.
pub fn measure(rows: &[(usize, Row)], turns: u16) -> Result<Vec<Outcome>> {
    let mut runs: Vec<Vec<Vec<Vec<f64>>>> =
        rows.iter().map(|(_, row)| vec![Vec::new(); row.others.len() + 1]).collect();
    for turn in 1..=turns {
        for ((place, row), runs) in rows.iter().zip(&mut runs) {
            writeln!(io::stderr(), "turn {turn} of {turns}: {}", row.name)?;
            for (contender, runs) in runs.iter_mut().enumerate() {
                runs.push(run_apart(*place, contender)?);
            }
        }
    }
    Ok(rows.iter().zip(runs).flat_map(|((_, row), runs)| row.outcomes(&runs)).collect())
}

/// Has a contender measured by a new process: what another has left in the allocator would be a
/// help to it, or a burden.
fn run_apart(row: usize, contender: usize) -> Result<Vec<f64>> {
    let output = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .args(["--run", &row.to_string(), &contender.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the process that measured ended with {}", output.status).into());
    }
    let figures = String::from_utf8(output.stdout)?;
    Ok(figures.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
}

impl Row {
    /// Measures a contender once: the library, which is the first, or one of the others.
    pub fn run(&self, contender: usize) -> Result<Vec<f64>> {
        let Some(other) = contender.checked_sub(1) else { return (self.library)() };
        let other = self.others.get(other).ok_or("there is no such contender")?;
        (other.run)()
    }

    /// What came of each figure, from the runs of each contender.
    fn outcomes(&self, runs: &[Vec<Vec<f64>>]) -> Vec<Outcome> {
        let outcome = |(place, figure): (usize, &Figure)| {
            let of_figure = |runs: &Vec<Vec<f64>>| {
                runs.iter().filter_map(|run| run.get(place).copied()).collect()
            };
            let mut samples = runs.iter().map(|runs| Samples::new(of_figure(runs)));
            let library = samples.next().unwrap_or_else(|| Samples::new(Vec::new()));
            let others = self.others.iter().zip(samples);
            let others =
                others.map(|(other, samples)| library.beside(other.name, samples)).collect();
            let name = match figure.name {
                "" => self.name.clone(),
                name => format!("{}, {name}", self.name),
            };
            let (chapter, unit, at) = (self.chapter, figure.unit, self.at);
            Outcome { chapter, name, unit, at, library, others }
        };
        self.figures.iter().enumerate().map(outcome).collect()
    }
}

impl Samples {
    fn new(samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        Self { median: percentile(&mut sorted, 50), samples }
    }

    fn beside(&self, name: &'static str, other: Self) -> Comparison {
        let ratios = self.samples.iter().zip(&other.samples).map(|(own, other)| own / other);
        let spread = ratios.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), ratio| {
            (low.min(ratio), high.max(ratio))
        });
        Comparison { name, ratio: self.median / other.median, spread, samples: other }
    }
}

/// So many messages, of which the last may be a part of one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of messages, which is what rounding is for"
)]
pub fn rounded(count: f64) -> u64 {
    count.ceil() as u64
}

/// The figure that so many of a hundred do not exceed: 50 is the median. NaN if there are none.
pub fn percentile(figures: &mut [f64], hundredths: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    figures.get((last * hundredths).div_ceil(100)).copied().unwrap_or(f64::NAN)
}
