//! `--demo`: a story of five servers, told by what really happens to their messages.
//!
//! ```text
//!  the chapters ── orders ──► cluster ── leads ──► five children, `node --dictated --json`
//!                                ▲                       │
//!  audit, table ◄── records ─────┴──────── news ◄────────┘
//! ```
//!
//! Nothing in it is staged: a line says what the servers are told to do, or what they have reported
//! themselves, and in the end an audit compares what each of them received with what it was
//! promised.

mod audit;
mod cluster;
mod folder;
mod narrator;
mod record;
mod table;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use raft_cluster::Pid;

use self::audit::Audit;
use self::cluster::{Broken, Cluster};
use self::narrator::Narrator;
use self::record::Counts;
use crate::signals::{self, Orders};
use crate::{INCOMPLETE, chain, complain};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const VICTIM: Pid = Pid::new(3);
const FOUR: Pid = Pid::new(4);
const FIVE: Pid = Pid::new(5);
const PIDS: [Pid; 5] = [ONE, TWO, VICTIM, FOUR, FIVE];

/// What the killed server says when it is back.
const BACK: &str = "I am back";

/// How many messages one of the others has for the killed server.
const NOTES: usize = 1000;

/// How long a chapter lasts if nothing in it takes longer. To its end the servers are heard: for
/// the reader, and because a message that comes again would come in this time.
const CHAPTER: Duration = Duration::from_millis(1200);

/// Tells the story. The exit status says whether it came true.
pub(crate) fn run() -> Result<ExitCode, Box<dyn Error>> {
    let (leave, told_to_leave) = bounded(1);
    // It has no files of its user's: where its terminal goes away, the story ends.
    signals::watch(Orders { reread: leave.clone(), leave })?;
    let cluster = Cluster::new(&PIDS, told_to_leave)?;
    let mut story = Story { cluster, narrator: Narrator::new(), chapter_ends: Instant::now() };
    let told = story.tell();
    let Story { cluster, narrator, .. } = story;
    drop(cluster);
    let shown = narrator.finish();
    if let Err(error) = &shown {
        complain(&format!("cannot write to stdout: {error}"));
    }
    match &told {
        Ok(faults) => faults.iter().for_each(|fault| complain(fault)),
        Err(Broken::Unread) => {}
        Err(broken) => complain(&format!("the story breaks off: {}", chain(broken))),
    }
    match told.is_ok_and(|faults| faults.is_empty()) && shown.is_ok() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(INCOMPLETE)),
    }
}

struct Story {
    cluster: Cluster,
    narrator: Narrator,
    /// On time. A chapter that took longer shortens the next ones, so that a slow machine makes the
    /// story no longer than it must.
    chapter_ends: Instant,
}

impl Story {
    /// Tells all of it, and returns what did not come true.
    fn tell(&mut self) -> Result<Vec<String>, Broken> {
        self.narrator.say(
            "Five servers, each a process of its own: what they are told to do, and what they report\n\
             of it, as it happens.",
        )?;
        self.greet()?;
        self.kill()?;
        self.go_on()?;
        self.come_back()?;
        self.leave()?;
        self.account()
    }

    fn greet(&mut self) -> Result<(), Broken> {
        self.narrator.chapter("1. Five servers start and greet each other")?;
        for pid in PIDS {
            self.cluster.start(pid, &format!("hello from {pid}"))?;
        }
        self.cluster.until("all servers listen", |cluster| {
            PIDS.iter().all(|&pid| cluster.record(pid).listens)
        })?;
        let ids: Vec<_> = PIDS.iter().map(|&pid| self.cluster.record(pid).id).collect();
        self.narrator.tell(&format!("servers {} run as processes {}", list(&PIDS), list(&ids)))?;
        self.as_each(
            &PIDS,
            "all servers receive the greetings",
            |cluster, pid| cluster.record(pid).has_received_all(),
            |cluster, pid| {
                let others = list(&cluster.others(&[pid]));
                format!("server {pid} has received the greetings of {others}")
            },
        )?;
        self.end_chapter()
    }

    fn kill(&mut self) -> Result<(), Broken> {
        self.narrator.chapter(&format!("2. Server {VICTIM} is killed"))?;
        self.narrator.tell(&format!("kill -9 {}", self.cluster.record(VICTIM).id))?;
        self.cluster.kill(VICTIM)?;
        if let Some(ending) = &self.cluster.record(VICTIM).ending {
            self.narrator.tell(&format!("server {VICTIM} {ending}: it could not say goodbye"))?;
        }
        self.end_chapter()
    }

    fn go_on(&mut self) -> Result<(), Broken> {
        self.narrator
            .chapter(&format!("3. The others go on, and write to server {VICTIM} as well"))?;
        for (from, text) in [(ONE, "where is 3?"), (FOUR, "we keep its messages")] {
            self.cluster.broadcast(from, text);
            self.narrator.tell(&format!("server {from} to all: {text:?}"))?;
            let living = self.cluster.others(&[from, VICTIM]);
            self.cluster.until("all living servers receive a broadcast", |cluster| {
                living.iter().all(|&pid| cluster.record(pid).has_received_all())
            })?;
            self.narrator.tell(&format!("servers {} have received it", list(&living)))?;
        }
        let notes: Vec<_> = (1..=NOTES).map(|number| format!("note {number}")).collect();
        self.cluster.send(FIVE, VICTIM, &notes);
        self.narrator.tell(&format!("server {FIVE} to server {VICTIM}: {}", quoted(&notes)))?;
        let waiting = self.cluster.waiting();
        self.narrator
            .tell(&format!("{waiting} messages wait for server {VICTIM} at their senders"))?;
        self.end_chapter()
    }

    fn come_back(&mut self) -> Result<(), Broken> {
        self.narrator.chapter(&format!("4. Server {VICTIM} comes back"))?;
        self.cluster.start(VICTIM, BACK)?;
        self.cluster.until("the server listens again", |cluster| cluster.record(VICTIM).listens)?;
        let id = self.cluster.record(VICTIM).id;
        self.narrator.tell(&format!("server {VICTIM} runs again, as process {id}"))?;
        self.as_each(
            &[ONE, FOUR, FIVE],
            "it receives all that waited for it",
            |cluster, from| cluster.record(VICTIM).has_received(from),
            |cluster, from| {
                let received = quoted(&cluster.record(VICTIM).received_from(from));
                format!("server {VICTIM} has received from server {from}: {received}")
            },
        )?;
        let others = self.cluster.others(&[VICTIM]);
        self.cluster.until("the others receive what the new process says", |cluster| {
            others
                .iter()
                .map(|&pid| cluster.record(pid))
                .all(|record| record.met.contains(&VICTIM) && record.has_received(VICTIM))
        })?;
        let others = list(&others);
        self.narrator.tell(&format!("servers {others} have met it, and received {BACK:?}"))?;
        self.end_chapter()
    }

    fn leave(&mut self) -> Result<(), Broken> {
        self.narrator.chapter("5. All leave")?;
        self.cluster.leave();
        self.as_each(
            &PIDS,
            "all servers leave",
            |cluster, pid| cluster.record(pid).ending.is_some(),
            |cluster, pid| match cluster.record(pid).counts {
                Some(Counts { undelivered: 0, .. }) => {
                    format!("server {pid} has left; all that it sent was acknowledged")
                }
                Some(Counts { undelivered, .. }) => {
                    format!("server {pid} has left; {undelivered} messages were not acknowledged")
                }
                None => format!("server {pid} is gone, without a word"),
            },
        )
    }

    /// The table, and what the audit finds.
    fn account(&mut self) -> Result<Vec<String>, Broken> {
        self.narrator.chapter("Who sent and received what")?;
        let records = self.cluster.records();
        for line in table::lines(&PIDS, records) {
            self.narrator.say(&line)?;
        }
        let audit = Audit::of(records);
        self.narrator.say(&format!("\n{}", verdict(&audit)))?;
        Ok(audit.faults)
    }

    fn end_chapter(&mut self) -> Result<(), Broken> {
        self.chapter_ends += CHAPTER;
        self.cluster.listen(self.chapter_ends)
    }

    /// Waits until `is_true` is of each of the servers, and tells so of each when it is.
    fn as_each(
        &mut self,
        pids: &[Pid],
        awaited: &str,
        is_true: impl Fn(&Cluster, Pid) -> bool,
        text: impl Fn(&Cluster, Pid) -> String,
    ) -> Result<(), Broken> {
        let mut open = pids.to_vec();
        while !open.is_empty() {
            let is_any = |cluster: &Cluster| open.iter().any(|&pid| is_true(cluster, pid));
            self.cluster.until(awaited, is_any)?;
            let (done, rest): (Vec<_>, _) =
                open.into_iter().partition(|&pid| is_true(&self.cluster, pid));
            open = rest;
            for pid in done {
                self.narrator.tell(&text(&self.cluster, pid))?;
            }
        }
        Ok(())
    }
}

fn verdict(audit: &Audit) -> String {
    let Audit { promised, repeated, faults } = audit;
    if !faults.is_empty() {
        return "It did not happen as promised: what is wrong stands on stderr.".into();
    }
    match repeated {
        0 => format!(
            "All {promised} messages arrived, each once and in order. (What a killed process had\n\
             received but not acknowledged comes again to the one that takes its place: here\n\
             that was nothing.)"
        ),
        _ => format!(
            "All {promised} messages arrived in order, {repeated} of them twice: what the killed\n\
             process had received but not acknowledged came again to the one that took its place."
        ),
    }
}

/// The texts, or the first and the last of many.
fn quoted(texts: &[impl AsRef<str>]) -> String {
    let (count, mut texts) = (texts.len(), texts.iter().map(AsRef::as_ref));
    match (texts.next(), texts.next_back()) {
        (None, _) => "nothing".into(),
        (Some(only), None) => format!("{only:?}"),
        (Some(first), Some(last)) => format!("{count} messages, {first:?} to {last:?}"),
    }
}

/// As one writes a list of more than one.
fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    match items.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => items.concat(),
    }
}
