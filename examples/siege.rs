//! What 1,000 connections that throw garbage at a server's port do to its peers:
//! `cargo run --release --example siege`.
//!
//! Two servers send messages of 1 KiB to a third, a process of its own, as fast as they can; in
//! turns in peace, and while every connection throws random bytes ten times a second and comes back
//! whenever it is thrown out. It prints the throughput of both, and how much memory the third
//! server has. The exit status says whether enough of the throughput stays, and little enough
//! memory is taken.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use raft_cluster::{Bytes, Config, Envelope, Event, Mailbox, Pid, Server};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Who is under siege, and how many peers it has.
const BESIEGED: Pid = Pid::new(1);
const PEERS: u32 = 2;

/// The size of the peers' messages, in bytes.
const MESSAGE: usize = 1_024;

const CONNECTIONS: usize = 1_000;

/// How many threads share the connections.
const THROWERS: usize = 4;

/// How often each connection throws, and how much at most, in bytes.
const PACE: Duration = Duration::from_millis(100);
const GARBAGE: usize = 1_024;

/// How often peace and siege take turns, and how long each lasts.
const TURNS: u32 = 3;
const TURN: Duration = Duration::from_secs(4);

/// What has to stay of the throughput, and the most that the memory may grow by, in MiB.
const ENOUGH: f64 = 0.7;
const LITTLE: u64 = 128;

/// Set for the process under siege: its configuration.
const ROLE: &str = "RAFT_CLUSTER_SIEGE";

fn main() -> Result<ExitCode> {
    if let Ok(config) = env::var(ROLE) {
        receive(&config.parse()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let addresses = free_addresses(PEERS + 1)?;
    let text = config_text(&addresses);
    let mut besieged = Besieged::start(&text)?;
    let config = text.parse()?;
    let over = AtomicBool::new(false);
    let held = thread::scope(|scope| {
        let _end = EndOnDrop(&over);
        for pid in (1..=PEERS).map(|n| Pid::new(n + 1)) {
            let (mailbox, server) =
                Server::builder(&config, pid).linger(Duration::ZERO).idle_timeout(None).start()?;
            while !matches!(server.events().recv()?, Event::Up(BESIEGED)) {}
            let over = &over;
            scope.spawn(move || send(&mailbox, &server, over));
        }
        measure(&mut besieged, addresses[0])
    })?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares the turns, and tells whether the siege was held.
fn measure(besieged: &mut Besieged, address: SocketAddr) -> Result<bool> {
    let mut out = io::stdout();
    // The first turn only warms up.
    besieged.throughput(TURN)?;
    let before = besieged.memory()?;
    let (mut peace, mut siege, mut peak) = (0.0, 0.0, before);
    let thrown = AtomicU64::new(0);
    for turn in 1..=TURNS {
        let quiet = besieged.throughput(TURN)?;
        let loud = under_siege(address, &thrown, || besieged.throughput(TURN))?;
        peak = peak.max(besieged.memory()?);
        writeln!(out, "turn {turn}: {quiet:.0} messages/s in peace, {loud:.0} under siege")?;
        peace += quiet;
        siege += loud;
    }
    let (ratio, grown, thrown) = (siege / peace, peak - before, thrown.into_inner());
    writeln!(out, "{CONNECTIONS} connections threw {thrown} times and left {ratio:.2} of it")?;
    writeln!(out, "memory: {before} MiB before, {peak} MiB at most afterwards")?;
    Ok(ratio >= ENOUGH && grown <= LITTLE)
}

/// Sends to the server under siege as fast as it takes it.
fn send(mailbox: &Mailbox, server: &Server, over: &AtomicBool) {
    let envelope = Envelope::to(BESIEGED, Bytes::from(vec![7; MESSAGE]));
    while !over.load(Ordering::Relaxed) {
        let sent = mailbox.outbox.send_timeout(envelope.clone(), TURN);
        assert!(sent.is_ok(), "server {} is stuck", server.pid());
    }
}

/// Does this while all connections throw garbage at `address`.
fn under_siege<T>(address: SocketAddr, thrown: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = EndOnDrop(&over);
        for seed in 0..THROWERS as u64 {
            let over = &over;
            scope.spawn(move || throw(address, seed, thrown, over));
        }
        work()
    })
}

/// One thrower's share of the connections.
fn throw(address: SocketAddr, seed: u64, thrown: &AtomicU64, over: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    connections.resize_with(CONNECTIONS / THROWERS, || None);
    let ticks = crossbeam_channel::tick(PACE / (CONNECTIONS / THROWERS) as u32);
    for turn in (0..connections.len()).cycle() {
        if over.load(Ordering::Relaxed) || ticks.recv().is_err() {
            return;
        }
        let connection = &mut connections[turn];
        if connection.is_none() {
            *connection = connect(address).ok();
        }
        let garbage: Vec<u8> = (0..random.usize(1..=GARBAGE)).map(|_| random.u8(..)).collect();
        let taken = connection.as_mut().is_some_and(|stream| stream.write_all(&garbage).is_ok());
        if taken {
            thrown.fetch_add(1, Ordering::Relaxed);
        } else {
            *connection = None;
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// The server under siege. Its process ends with its standard input.
struct Besieged {
    process: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Besieged {
    fn start(config: &str) -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .env(ROLE, config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asked = process.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no standard output")?);
        Ok(Self { process, asked, answers })
    }

    /// How many messages it has received.
    fn received(&mut self) -> Result<u64> {
        writeln!(self.asked)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().parse()?)
    }

    /// How many messages a second it receives, on average over this time.
    fn throughput(&mut self, time: Duration) -> Result<f64> {
        let (started, before) = (Instant::now(), self.received()?);
        crossbeam_channel::after(time).recv()?;
        let received = self.received()? - before;
        Ok(received as f64 / started.elapsed().as_secs_f64())
    }

    /// How much memory it has at most had, in MiB.
    fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.ok_or("no VmHWM in /proc")?.trim().trim_end_matches(" kB");
        Ok(peak.parse::<u64>()? / 1_024)
    }
}

/// Is the server under siege, and tells how many messages it has received whenever it is asked.
fn receive(config: &Config) -> Result<()> {
    let (Mailbox { inbox, .. }, server) =
        Server::builder(config, BESIEGED).linger(Duration::ZERO).idle_timeout(None).start()?;
    thread::spawn(move || inbox.iter().for_each(drop));
    let mut out = io::stdout();
    for line in io::stdin().lines() {
        line?;
        writeln!(out, "{}", server.stats().messages_received)?;
    }
    Ok(())
}

/// Addresses that the system has just handed out, all different.
fn free_addresses(count: u32) -> io::Result<Vec<SocketAddr>> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}

fn config_text(addresses: &[SocketAddr]) -> String {
    let servers: Vec<_> = (1..)
        .zip(addresses)
        .map(|(pid, url)| serde_json::json!({"mypid": pid, "url": url.to_string()}))
        .collect();
    serde_json::json!({"object": {"total": servers.len(), "Servers": servers}}).to_string()
}

/// Ends what the others do, also when something fails.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
