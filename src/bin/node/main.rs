//! `node` starts one server of a cluster, or all of them, and shows what arrives.
//!
//! ```text
//!  main ── args ──┬── one ── the server of one pid ◄── terminal (typed lines)
//!                 │     ▲                ▲
//!                 │     │                └── reconfigure: the files, read again
//!                 │     ├─── lead: what the parent says
//!                 │     ├──► metrics: what Prometheus asks for
//!                 │     ├──► watch: a table at the terminal, instead of lines
//!                 │     └──► log: what the library says, on stderr
//!                 ├── all ───┬── children: a process for each server
//!                 ├── demo ──┘
//!                 └── keygen ── the keys of one server or of all
//! ```

mod all;
mod args;
mod children;
mod demo;
mod json;
mod keygen;
mod lead;
mod log;
mod metrics;
mod one;
mod output;
mod reconfigure;
mod signals;
mod terminal;
mod watch;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use raft_cluster::{Config, ConfigError, StartError};

use args::{Arguments, Role, Tool};

/// What a server that could not deliver everything, or not show everything, ends with.
const INCOMPLETE: u8 = 1;

/// What a wrong argument, a wrong configuration or a server that cannot start ends with.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    run(&arguments).unwrap_or_else(|error| {
        complain(&format!("{}{}", chain(&*error), advice(&*error)));
        ExitCode::from(UNUSABLE)
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(Tool::Keygen(keygen)) = &arguments.tool {
        return keygen::run(keygen);
    }
    if arguments.watch {
        watch::check()?;
    }
    log::begin(arguments.log, arguments.watch)?;
    match arguments.role() {
        Role::One(pid) => one::run(arguments, &configuration(arguments)?, pid),
        Role::All => all::run(arguments, &configuration(arguments)?),
        Role::Demo => demo::run(),
    }
}

/// The configuration. Its warnings are on stderr by then.
fn configuration(arguments: &Arguments) -> Result<Config, ConfigError> {
    let config = Config::load(&arguments.config)?;
    if !arguments.supervised {
        // Of a supervised server, the parent has read the same file and said the same.
        config.warnings().iter().for_each(|warning| complain(&warning.to_string()));
    }
    Ok(config)
}

/// Help and version are answers and go to stdout; everything else clap has to say is a complaint.
fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        complain(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
        return ExitCode::from(UNUSABLE);
    }
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says on stderr what is wrong, in a line.
fn complain(text: &str) {
    write_to_stderr(&format!("node: {text}\n"));
}

/// Writes a line to stderr, or shows it on the screen while that is on and the two are one terminal.
/// There is nowhere to say that this failed, so nobody is told.
fn write_to_stderr(line: &str) {
    if !(io::stderr().is_terminal() && watch::keep(line)) {
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// What to do about the error, where that is not plain from what it says.
fn advice(error: &(dyn Error + 'static)) -> &'static str {
    match error.downcast_ref() {
        Some(StartError::NoSecretKey { .. }) => ": use `--secret-key FILE`",
        _ => "",
    }
}

/// The error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
