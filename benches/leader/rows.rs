//! What is wrong with the third server, and what the second one notices.

use std::thread;
use std::time::Duration;

use crossbeam_channel::after;
use nix::sys::signal::Signal;
use raft_cluster::{Event, Receiver};

use super::Result;
use super::cluster::{Cluster, Line};
use super::follower::{Follower, Notes, Order};
use super::pattern::ENTRY;
use super::traffic::{FAULTY, HEALTHY, send_entries, send_heartbeats, send_snapshot};

/// How long all is well before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long the third server is stopped.
const STOP: Duration = Duration::from_secs(3);

/// A window that holds all of a snapshot, in bytes.
const LARGE_WINDOW: usize = 128 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Killed,
    Stopped,
    ReadsSlowly,
    TakesSnapshot,
}

/// How the entries are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All through the one outbox, where each waits.
    OneOutbox,
    /// All through the one outbox, where none waits.
    OrReturn,
    /// Through an outbox for each peer.
    OutboxEach,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::OneOutbox, Self::OrReturn, Self::OutboxEach];

    pub fn name(self) -> &'static str {
        match self {
            Self::OneOutbox => "simply sent",
            Self::OrReturn => "`or_return`",
            Self::OutboxEach => "`outbox_to` each",
        }
    }
}

pub struct Row {
    pub name: &'static str,
    pub fault: Fault,
    pub line: Line,
    window: Option<usize>,
}

pub fn all() -> Vec<Row> {
    let row = |name, fault, line| Row { name, fault, line, window: None };
    let snapshot_line = Line::Limited(400_000_000);
    vec![
        row("nothing wrong", Fault::None, Line::Loopback),
        row("3 killed", Fault::Killed, Line::Loopback),
        row("3 stopped for 3 s", Fault::Stopped, Line::Loopback),
        row("3 reads slowly for 8 s", Fault::ReadsSlowly, Line::Loopback),
        Row {
            window: Some(LARGE_WINDOW),
            ..row("snapshot to 3, 400 Mbit/s, window 128 MiB", Fault::TakesSnapshot, snapshot_line)
        },
        row("snapshot to 3, 400 Mbit/s", Fault::TakesSnapshot, snapshot_line),
        row("3 behind 1 Mbit/s", Fault::None, Line::Limited(1_000_000)),
    ]
}

/// What came of a row.
pub struct Outcome {
    pub healthy: Notes,
    /// Unless it was killed.
    pub faulty: Option<Notes>,
    /// What came back from each of the two.
    pub returned: [Returned; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Returned {
    pub heartbeats: u64,
    pub entries: u64,
}

impl Row {
    pub fn measure(&self, way: Way, lasts: Duration) -> Result<Outcome> {
        let Cluster { mailbox, server, mut healthy, mut faulty, _machines } =
            Cluster::start(self.line, self.window)?;
        thread::scope(|scope| {
            let to = |pid| server.outbox_to(pid).ok_or("no such peer");
            let (to_healthy, to_faulty, snapshot) = (to(HEALTHY)?, to(FAULTY)?, to(FAULTY)?);
            let outbox = &mailbox.outbox;
            scope.spawn(|| send_heartbeats(outbox));
            if way == Way::OutboxEach {
                scope.spawn(move || send_entries(&to_healthy, &[HEALTHY], false));
                scope.spawn(move || send_entries(&to_faulty, &[FAULTY], false));
            } else {
                let or_return = way == Way::OrReturn;
                scope.spawn(move || send_entries(outbox, &[HEALTHY, FAULTY], or_return));
            }
            let events = server.events().clone();
            let returned = scope.spawn(move || count_returned(&events));
            let watch = || {
                after(WARM_UP).recv()?;
                healthy.report()?;
                faulty.report()?;
                if self.fault == Fault::TakesSnapshot {
                    scope.spawn(move || send_snapshot(&snapshot));
                }
                self.go_wrong(&mut faulty, lasts)?;
                let healthy = healthy.report()?;
                let killed = self.fault == Fault::Killed;
                let faulty = if killed { None } else { Some(faulty.report()?) };
                Result::Ok((healthy, faulty))
            };
            let notes = watch();
            // With this all that are still sending end.
            server.shutdown();
            let (healthy, faulty) = notes?;
            let returned = returned.join().map_err(|_| "a thread has panicked")?;
            Ok(Outcome { healthy, faulty, returned })
        })
    }

    /// Brings about what goes wrong, and waits for as long as it counts.
    fn go_wrong(&self, faulty: &mut Follower, lasts: Duration) -> Result<()> {
        match self.fault {
            Fault::None | Fault::TakesSnapshot => {}
            Fault::Killed => faulty.signal(Signal::SIGKILL)?,
            Fault::ReadsSlowly => faulty.order(Order::ReadSlowly)?,
            Fault::Stopped => {
                faulty.signal(Signal::SIGSTOP)?;
                after(STOP).recv()?;
                faulty.signal(Signal::SIGCONT)?;
            }
        }
        after(lasts).recv()?;
        Ok(())
    }
}

/// Counts what comes back, until the server ends.
fn count_returned(events: &Receiver<Event>) -> [Returned; 2] {
    let mut all = [Returned::default(); 2];
    for event in events {
        let Event::Undeliverable { peer, envelope, .. } = event else { continue };
        let returned = &mut all[usize::from(peer == FAULTY)];
        match envelope.msg.len() {
            ENTRY => returned.entries += 1,
            length if length < ENTRY => returned.heartbeats += 1,
            _ => {}
        }
    }
    all
}
