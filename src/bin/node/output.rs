//! What goes to stdout: whole lines, each flushed.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::time::Instant;

use raft_cluster::{Envelope, Event, Pid, Recipient, Report};

use crate::json::Line;
use crate::reconfigure::Outcome;
use crate::watch::Snapshot;

/// Stdout, a line at a time, until it fails. Then the program is to leave, and what it still has to
/// show goes nowhere.
#[derive(Default)]
pub(crate) struct Stdout {
    failure: Option<io::Error>,
}

impl Stdout {
    /// Writes one line whole; `line` ends in a newline.
    pub(crate) fn write(&mut self, line: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let mut stdout = io::stdout().lock();
        self.failure = stdout.write_all(line).and_then(|()| stdout.flush()).err();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether all was written, as far as somebody was there to read it: in `node | head`, the
    /// reader has left because it had enough.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.failure {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// Where one server says what happens to it.
pub(crate) trait Output {
    /// Says where the server listens.
    fn listening(&mut self, url: &str);

    fn message(&mut self, envelope: &Envelope);

    fn event(&mut self, event: &Event);

    /// Says what a reading of the files has changed. That one changed nothing since something is
    /// wrong is on stderr too, and in text only there.
    fn reconfigured(&mut self, outcome: &Outcome);

    /// Tells what the server counts to a parent that shows it. Others do not want it here.
    fn counted(&mut self, _: &Snapshot) {}

    /// The last, before `finish`.
    fn stopped(&mut self, report: &Report);

    /// Whether nothing more can be shown, so that the program is to leave.
    fn has_failed(&self) -> bool;

    /// Whether all was shown.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    /// Text for a parent that shows a table, so without messages: they are in its counts.
    Watched,
}

/// Lines on stdout.
pub(crate) struct Lines {
    pid: Pid,
    format: Format,
    started: Instant,
    stdout: Stdout,
}

impl Lines {
    pub(crate) fn new(pid: Pid, format: Format, started: Instant) -> Self {
        Self { pid, format, started, stdout: Stdout::default() }
    }

    fn text(&mut self, line: &str) {
        self.stdout.write(format!("{line}\n").as_bytes());
    }

    fn json(&mut self, line: &Line) {
        // Neither a map nor a number in a line can fail to be JSON.
        if let Ok(line) = serde_json::to_string(&line.at(self.started.elapsed())) {
            self.text(&line);
        }
    }
}

impl Output for Lines {
    fn listening(&mut self, url: &str) {
        match self.format {
            Format::Json => self.json(&Line::Listening { pid: self.pid, url }),
            Format::Text | Format::Watched => {
                self.text(&format!("server {} listens on {url}", self.pid));
            }
        }
    }

    fn message(&mut self, envelope: &Envelope) {
        match self.format {
            Format::Json => self.json(&Line::message(self.pid, envelope)),
            Format::Text => self.text(&text_of(envelope)),
            Format::Watched => {}
        }
    }

    fn event(&mut self, event: &Event) {
        match self.format {
            Format::Json => self.json(&Line::event(self.pid, event)),
            Format::Text | Format::Watched => self.text(&event.to_string()),
        }
    }

    fn reconfigured(&mut self, outcome: &Outcome) {
        let pid = self.pid;
        match (self.format, outcome) {
            (Format::Json, Ok(changes)) => self.json(&Line::reconfigured(pid, changes)),
            (Format::Json, Err(error)) => self.json(&Line::NotReconfigured { pid, error }),
            (Format::Text | Format::Watched, Ok(changes)) => {
                self.text(&format!("server {pid} has read its configuration again: {changes}"));
            }
            (Format::Text | Format::Watched, Err(_)) => {}
        }
    }

    fn counted(&mut self, snapshot: &Snapshot) {
        // As with a line, nothing in it can fail to be JSON.
        if let Ok(line) = serde_json::to_string(snapshot) {
            self.text(&line);
        }
    }

    fn stopped(&mut self, report: &Report) {
        let line = Line::stopped(self.pid, report);
        match line {
            Line::Stopped { pid, sent, received, undelivered } if self.format != Format::Json => {
                self.text(&format!(
                    "server {pid} has stopped: {sent} sent, {received} received, {undelivered} undelivered"
                ));
            }
            _ => self.json(&line),
        }
    }

    fn has_failed(&self) -> bool {
        self.stdout.has_failed()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.stdout.finish()
    }
}

/// A message as one line.
pub(crate) fn text_of(envelope: &Envelope) -> String {
    let text = String::from_utf8_lossy(&envelope.msg);
    let to = match envelope.to {
        Recipient::Broadcast => Cow::from("all"),
        Recipient::Peer(pid) => pid.to_string().into(),
    };
    format!("peer {} to {to}: {}", envelope.from, printable(&text))
}

/// The text with its control characters escaped: a message is one line, and cannot command the
/// terminal.
fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_break_its_line_or_command_the_terminal() {
        assert_eq!(printable("two\nlines\r and \u{1b}[2J"), r"two\nlines\r and \u{1b}[2J");
        assert_eq!(printable("ein schöner Tag 🎉"), "ein schöner Tag 🎉");
    }
}
