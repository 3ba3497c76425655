//! `--all`: a child process for each server of the configuration.

use std::env;
use std::error::Error;
use std::io;
use std::mem;
use std::process::ExitCode;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use raft_cluster::{Config, Pid};

use crate::args::Arguments;
use crate::children::{self, Ending, News, Process};
use crate::log::LogFormat;
use crate::output::{Format, Stdout};
use crate::signals::{self, Orders};
use crate::{INCOMPLETE, UNUSABLE, complain};

/// Starts every server of the configuration and stays until they have all ended. The exit status is
/// the worst of theirs, where one that died counts as one that left something undelivered.
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
    let (reread, told_to_reread) = bounded(1);
    signals::watch(Orders { leave, reread })?;
    // Without a buffer a child feels it when nobody reads what it says.
    let (tell, news) = bounded(0);
    let processes =
        config.pids().iter().map(|&pid| start(pid, &tell)).collect::<io::Result<_>>()?;
    drop(tell);
    let parent = Parent {
        processes,
        leaving: false,
        stdout: Stdout::default(),
        format: arguments.format(),
        logs_json: arguments.log == Some(LogFormat::Json),
        width: config.pids().iter().map(|pid| pid.to_string().len()).max().unwrap_or(0),
        worst: 0,
    };
    Ok(parent.run(&news, &told_to_leave, &told_to_reread))
}

struct Parent {
    processes: Vec<Process>,
    leaving: bool,
    stdout: Stdout,
    format: Format,
    logs_json: bool,
    /// Of the longest pid.
    width: usize,
    /// The worst exit status so far.
    worst: u8,
}

impl Parent {
    fn run(
        mut self,
        news: &Receiver<News>,
        told_to_leave: &Receiver<()>,
        told_to_reread: &Receiver<()>,
    ) -> ExitCode {
        loop {
            select! {
                recv(news) -> news => match news {
                    Ok(news) => self.hear(news),
                    Err(_) => return self.finish(),
                },
                recv(told_to_leave) -> _ => self.leave(),
                recv(told_to_reread) -> _ => self.reread(),
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Stdout(pid, line) => {
                let line = match self.format {
                    Format::Json => line,
                    Format::Text => [self.label(pid).as_bytes(), &line].concat(),
                };
                self.stdout.write(&line);
                if self.stdout.has_failed() {
                    self.leave();
                }
            }
            // One that belongs to the log says itself which server it is of, and is to stay JSON.
            News::Stderr(_, line) if self.logs_json && line.starts_with(b"{") => {
                children::pass_complaint("", &line);
            }
            News::Stderr(pid, line) => children::pass_complaint(&self.label(pid), &line),
            News::Ended(pid, ending) => self.ended(pid, &ending),
        }
    }

    fn ended(&mut self, pid: Pid, ending: &Ending) {
        self.worst = self.worst.max(ending.code());
        if ending.promised().is_none() {
            complain(&format!("server {pid} {ending}"));
        }
        if matches!(ending.promised(), None | Some(UNUSABLE)) {
            // It never was there, or never said goodbye: the others would wait for it for good.
            self.leave();
        }
    }

    /// Asks every child to leave, once.
    fn leave(&mut self) {
        if !mem::replace(&mut self.leaving, true) {
            self.processes.iter_mut().for_each(|process| process.lead.leave());
        }
    }

    /// Has every child read its files again, and say what came of it.
    fn reread(&mut self) {
        if !self.leaving {
            self.processes.iter_mut().for_each(|process| process.lead.reread());
        }
    }

    fn label(&self, pid: Pid) -> String {
        format!("[{:>width$}] ", pid.as_u32(), width = self.width)
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

/// Starts the child that is to be server `pid`.
fn start(pid: Pid, tell: &Sender<News>) -> io::Result<Process> {
    let arguments = env::args_os().skip(1).filter(|argument| argument != "--all");
    let own = ["--supervised", "--pid", &pid.to_string()].map(Into::into);
    Process::start(pid, arguments.chain(own), tell)
}
