//! Where the parent shows what its children say: line by line, or in a table.

use std::collections::BTreeMap;
use std::io;

use crossbeam_channel::Sender;
use raft_cluster::{Config, Pid};

use crate::children::Ending;
use crate::output::{Format, Stdout};
use crate::watch::{Display, Grade, Kick, Note, Setup, Snapshot, Source, Verdict};
use crate::{INCOMPLETE, complain};

pub(super) trait Shown {
    /// Shows a line of a child's stdout, which ends in a newline.
    fn line(&mut self, label: &str, pid: Pid, line: &[u8]);

    /// Shows how a child has ended, as far as its own lines have not.
    fn ended(&mut self, pid: Pid, ending: &Ending);

    /// Whether nothing more can be shown, so that all are to leave.
    fn has_failed(&self) -> bool;

    /// Whether all was shown.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// On stdout, as the children say it.
pub(super) struct Lines {
    stdout: Stdout,
    format: Format,
}

impl Lines {
    pub(super) fn new(format: Format) -> Self {
        Self { stdout: Stdout::default(), format }
    }
}

impl Shown for Lines {
    fn line(&mut self, label: &str, _: Pid, line: &[u8]) {
        match self.format {
            Format::Json => self.stdout.write(line),
            _ => self.stdout.write(&[label.as_bytes(), line].concat()),
        }
    }

    fn ended(&mut self, pid: Pid, ending: &Ending) {
        if ending.promised().is_none() {
            complain(&format!("server {pid} {ending}"));
        }
    }

    fn has_failed(&self) -> bool {
        self.stdout.has_failed()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.stdout.finish()
    }
}

/// On the screen, and at the end the last words of each child in a line.
pub(super) struct Table {
    display: Display,
    last: BTreeMap<Pid, Vec<u8>>,
}

impl Table {
    /// Takes the terminal. Whoever wants a test message is passed on to `kick`.
    pub(super) fn start(config: &Config, kick: Sender<()>) -> io::Result<Self> {
        let servers = config.pids().to_vec();
        let setup = Setup {
            title: format!("{} servers", servers.len()),
            servers,
            source: Source::Notes,
            kick: Kick::Parent(kick),
        };
        Ok(Self { display: Display::start(setup)?, last: BTreeMap::new() })
    }
}

impl Shown for Table {
    fn line(&mut self, label: &str, pid: Pid, line: &[u8]) {
        if let Ok(snapshot) = serde_json::from_slice::<Snapshot>(line) {
            return self.display.tell(Note::Counted(snapshot));
        }
        let line = [label.as_bytes(), line].concat();
        self.display.tell(Note::Event(String::from_utf8_lossy(&line).trim_end().into()));
        self.last.insert(pid, line);
    }

    fn ended(&mut self, pid: Pid, ending: &Ending) {
        let verdict = match ending.promised() {
            Some(0) => Verdict::new(Grade::Idle, "has left"),
            Some(INCOMPLETE) => Verdict::new(Grade::Warning, "left undelivered"),
            Some(_) => Verdict::new(Grade::Bad, "cannot start"),
            None => Verdict::new(Grade::Bad, "died"),
        };
        self.display.tell(Note::Ended(pid, verdict));
        if ending.promised().is_none() {
            // It was no last word.
            self.last.remove(&pid);
            complain(&format!("server {pid} {ending}"));
        }
    }

    /// One that cannot be drawn on says so by itself.
    fn has_failed(&self) -> bool {
        false
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let shown = self.display.end();
        let mut stdout = Stdout::default();
        self.last.values().for_each(|line| stdout.write(line));
        shown.and(stdout.finish())
    }
}
