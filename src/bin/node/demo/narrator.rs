//! What the demo's reader sees: chapters, and lines with the time since the start.

use std::env;
use std::io::{self, IsTerminal};
use std::time::Instant;

use clap::builder::styling::Style;

use super::cluster::Broken;
use crate::output::Stdout;

pub(super) struct Narrator {
    stdout: Stdout,
    started: Instant,
    bold: Style,
    dimmed: Style,
}

impl Narrator {
    pub(super) fn new() -> Self {
        let is_plain = !io::stdout().is_terminal() || env::var_os("NO_COLOR").is_some();
        let [bold, dimmed] = match is_plain {
            true => [Style::new(); 2],
            false => [Style::new().bold(), Style::new().dimmed()],
        };
        Self { stdout: Stdout::default(), started: Instant::now(), bold, dimmed }
    }

    /// Begins a chapter.
    pub(super) fn chapter(&mut self, title: &str) -> Result<(), Broken> {
        let bold = self.bold;
        self.say(&format!("\n{bold}── {title}{bold:#}"))
    }

    /// Tells what has just happened.
    pub(super) fn tell(&mut self, text: &str) -> Result<(), Broken> {
        let (dimmed, seconds) = (self.dimmed, self.started.elapsed().as_secs_f64());
        self.say(&format!("{dimmed}{seconds:5.2} s{dimmed:#}  {text}"))
    }

    /// Says something that has no time.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Broken> {
        self.stdout.write(format!("{text}\n").as_bytes());
        match self.stdout.has_failed() {
            true => Err(Broken::Unread),
            false => Ok(()),
        }
    }

    /// Whether all was written, as far as somebody was there to read it.
    pub(super) fn finish(self) -> io::Result<()> {
        self.stdout.finish()
    }
}
