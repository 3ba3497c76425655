//! The arguments.

use std::net::SocketAddr;
use std::num::ParseFloatError;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::{Duration, TryFromFloatSecsError};

use clap::{Args, Parser, Subcommand};
use raft_cluster::Pid;
use thiserror::Error;

use crate::log::LogFormat;
use crate::output::Format;

/// Connects the servers of a cluster and shows the messages that arrive.
///
/// At a terminal, a line typed is broadcast, `@3 text` goes to server 3, and end of input leaves.
/// Otherwise the server broadcasts its message and ends when its peers have left.
///
/// At SIGHUP it reads its configuration and its secret key again, and says what has changed, or
/// what is wrong and that nothing was changed. With `--all` each server does so for itself; none
/// is started or ended.
#[derive(Debug, Parser)]
#[command(name = "node", version = VERSION.as_str())]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Exit status: 0 all messages were acknowledged, 1 some were not or a \
                        server died, 2 bad arguments or configuration.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) tool: Option<Tool>,

    #[command(flatten)]
    which: Which,

    /// The cluster's configuration.
    #[arg(long, value_name = "FILE", default_value = "./config.json")]
    pub(crate) config: PathBuf,

    /// The server's secret key, or the folder in which it lies as `server-N.key`. With `--all`, the
    /// folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_key: Option<PathBuf>,

    /// What to broadcast at the start.
    #[arg(long, value_name = "TEXT", default_value = "hello there")]
    pub(crate) message: String,

    /// End when no message has come for so long, in seconds, or `never`.
    #[arg(long, value_name = "SECONDS", default_value = "never", allow_negative_numbers = true)]
    pub(crate) idle_timeout: IdleTimeout,

    /// How long to wait at the end for the peers to acknowledge.
    #[arg(long, value_name = "SECONDS", default_value = "5", allow_negative_numbers = true)]
    pub(crate) linger: Seconds,

    /// Serve what is counted to Prometheus, at `/metrics` on this address, such as 127.0.0.1:9150.
    #[arg(long, value_name = "ADDR", conflicts_with = "all")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Read the configuration and the secret key again when they change, as at SIGHUP.
    #[arg(long)]
    pub(crate) watch_config: bool,

    /// Show a live table at the terminal instead of text: each peer, how it stands, what waits for
    /// it, and a word on what is the matter. With `--all`, all servers. Keys: q leaves, p pauses
    /// the display, t sends a test message to all. NO_COLOR is heeded.
    #[arg(long, conflicts_with_all = ["json", "supervised", "dictated"])]
    pub(crate) watch: bool,

    /// Write one JSON object a line instead of text.
    #[arg(long)]
    json: bool,

    /// Log to stderr in this form. The variable `RUST_LOG` says what, such as `raft_cluster=debug`:
    /// `info` if it is not set. Without this, it is what switches the log on.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log: Option<LogFormat>,

    /// This process is a child of `--all` and follows what it says on stdin.
    #[arg(long, hide = true, conflicts_with = "all")]
    pub(crate) supervised: bool,

    /// The parent shows a table: this child tells it each second what it counts, and stays.
    #[arg(long, hide = true, requires = "supervised", conflicts_with = "json")]
    pub(crate) watched: bool,

    /// This process is a child of `--demo` and sends what it says on stdin.
    #[arg(long, hide = true, conflicts_with_all = ["all", "supervised"])]
    pub(crate) dictated: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Which server of the configuration to be.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pid: Option<u32>,

    /// Start all servers of the configuration, each as a process, and end when they have ended.
    #[arg(long)]
    all: bool,

    /// Tell a story with five servers of its own, one of which is killed and comes back. It needs
    /// no configuration and takes some seconds.
    #[arg(long, conflicts_with_all = OF_A_SERVER)]
    demo: bool,
}

/// The arguments that say something about servers other than those of the demo.
const OF_A_SERVER: [&str; 12] = [
    "config",
    "secret_key",
    "message",
    "idle_timeout",
    "linger",
    "metrics",
    "watch_config",
    "watch",
    "json",
    "log",
    "supervised",
    "dictated",
];

/// What this program can do beside being a server.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    Keygen(Keygen),
}

/// Makes the keys of one server, or of a whole cluster.
///
/// A secret key is written to a file that only its owner can read. The public one that belongs to
/// it goes into every server's configuration, as the server's `public_key`.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    #[command(flatten)]
    which: WhichKeys,

    /// With `--replace` or `--retire`: the server.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(conflicts_with_all = ["out", "all"])]
    pid: Option<u32>,

    /// The configuration that gets the public keys.
    #[arg(long, value_name = "FILE", default_value = "./config.json", conflicts_with = "out")]
    pub(crate) config: PathBuf,

    /// With `--all` or `--replace`: where the secret keys go, as `server-1.key` and so on, or as
    /// `server-1.new.key`.
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with_all = ["out", "retire"])]
    pub(crate) out_dir: PathBuf,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhichKeys {
    /// Write one secret key to this new file, and print the public one.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Give every server of the configuration a key, and write the public ones into it.
    #[arg(long)]
    all: bool,

    /// Give one server of a configuration with keys a new key, and write the public one into it,
    /// beside the old one.
    #[arg(long, requires = "pid")]
    replace: bool,

    /// Take the old key of one server out of the configuration, once the server uses the new one.
    #[arg(long, requires = "pid")]
    retire: bool,
}

/// What is to be done about keys.
pub(crate) enum Task<'a> {
    /// Make one, in this file.
    One(&'a Path),
    /// Make one for each server.
    All,
    /// Make a second one for this server.
    Replace(Pid),
    /// Take the first of two from this server.
    Retire(Pid),
}

impl Keygen {
    pub(crate) fn task(&self) -> Task<'_> {
        match (&self.which.out, self.pid.map(Pid::new)) {
            (Some(path), _) => Task::One(path),
            (None, None) => Task::All,
            (None, Some(pid)) if self.which.retire => Task::Retire(pid),
            (None, Some(pid)) => Task::Replace(pid),
        }
    }
}

/// The program's version, and that of libzmq, on which it depends whether keys can be used.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} ({})", env!("CARGO_PKG_VERSION"), raft_cluster::libzmq()));

/// What this process is to be.
pub(crate) enum Role {
    /// The server of this pid.
    One(Pid),
    /// The parent of them all.
    All,
    /// The parent of five others, and the teller of their story.
    Demo,
}

impl Arguments {
    pub(crate) fn role(&self) -> Role {
        match self.which.pid {
            Some(number) => Role::One(Pid::new(number)),
            None if self.which.demo => Role::Demo,
            None => Role::All,
        }
    }

    pub(crate) fn format(&self) -> Format {
        match (self.json, self.watched) {
            (true, _) => Format::Json,
            (false, true) => Format::Watched,
            (false, false) => Format::Text,
        }
    }
}

/// A duration, written in seconds, such as `2` or `0.5`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromStr for Seconds {
    type Err = NotSeconds;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Duration::try_from_secs_f64(text.parse()?)?))
    }
}

/// Why a text is not a duration.
#[derive(Debug, Error)]
#[error("a number of seconds is expected, such as 2 or 0.5")]
pub(crate) enum NotSeconds {
    /// It is not a number.
    Number(#[from] ParseFloatError),
    /// It is negative, or beyond all durations.
    Range(#[from] TryFromFloatSecsError),
}

/// Seconds or `never`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleTimeout(pub(crate) Option<Duration>);

impl FromStr for IdleTimeout {
    type Err = NotIdleTimeout;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self(None));
        }
        let Seconds(timeout) = text.parse().map_err(|_| NotIdleTimeout)?;
        Ok(Self(Some(timeout)))
    }
}

/// A text is neither `never` nor a duration.
#[derive(Debug, Error)]
#[error("a number of seconds is expected, such as 2 or 0.5, or `never`")]
pub(crate) struct NotIdleTimeout;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
