//! Five servers, each a process of its own, are replaced one after the other while all of them send
//! and receive: `cargo --config .cargo/curve.toml run --release --example rolling`.
//!
//! Each new server has another pid, another address and another key. It is listed everywhere
//! (`Server::reconfigure`) before it starts; once all have heard all, the old one leaves in order
//! and is listed no more. In between a server that stays gets another key. With a libzmq without
//! CURVE there are no keys.
//!
//! In the end the audit decides on the exit status: each message between two processes has come
//! once and in order, or has come back to who sent it; no two that ran and listed each other heard
//! nothing of each other for a second; and nobody was taken for down or restarted.

mod auditor;
mod child;
mod crew;
mod listing;
mod load;
mod message;
mod pair;
mod roll;
mod speech;
mod stream;
mod verdict;
#[path = "../shared"]
mod shared {
    pub mod process;
}
#[path = "../../tests/support"]
mod support {
    pub mod addresses;
}

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use raft_cluster::libzmq;

use crew::Crew;
use verdict::Verdict;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How many servers there are, but for one more while one is replaced.
pub(crate) const SERVERS: u32 = 5;

/// Five servers are replaced one after the other, under load.
#[derive(Debug, Parser)]
struct Args {
    /// How many messages all servers together send in a second, about, as long as that is more than
    /// one in 10 ms from each to each. A broadcast counts once for each peer.
    #[arg(long, value_name = "N", default_value_t = 8_000)]
    rate: u32,
    /// How long there is nothing but load before each step.
    #[arg(long, value_name = "S", default_value_t = 1.5)]
    seconds_between: f64,
    /// As little as shows it all.
    #[arg(long, conflicts_with_all = ["rate", "seconds_between"])]
    quick: bool,
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
    let (rate, seconds) = if args.quick { (2_500, 0.1) } else { (args.rate, args.seconds_between) };
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let keys = if libzmq().curve { "with keys" } else { "without keys" };
    let mut out = io::stdout();
    writeln!(out, "{SERVERS} servers {keys} ({}), {rate} messages/s, seed {seed}\n", libzmq())?;
    let mut crew = Crew::new(rate, seed)?;
    roll::roll(&mut crew, Duration::try_from_secs_f64(seconds)?)?;
    let verdict = Verdict::of(&crew);
    writeln!(out, "{verdict}")?;
    Ok(if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
