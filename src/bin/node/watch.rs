//! `--watch`: a live table at the terminal, instead of lines.
//!
//! ```text
//!  monitor, or what the children tell ── snapshot ──► model ── rows ──► view ──► screen
//!  the session, or the parent ── note ──────────────►   ▲
//!  keys, resizes, ticks ────────────────────────────────┘
//! ```
//!
//! All of it happens on the thread `display`. Whoever has something to show leaves a note and goes
//! on: a terminal that is slow, or takes nothing more, slows down no server.

mod columns;
mod display;
mod format;
mod keys;
mod model;
mod rows;
mod screen;
mod server;
mod snapshot;
mod tester;
mod verdict;
mod view;

use std::env;
use std::io::{self, IsTerminal};

use thiserror::Error;

pub(crate) use self::display::{Display, Note, Setup, Source, TICK};
pub(crate) use self::screen::{keep, restore, tell};
pub(crate) use self::server::Watched;
pub(crate) use self::snapshot::Snapshot;
pub(crate) use self::tester::{Kick, Tester};
pub(crate) use self::verdict::{Grade, Verdict};

/// Why nothing can be watched here.
#[derive(Debug, Error)]
pub(crate) enum Unwatchable {
    #[error("`--watch` needs a terminal, and stdout is none; `--json` is for programs")]
    Stdout,
    #[error("`--watch` takes its keys from the terminal, and stdin is none")]
    Stdin,
    #[error("`--watch` draws a table, and TERM=dumb says that this terminal cannot show one")]
    Dumb,
}

/// Whether this is a terminal on which something can be watched. It is asked before anything starts.
pub(crate) fn check() -> Result<(), Unwatchable> {
    if !io::stdout().is_terminal() {
        return Err(Unwatchable::Stdout);
    }
    if !io::stdin().is_terminal() {
        return Err(Unwatchable::Stdin);
    }
    match env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
        true => Err(Unwatchable::Dumb),
        false => Ok(()),
    }
}
