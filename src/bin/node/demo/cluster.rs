//! The demo's servers: processes that are told what to send, and whose words are taken down.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, at, bounded, select};
use raft_cluster::Pid;
use thiserror::Error;

use super::folder::Folder;
use super::record::{Message, Record};
use crate::children::{self, Ending, News, Process};

/// How long the demo waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much later than a server's end the interrupt that ended it may be known.
const INTERRUPT_DELAY: Duration = Duration::from_secs(2);

/// Why the story breaks off.
#[derive(Debug, Error)]
pub(super) enum Broken {
    #[error("it was interrupted")]
    Interrupted,
    #[error("nobody reads it")]
    Unread,
    #[error("it did not happen within {} seconds that {awaited}", PATIENCE.as_secs())]
    Late { awaited: String },
    #[error("server {pid} {ending}, which is no part of it")]
    Died { pid: Pid, ending: String },
    #[error("server {pid} has said what is not an event: {line}")]
    Unintelligible { pid: Pid, line: String },
    #[error("server {pid} could not be started")]
    Start { pid: Pid, source: io::Error },
    #[error("server {pid} could not be killed")]
    Kill { pid: Pid, source: io::Error },
}

/// The servers and the records of all their processes. Dropping it ends those that still run.
pub(super) struct Cluster {
    pids: Vec<Pid>,
    running: BTreeMap<Pid, Process>,
    /// Of each process, in the order of their start.
    records: Vec<Record>,
    /// What was promised to servers of which no process runs.
    waiting: Vec<(Pid, Message)>,
    leaving: bool,
    tell: Sender<News>,
    news: Receiver<News>,
    told_to_leave: Receiver<()>,
    /// Dropped last: the processes need it.
    folder: Folder,
}

impl Cluster {
    pub(super) fn new(pids: &[Pid], told_to_leave: Receiver<()>) -> Result<Self, Box<dyn Error>> {
        let (tell, news) = bounded(0);
        Ok(Self {
            pids: pids.to_vec(),
            running: BTreeMap::new(),
            records: Vec::new(),
            waiting: Vec::new(),
            leaving: false,
            tell,
            news,
            told_to_leave,
            folder: Folder::with_servers(pids)?,
        })
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// All servers but these.
    pub(super) fn others(&self, pids: &[Pid]) -> Vec<Pid> {
        self.pids.iter().copied().filter(|pid| !pids.contains(pid)).collect()
    }

    /// The record of the server's last process.
    pub(super) fn record(&self, pid: Pid) -> &Record {
        let mut records = self.records.iter();
        records.rfind(|record| record.pid == pid).expect("a server that was started")
    }

    /// How many messages wait for a process that can take them.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Starts a process that greets all others.
    pub(super) fn start(&mut self, pid: Pid, greeting: &str) -> Result<(), Broken> {
        let config = self.folder.config().into_os_string();
        let own = ["--pid", &pid.to_string(), "--message", greeting].map(Into::into);
        let general = ["--dictated", "--json", "--config"].map(Into::into);
        let arguments = general.into_iter().chain([config]).chain(own);
        let process = Process::start(pid, arguments, &self.tell)
            .map_err(|source| Broken::Start { pid, source })?;
        for record in &mut self.records {
            record.met.remove(&pid);
        }
        let mut record = Record::new(pid, process.id());
        self.running.insert(pid, process);
        let waiting = mem::take(&mut self.waiting).into_iter();
        let (promised, waiting): (Vec<_>, Vec<_>) = waiting.partition(|(to, _)| *to == pid);
        self.waiting = waiting;
        record.promised.extend(promised.into_iter().map(|(_, message)| message));
        self.records.push(record);
        self.promise(pid, &self.others(&[pid]), greeting);
        Ok(())
    }

    /// Has a server send a message to all others.
    pub(super) fn broadcast(&mut self, from: Pid, text: &str) {
        self.dictate(from, &format!("{text}\n"));
        self.promise(from, &self.others(&[from]), text);
    }

    /// Has a server send messages to another one.
    pub(super) fn send(&mut self, from: Pid, to: Pid, texts: &[String]) {
        self.dictate(from, &texts.iter().map(|text| format!("@{to} {text}\n")).collect::<String>());
        texts.iter().for_each(|text| self.promise(from, &[to], text));
    }

    fn dictate(&mut self, from: Pid, lines: &str) {
        if let Some(process) = self.running.get_mut(&from) {
            process.lead.dictate(lines);
        }
    }

    fn promise(&mut self, from: Pid, to: &[Pid], text: &str) {
        for &to in to {
            let message = Message { from, text: text.to_owned() };
            match self.running.contains_key(&to) {
                true => self.record_mut(to).promised.push(message),
                false => self.waiting.push((to, message)),
            }
        }
        self.record_mut(from).told.push((text.to_owned(), to.len() as u64));
    }

    /// Kills a server's process and waits until it has ended.
    pub(super) fn kill(&mut self, pid: Pid) -> Result<(), Broken> {
        self.record_mut(pid).killed = true;
        let killed = self.running.get(&pid).map_or(Ok(()), Process::kill);
        killed.map_err(|source| Broken::Kill { pid, source })?;
        self.until(&format!("server {pid} ends"), |cluster| cluster.record(pid).ending.is_some())
    }

    /// Asks all servers to leave in order.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.running.values_mut().for_each(|process| process.lead.leave());
    }

    /// Hears the servers until `is_true` is. `awaited` says it in words, after "that".
    pub(super) fn until(
        &mut self,
        awaited: &str,
        is_true: impl Fn(&Self) -> bool,
    ) -> Result<(), Broken> {
        let late = after(PATIENCE);
        while !is_true(self) {
            if !self.hear(&late)? {
                return Err(Broken::Late { awaited: awaited.to_owned() });
            }
        }
        Ok(())
    }

    /// Hears the servers until then.
    pub(super) fn listen(&mut self, until: Instant) -> Result<(), Broken> {
        let over = at(until);
        while self.hear(&over)? {}
        Ok(())
    }

    /// Waits for the next news, and takes it down. None has come when the time is `over`.
    fn hear(&mut self, over: &Receiver<Instant>) -> Result<bool, Broken> {
        select! {
            recv(self.news) -> news => match news {
                Ok(news) => self.note(news).map(|()| true),
                Err(_) => Ok(false),
            },
            recv(over) -> _ => Ok(false),
            recv(self.told_to_leave) -> _ => Err(Broken::Interrupted),
        }
    }

    fn note(&mut self, news: News) -> Result<(), Broken> {
        match news {
            News::Stdout(pid, line) => {
                let record = self.record_mut(pid);
                // The last line of a killed process may be cut off.
                if record.note(&line).is_err() && !record.killed {
                    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                    return Err(Broken::Unintelligible { pid, line });
                }
            }
            News::Stderr(pid, line) => children::pass_complaint(&format!("[{pid}] "), &line),
            News::Ended(pid, ending) => {
                self.running.remove(&pid);
                let leaving = self.leaving;
                let record = self.record_mut(pid);
                if !leaving && !record.killed {
                    return Err(self.explain(pid, &ending));
                }
                record.ending = Some(ending);
            }
        }
        Ok(())
    }

    /// Why the story breaks off when a server ends too early. A terminal's interrupt also ends the
    /// child that has just been forked and has no process group of its own yet; word of it may come
    /// before that of the interrupt.
    fn explain(&self, pid: Pid, ending: &Ending) -> Broken {
        if ending.is_by_interrupt() && self.told_to_leave.recv_timeout(INTERRUPT_DELAY).is_ok() {
            return Broken::Interrupted;
        }
        Broken::Died { pid, ending: ending.to_string() }
    }

    fn record_mut(&mut self, pid: Pid) -> &mut Record {
        let mut records = self.records.iter_mut();
        records.rfind(|record| record.pid == pid).expect("a server that was started")
    }
}

impl Drop for Cluster {
    /// Waits for the end of all processes, so that none is left when the demo has ended.
    fn drop(&mut self) {
        for process in self.running.values() {
            // It fails where the process has ended already.
            let _ = process.kill();
        }
        while !self.running.is_empty() {
            match self.news.recv() {
                Ok(News::Ended(pid, _)) => drop(self.running.remove(&pid)),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid::new(1);

    fn why(signal: i32, interrupted: bool) -> String {
        let (leave, told_to_leave) = bounded(1);
        if interrupted {
            leave.send(()).unwrap();
        }
        drop(leave);
        let mut cluster = Cluster::new(&[PID], told_to_leave).unwrap();
        cluster.records.push(Record::new(PID, 0));
        cluster.note(News::Ended(PID, Ending::by_signal(signal))).unwrap_err().to_string()
    }

    #[test]
    fn an_interrupt_that_also_ends_a_child_is_what_breaks_the_story_off() {
        let died = "server 1 has ended by signal: 15 (SIGTERM), which is no part of it";
        assert_eq!(why(15, true), "it was interrupted");
        assert_eq!(why(2, true), "it was interrupted");
        assert_eq!(why(15, false), died);
        assert_eq!(why(9, true), died.replace("15 (SIGTERM)", "9 (SIGKILL)"));
    }
}
