//! One server under a watch.

use std::io;
use std::time::Instant;

use crossbeam_channel::Sender;
use raft_cluster::{Envelope, Event, Monitor, Report};

use super::display::{Display, Note, Setup, Source};
use super::tester::{Kick, Tester};
use crate::output::{Format, Lines, Output, text_of};
use crate::reconfigure::Outcome;

/// How much of a message is shown, in characters.
const MAX_TEXT: usize = 200;

/// Shows on the screen what happens, and in lines what is left at the end.
pub(crate) struct Watched {
    display: Display,
    /// How the display ended.
    shown: io::Result<()>,
    lines: Lines,
}

impl Watched {
    /// Takes the terminal. The outbox is for test messages, and keeps the server from leaving.
    pub(crate) fn start(
        monitor: Monitor,
        url: &str,
        outbox: Sender<Envelope>,
        started: Instant,
    ) -> io::Result<Self> {
        let pid = monitor.pid();
        let setup = Setup {
            title: format!("server {pid} on {url}"),
            servers: vec![pid],
            source: Source::Server(monitor),
            kick: Kick::Server(Tester::new(pid, outbox)),
        };
        let display = Display::start(setup)?;
        Ok(Self { display, shown: Ok(()), lines: Lines::new(pid, Format::Text, started) })
    }
}

impl Output for Watched {
    /// The title has it.
    fn listening(&mut self, _: &str) {}

    fn message(&mut self, envelope: &Envelope) {
        self.display.message(|| text_of(envelope).chars().take(MAX_TEXT).collect());
    }

    fn event(&mut self, event: &Event) {
        self.display.tell(Note::Event(event.to_string()));
    }

    fn reconfigured(&mut self, outcome: &Outcome) {
        // What is wrong is a complaint, and is shown as such.
        if let Ok(changes) = outcome {
            self.display.tell(Note::Event(format!("the configuration was read again: {changes}")));
        }
    }

    /// The last words belong where the shell is.
    fn stopped(&mut self, report: &Report) {
        self.shown = self.display.end();
        self.lines.stopped(report);
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.shown.and(Box::new(self.lines).finish())
    }
}
