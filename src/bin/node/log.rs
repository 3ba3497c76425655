//! What the library says to `tracing`, on stderr.

use std::env::{self, VarError};
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Which of it is shown, as in `RUST_LOG=raft_cluster=debug`.
const FILTER: &str = "RUST_LOG";

/// What `--log` shows where nothing says which.
const DEFAULT_FILTER: &str = "info";

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there can be no log.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    /// The variable says something else.
    #[error("RUST_LOG is no filter, such as raft_cluster=debug: {0}")]
    Filter(ParseError),
    /// It says something that is no text.
    #[error("RUST_LOG is not UTF-8")]
    NotUtf8,
    /// It would be written across the table.
    #[error(
        "the log and the table need two places: with --watch, send stderr elsewhere, such as 2> node.log"
    )]
    Watched,
}

/// Begins to log, if the argument or the variable asks for it, beside a table that is watched or not.
pub(crate) fn begin(format: Option<LogFormat>, watched: bool) -> Result<(), LogError> {
    let Some(filter) = filter(format)? else { return Ok(()) };
    if watched && io::stderr().is_terminal() {
        return Err(LogError::Watched);
    }
    let color =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    // Nobody is told that stderr takes nothing: it is where that would be said.
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(color)
        .log_internal_errors(false)
        .with_env_filter(filter);
    match format {
        Some(LogFormat::Json) => log.json().flatten_event(true).with_span_list(false).init(),
        Some(LogFormat::Text) | None => log.init(),
    }
    Ok(())
}

fn filter(format: Option<LogFormat>) -> Result<Option<EnvFilter>, LogError> {
    let directives = match env::var(FILTER) {
        Ok(directives) if !directives.is_empty() => directives,
        Err(VarError::NotUnicode(_)) => return Err(LogError::NotUtf8),
        Ok(_) | Err(VarError::NotPresent) if format.is_none() => return Ok(None),
        Ok(_) | Err(VarError::NotPresent) => DEFAULT_FILTER.to_owned(),
    };
    EnvFilter::try_new(directives).map(Some).map_err(LogError::Filter)
}
