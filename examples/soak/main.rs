//! Five servers, each a process of its own, in random traffic and random faults for as long as one
//! likes: `cargo run --release --example soak -- --minutes 30`.
//!
//! Connections are reset, closed, stalled, delayed, slowed down, swallowed and cut off by a proxy;
//! processes are stopped, continued, killed and started again; servers take each other out of their
//! lists and put each other back, or find each other by another way; and where there are the rights
//! for a network namespace, DNS fails. At the end everything heals, every server says a last word,
//! and the audit decides on the exit status: between any two processes nothing may have been lost,
//! repeated or out of order, but what the receiver was told it had missed, and no process may have
//! taken more memory than its bounds allow.
//!
//! Where one of the two had the other out of its list, there may be a gap. Yet what was
//! acknowledged before must have come: each message says how much of what its receiver was sent has
//! been. And what was not must have come back to the sender, by the time it puts the other one back.

mod auditor;
mod child;
mod crew;
mod faults;
mod lists;
mod memory;
mod names;
mod speaker;
mod stamp;
mod standing;
mod tally;
#[path = "../shared"]
mod shared {
    pub mod process;
}
#[path = "../../tests/support"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support {
    pub mod addresses;
    pub mod dns;
    mod pipe;
    pub mod proxy;
    mod waits;
}

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crew::Crew;
use faults::Faults;
use support::dns::{Dns, in_network_with_dns};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How many servers there are.
pub(crate) const SERVERS: usize = 5;

/// How often the live line changes, and the processes are looked after, at least.
pub(crate) const REFRESH: Duration = Duration::from_millis(250);

/// How often it is said how things stand where no line can live.
const MINUTE: Duration = Duration::from_secs(60);

/// How long the servers have to hear each other's last words.
const ENDING: Duration = Duration::from_secs(60);

/// Five servers in random traffic and random faults.
#[derive(Debug, Parser)]
struct Args {
    /// How long it takes.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// What all that is random comes from; drawn if it is not given.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// This process is one of the servers.
    #[arg(long, hide = true)]
    role: Option<String>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(role) = &args.role {
        child::play(&serde_json::from_str(role)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let duration = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    writeln!(io::stdout(), "seed {seed}")?;
    let with_dns = in_network_with_dns(|dns| soak(seed, duration, Some(dns)));
    with_dns.unwrap_or_else(|reason| {
        writeln!(io::stdout(), "no server has a host name, and DNS does not fail: {reason}")?;
        soak(seed, duration, None)
    })
}

/// Runs it, and says what came of it.
fn soak(seed: u64, duration: Duration, dns: Option<&Dns>) -> Result<ExitCode> {
    let mut crew = Crew::start(seed, dns)?;
    let mut faults = Faults::new(seed);
    carry_on(&mut crew, &mut faults, duration)?;
    faults.heal(&mut crew)?;
    crew.reunite(Instant::now() + ENDING)?;
    crew.finish(Instant::now() + ENDING)?;
    let audit = crew.audit();
    writeln!(io::stdout(), "{faults}\n{audit}")?;
    Ok(if audit.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lets the servers run, and makes their lives hard.
fn carry_on(crew: &mut Crew<'_>, faults: &mut Faults, duration: Duration) -> Result<()> {
    let started = Instant::now();
    let line = ProgressBar::new(duration.as_secs());
    line.set_style(ProgressStyle::with_template("{elapsed_precise} of {len} s  {msg}")?);
    let mut said = Duration::ZERO;
    while started.elapsed() < duration {
        let next = faults.next_at().min(Instant::now() + REFRESH);
        crew.listen_until(next)?;
        faults.cause_due(crew)?;
        let standing = format!("{}  {faults}", crew.audit().line());
        if line.is_hidden() && started.elapsed() > said + MINUTE {
            said += MINUTE;
            writeln!(io::stdout(), "{} min: {standing}", said.as_secs() / 60)?;
        }
        line.set_position(started.elapsed().as_secs());
        line.set_message(standing);
    }
    line.finish_and_clear();
    Ok(())
}
