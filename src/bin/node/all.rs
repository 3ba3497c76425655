//! `--all`: a child process for each server of the configuration.

mod shown;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::mem;
use std::process::ExitCode;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use raft_cluster::{Config, Pid};

use self::shown::{Lines, Shown, Table};
use crate::args::Arguments;
use crate::children::{self, Ending, News, Process};
use crate::log::LogFormat;
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
    let (test, told_to_test) = bounded(1);
    signals::watch(Orders { leave, reread })?;
    let shown: Box<dyn Shown> = match arguments.watch {
        true => Box::new(Table::start(config, test)?),
        false => Box::new(Lines::new(arguments.format())),
    };
    // Without a buffer a child feels it when nobody reads what it says.
    let (tell, news) = bounded(0);
    let processes =
        config.pids().iter().map(|&pid| start(pid, arguments, &tell)).collect::<io::Result<_>>()?;
    drop(tell);
    let parent = Parent {
        processes,
        leaving: false,
        shown,
        stays: arguments.watch,
        logs_json: arguments.log == Some(LogFormat::Json),
        width: config.pids().iter().map(|pid| pid.to_string().len()).max().unwrap_or(0),
        worst: 0,
    };
    Ok(parent.run(&Inputs { news, told_to_leave, told_to_reread, told_to_test }))
}

/// All that the parent waits for.
struct Inputs {
    news: Receiver<News>,
    told_to_leave: Receiver<()>,
    told_to_reread: Receiver<()>,
    told_to_test: Receiver<()>,
}

struct Parent {
    processes: Vec<Process>,
    leaving: bool,
    shown: Box<dyn Shown>,
    /// Whether the others stay when one has died: somebody watches, and tells them when to leave.
    stays: bool,
    logs_json: bool,
    /// Of the longest pid.
    width: usize,
    /// The worst exit status so far.
    worst: u8,
}

impl Parent {
    fn run(mut self, inputs: &Inputs) -> ExitCode {
        let mut told_to_test = inputs.told_to_test.clone();
        loop {
            select! {
                recv(inputs.news) -> news => match news {
                    Ok(news) => self.hear(news),
                    Err(_) => return self.finish(),
                },
                recv(inputs.told_to_leave) -> _ => self.leave(),
                recv(inputs.told_to_reread) -> _ => self.reread(),
                recv(told_to_test) -> told => match told {
                    Ok(()) => self.test(),
                    Err(_) => told_to_test = never(),
                },
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Stdout(pid, line) => {
                let label = self.label(pid);
                self.shown.line(&label, pid, &line);
                if self.shown.has_failed() {
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
        self.shown.ended(pid, ending);
        match ending.promised() {
            // It never was there, or never said goodbye: the others would wait for it for good.
            Some(UNUSABLE) => self.leave(),
            None if !self.stays => self.leave(),
            _ => {}
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

    /// Has every child send a test message.
    fn test(&mut self) {
        if !self.leaving {
            self.processes.iter_mut().for_each(|process| process.lead.test());
        }
    }

    fn label(&self, pid: Pid) -> String {
        format!("[{:>width$}] ", pid.as_u32(), width = self.width)
    }

    fn finish(self) -> ExitCode {
        let code = match self.shown.finish() {
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
fn start(pid: Pid, arguments: &Arguments, tell: &Sender<News>) -> io::Result<Process> {
    let parents = |argument: &OsString| argument == "--all" || argument == "--watch";
    let given = env::args_os().skip(1).filter(|argument| !parents(argument));
    let own = ["--supervised", "--pid", &pid.to_string()].map(Into::into);
    let watched = arguments.watch.then(|| "--watched".into());
    Process::start(pid, given.chain(watched).chain(own), tell)
}
