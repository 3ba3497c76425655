//! The server under attack: the test program again, told to run [`a_server_under_attack`] alone.
//!
//! It answers every message of a true peer with the same message, and on its standard output, which
//! no attack reaches, every order with a [`Report`].

use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, never, select, unbounded};
use raft_cluster::{Config, Envelope, Event, Mailbox, Pid, Server};
use serde::{Deserialize, Serialize};

use crate::support::{BOUND, within};

const ROLE: &str = "RAFT_CLUSTER_TEST_VICTIM";

/// What the servers of a siege have for their window and their largest message, in bytes.
pub const WINDOW: usize = 1 << 20;

/// How long a peer of theirs may be silent.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
pub struct Role {
    pub config: String,
    pub secret: Option<String>,
    /// Whose messages it answers.
    pub friends: Vec<u32>,
}

/// What the server is asked. It answers all of it with a report.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Order {
    Report,
    /// Leave the inbox alone.
    Ignore,
    /// Read it again.
    Listen,
    /// Send so many messages of this many bytes to server 3.
    Speak(usize, usize),
    /// End the server.
    End,
}

/// How the server stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub rejected: u64,
    /// How many of its messages server 3 has acknowledged.
    pub acknowledged: u64,
    /// How many were refused for which reason, as far as it was told.
    pub reasons: BTreeMap<String, u64>,
    /// How many messages it was given under which name.
    pub delivered: BTreeMap<u32, u64>,
    /// How often each peer was found up, down, or restarted.
    pub ups: BTreeMap<u32, u64>,
    pub downs: BTreeMap<u32, u64>,
    pub restarts: BTreeMap<u32, u64>,
}

impl Report {
    pub fn rejections(&self, reason: impl Display) -> u64 {
        self.reasons.get(&reason.to_string()).copied().unwrap_or(0)
    }
}

/// The running server. It is killed when it goes out of scope.
pub struct Victim {
    process: Child,
    orders: ChildStdin,
    reports: Receiver<Report>,
}

impl Victim {
    /// Starts the server. It is bound when this returns.
    pub fn start(role: &Role) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "victim::a_server_under_attack", "--ignored", "--nocapture"])
            .env(ROLE, serde_json::to_string(role).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let reports = reports(process.stdout.take().unwrap());
        let mut victim = Self { process, orders, reports };
        victim.order(Order::Report);
        victim
    }

    pub fn order(&mut self, order: Order) -> Report {
        writeln!(self.orders, "{}", serde_json::to_string(&order).unwrap()).unwrap();
        self.reports.recv_timeout(BOUND).expect("the server goes on")
    }

    /// The most memory it ever had, in KiB.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn reports(stdout: ChildStdout) -> Receiver<Report> {
    let (sender, reports) = unbounded();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // The test runner has a word of its own to say before the first.
            let Some(report) = line.find("{\"rejected\"") else { continue };
            let _ = sender.send(serde_json::from_str(&line[report..]).unwrap());
        }
    });
    reports
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = within(BOUND, "the killed victim to end", || self.process.wait());
    }
}

#[test]
#[ignore = "a part that another process plays"]
fn a_server_under_attack() {
    let Ok(role) = env::var(ROLE) else { return };
    let role: Role = serde_json::from_str(&role).unwrap();
    crate::siege::raise_file_limit();
    let config: Config = role.config.parse().unwrap();
    let builder = crate::siege::tuned(Server::builder(&config, Pid::new(1)));
    let builder = match &role.secret {
        Some(secret) => builder.secret_key(secret.parse().unwrap()),
        None => builder,
    };
    let (mailbox, server) = builder.start().unwrap();
    let report = serve(&mailbox, &server, &role.friends);
    server.shutdown();
    report.tell();
}

fn serve(mailbox: &Mailbox, server: &Server, friends: &[u32]) -> Report {
    let orders = orders();
    let nothing = never();
    let mut inbox = &mailbox.inbox;
    let mut report = Report::default();
    loop {
        select! {
            recv(inbox) -> envelope => {
                let Envelope { from, msg_id, msg, .. } = envelope.expect("the inbox stays");
                *report.delivered.entry(from.as_u32()).or_default() += 1;
                if friends.contains(&from.as_u32()) {
                    let answer = Envelope::to(from, msg).with_id(msg_id);
                    mailbox.outbox.send_timeout(answer, BOUND).unwrap();
                }
            }
            recv(server.events()) -> event => report.note(&event.expect("the server goes on")),
            recv(orders) -> order => {
                match order.unwrap() {
                    Order::Report => {}
                    Order::Ignore => inbox = &nothing,
                    Order::Listen => inbox = &mailbox.inbox,
                    Order::Speak(count, bytes) => speak(mailbox, count, bytes),
                    Order::End => return report,
                }
                let stats = server.stats();
                report.rejected = stats.rejected;
                report.acknowledged = stats.peer(Pid::new(3)).map_or(0, |peer| peer.acknowledged);
                report.tell();
            }
        }
    }
}

fn speak(mailbox: &Mailbox, count: usize, bytes: usize) {
    for _ in 0..count {
        // Not zeroes, which the kernel gives without memory behind them.
        let envelope = Envelope::to(Pid::new(3), vec![1; bytes]);
        mailbox.outbox.send_timeout(envelope, BOUND).unwrap();
    }
}

/// The orders out of standard input. The process ends with it.
fn orders() -> Receiver<Order> {
    let (sender, orders) = bounded(0);
    thread::spawn(move || {
        for line in io::stdin().lines() {
            sender.send(serde_json::from_str(&line.unwrap()).unwrap()).unwrap();
        }
        exit(1);
    });
    orders
}

impl Report {
    fn tell(&self) {
        println!("{}", serde_json::to_string(self).unwrap());
    }

    fn note(&mut self, event: &Event) {
        let count = |map: &mut BTreeMap<u32, u64>, pid: &Pid| {
            *map.entry(pid.as_u32()).or_default() += 1;
        };
        match event {
            Event::Up(pid) => count(&mut self.ups, pid),
            Event::Down(pid) => count(&mut self.downs, pid),
            Event::Restarted(pid) => count(&mut self.restarts, pid),
            Event::Rejected { reason, count, .. } => {
                *self.reasons.entry(reason.to_string()).or_default() += count;
            }
            _ => {}
        }
    }
}
