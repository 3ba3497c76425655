//! `--all`: a child process for each server of the configuration.
//!
//! ```text
//!                  ┌─ child 1 ─┐
//!  leads ── stdin ─┤    …      ├─ stdout, stderr ── a thread each ── news ── the main thread
//!                  └─ child 5 ─┘
//! ```

use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use raft_cluster::{Config, Pid};

use crate::args::Arguments;
use crate::lead::Lead;
use crate::output::{Format, Stdout};
use crate::{INCOMPLETE, complain, interrupts};

/// Starts every server of the configuration and stays until they have all ended. The exit status is
/// the worst of theirs.
pub(crate) fn run(arguments: &Arguments, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(path) = arguments.secret_key.as_ref().filter(|path| !path.is_dir()) {
        return Err(format!(
            "{} is not a folder: with `--all`, `--secret-key` is the one with every server's key, as \
             `node keygen --all` makes them",
            path.display()
        )
        .into());
    }
    let (leave, told_to_leave) = bounded(1);
    interrupts::watch(leave)?;
    // Without a buffer a child feels it when nobody reads what it says.
    let (tell, news) = bounded(0);
    let leads = config.pids().iter().map(|&pid| start(pid, &tell)).collect::<io::Result<_>>()?;
    drop(tell);
    let parent = Parent {
        leads,
        leaving: false,
        stdout: Stdout::default(),
        format: arguments.format(),
        width: config.pids().iter().map(|pid| pid.to_string().len()).max().unwrap_or(0),
        worst: 0,
    };
    Ok(parent.run(&news, &told_to_leave))
}

struct Parent {
    leads: Vec<Lead>,
    leaving: bool,
    stdout: Stdout,
    format: Format,
    /// Of the longest pid.
    width: usize,
    /// The worst exit status so far.
    worst: u8,
}

impl Parent {
    fn run(mut self, news: &Receiver<News>, told_to_leave: &Receiver<()>) -> ExitCode {
        loop {
            select! {
                recv(news) -> news => match news {
                    Ok(news) => self.hear(news),
                    Err(_) => return self.finish(),
                },
                recv(told_to_leave) -> _ => self.leave(),
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Stdout(pid, line) => {
                let line = match self.format {
                    Format::Json => line,
                    Format::Text => self.labelled(pid, &line),
                };
                self.stdout.write(&line);
                if self.stdout.has_failed() {
                    self.leave();
                }
            }
            News::Stderr(pid, line) => {
                // As with the program's own complaints, there is nowhere to say that this failed.
                let _ = io::stderr().write_all(&self.labelled(pid, &line));
            }
            News::Ended(pid, status) => self.ended(pid, status),
        }
    }

    fn ended(&mut self, pid: Pid, status: ExitStatus) {
        let code = code(status);
        self.worst = self.worst.max(code);
        if status.signal().is_some() {
            complain(&format!("server {pid} has ended by {status}"));
        }
        if code > INCOMPLETE {
            // It never was there, or never said goodbye: the others would wait for it for good.
            self.leave();
        }
    }

    /// Asks every child to leave, once.
    fn leave(&mut self) {
        if !mem::replace(&mut self.leaving, true) {
            self.leads.iter_mut().for_each(Lead::leave);
        }
    }

    fn labelled(&self, pid: Pid, line: &[u8]) -> Vec<u8> {
        let label = format!("[{:>width$}] ", pid.as_u32(), width = self.width);
        [label.as_bytes(), line].concat()
    }

    fn finish(self) -> ExitCode {
        let code = match self.stdout.finish() {
            Ok(()) => self.worst,
            Err(error) => {
                complain(&format!("cannot write to stdout: {error}"));
                self.worst.max(INCOMPLETE)
            }
        };
        ExitCode::from(code)
    }
}

/// The child's exit status, in the way of a shell when a signal ended it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// What the parent hears of a child. A line ends in a newline.
enum News {
    Stdout(Pid, Vec<u8>),
    Stderr(Pid, Vec<u8>),
    /// The last.
    Ended(Pid, ExitStatus),
}

/// Starts the child that is to be server `pid`, and the threads that tell what it says.
///
/// It has a process group of its own, so that a terminal's Ctrl-C reaches only the parent, which
/// passes it on.
fn start(pid: Pid, tell: &Sender<News>) -> io::Result<Lead> {
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1).filter(|argument| argument != "--all"))
        .args(["--supervised", "--pid", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::Error::other("a child process has no pipes"));
    };

    let said = tell.clone();
    let complaints = thread::Builder::new()
        .name(format!("stderr of {pid}"))
        .spawn(move || pass_on(stderr, |line| said.send(News::Stderr(pid, line)).is_ok()))?;
    let said = tell.clone();
    thread::Builder::new().name(format!("stdout of {pid}")).spawn(move || {
        pass_on(stdout, |line| said.send(News::Stdout(pid, line)).is_ok());
        let _ = complaints.join();
        announce_end(pid, child, &said);
    })?;
    Ok(Lead::new(stdin))
}

/// Gives every line to `tell`, until the stream ends or `tell` says that nobody listens.
fn pass_on(stream: impl Read, tell: impl Fn(Vec<u8>) -> bool) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut line) {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        if !tell(mem::take(&mut line)) {
            return;
        }
    }
}

fn announce_end(pid: Pid, mut child: Child, said: &Sender<News>) {
    match child.wait() {
        Ok(status) => {
            let _ = said.send(News::Ended(pid, status));
        }
        Err(error) => complain(&format!("cannot learn how server {pid} ended: {error}")),
    }
}
