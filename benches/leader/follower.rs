//! A follower: a process of its own that notes when what comes in comes in.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select, tick};
use nix::sys::signal::{Signal, kill};
use raft_cluster::{Envelope, Mailbox, Pid, Sender, Server};
use serde::{Deserialize, Serialize};

use super::Result;
use super::pattern::ENTRY;
use super::traffic::{LEADER, PING, SNAPSHOT_PART};

/// How a follower reads that reads slowly: one message at a time, about a tenth of what comes.
const SLOW: Duration = Duration::from_millis(6);
const SLOW_FOR: Duration = Duration::from_secs(8);

/// What the process is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its configuration file.
    pub config: String,
    pub pid: u32,
}

/// What it is told, a line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Tell what has come in since the last report.
    Report,
    ReadSlowly,
    StopReading,
}

/// What has come in within some time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Notes {
    pub seconds: f64,
    pub heartbeats: Arrivals,
    pub entries: Arrivals,
    /// After how many seconds the last part of a snapshot came in.
    pub snapshot: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Arrivals {
    pub number: u64,
    /// The longest time without any, in seconds.
    pub longest_interval: f64,
}

/// A running follower. It is killed when it goes out of scope.
pub struct Follower {
    child: Child,
    orders: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    pub fn start(role: &Role) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--follow", &serde_json::to_string(role)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no stdin")?;
        let told = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        Ok(Self { child, orders, told })
    }

    pub fn order(&mut self, order: Order) -> Result<()> {
        Ok(writeln!(self.orders, "{}", serde_json::to_string(&order)?)?)
    }

    /// What has come in since the last report.
    pub fn report(&mut self) -> Result<Notes> {
        self.order(Order::Report)?;
        let line = self.told.next().ok_or("a follower has ended")??;
        Ok(serde_json::from_str(&line)?)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(nix::unistd::Pid::from_raw(self.child.id().try_into()?), signal)?)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the follower that the role says, until its parent is gone.
pub fn follow(role: &str) -> Result<()> {
    let role: Role = serde_json::from_str(role)?;
    let config = role.config.parse()?;
    let (mailbox, server) =
        Server::builder(&config, Pid::new(role.pid)).idle_timeout(None).start()?;
    let answers = server.outbox_to(LEADER).ok_or("no leader")?;
    let orders = orders();
    let mut diary = Diary::new();
    loop {
        select! {
            recv(mailbox.inbox) -> envelope => diary.note(&envelope?, &answers)?,
            recv(orders) -> order => match order? {
                Order::Report => {
                    println!("{}", serde_json::to_string(&diary.close())?);
                    diary = Diary::new();
                }
                Order::ReadSlowly => read_slowly(&mailbox, &mut diary, &answers)?,
                Order::StopReading => while orders.recv().is_ok() {},
            },
        }
    }
}

/// What the parent says. The process ends with it.
fn orders() -> Receiver<Order> {
    let (sender, orders) = bounded(16);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(io::Result::ok) {
            match serde_json::from_str(&line) {
                Ok(order) if sender.send(order).is_ok() => {}
                _ => break,
            }
        }
        exit(0);
    });
    orders
}

fn read_slowly(mailbox: &Mailbox, diary: &mut Diary, answers: &Sender<Envelope>) -> Result<()> {
    let began = Instant::now();
    for _ in tick(SLOW).iter().take_while(|_| began.elapsed() < SLOW_FOR) {
        if let Ok(envelope) = mailbox.inbox.try_recv() {
            diary.note(&envelope, answers)?;
        }
    }
    Ok(())
}

/// What has come in, and when.
struct Diary {
    began: Instant,
    heartbeats: Series,
    entries: Series,
    snapshot: Option<f64>,
}

struct Series {
    last: Instant,
    arrivals: Arrivals,
}

impl Diary {
    fn new() -> Self {
        let began = Instant::now();
        let series = || Series { last: began, arrivals: Arrivals::default() };
        Self { began, heartbeats: series(), entries: series(), snapshot: None }
    }

    fn note(&mut self, envelope: &Envelope, answers: &Sender<Envelope>) -> Result<()> {
        match envelope.msg.len() {
            PING => answers.send(envelope.reply(envelope.msg.clone()))?,
            ENTRY => self.entries.note(),
            SNAPSHOT_PART => self.snapshot = Some(self.began.elapsed().as_secs_f64()),
            length if length < ENTRY => self.heartbeats.note(),
            // What only fills the way.
            _ => {}
        }
        Ok(())
    }

    fn close(&self) -> Notes {
        Notes {
            seconds: self.began.elapsed().as_secs_f64(),
            heartbeats: self.heartbeats.close(),
            entries: self.entries.close(),
            snapshot: self.snapshot,
        }
    }
}

impl Series {
    fn note(&mut self) {
        self.arrivals = self.close();
        self.arrivals.number += 1;
        self.last = Instant::now();
    }

    /// With the time since the last arrival.
    fn close(&self) -> Arrivals {
        let interval = self.last.elapsed().as_secs_f64();
        let longest_interval = self.arrivals.longest_interval.max(interval);
        Arrivals { longest_interval, ..self.arrivals }
    }
}
