//! One server: sends at random, audits what comes in, and tells its parent on stdout.

use std::fs;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, tick};
use raft_cluster::{Config, Envelope, Event, Mailbox, PeerState, Pid, Server};

use crate::memory::{self, LARGEST};
use crate::shared::process::{orders, tell};
use crate::tally::{Kind, Order, Role, Stamp, Tally};
use crate::{Result, SERVERS};

/// How often the parent is told.
const REPORT: Duration = Duration::from_millis(200);

/// How long this server waits at most for its peers to be there when it is to end.
const REUNION: Duration = Duration::from_secs(30);

/// Runs until the parent says `finish`, or is gone.
pub(crate) fn play(role: &Role) -> Result<()> {
    let config: Config = role.config.parse()?;
    let pid = config.pids()[role.server];
    let bare = peak().unwrap_or(0);
    let (mailbox, server) = memory::bounded(Server::builder(&config, pid)).start()?;
    let Mailbox { outbox, inbox, .. } = mailbox;
    let orders = orders();
    let tally = thread::scope(|scope| {
        let sending = scope.spawn(|| send(role, &config, outbox, &orders, &server));
        let tally = Auditor::new(role, &server, bare).run(&inbox);
        sending.join().map_err(|_| "the sender panicked")??;
        tally
    })?;
    tell(&tally)
}

/// Sends bursts of messages, small and large, to one or to all, until it is to finish.
fn send(
    role: &Role,
    config: &Config,
    outbox: Sender<Envelope>,
    orders: &Receiver<Order>,
    server: &Server,
) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(role.seed ^ u64::from(role.generation));
    let mut places = [0; SERVERS];
    let mut stamp = |all: bool, to: usize, kind| {
        let stamp = Stamp { generation: role.generation, kind, places };
        let is_for = |at: usize| at != role.server && (all || at == to);
        (0..SERVERS).filter(|at| is_for(*at)).for_each(|at| places[at] += 1);
        stamp
    };
    loop {
        for _ in 0..random.u32(1..2_000) {
            let to = (role.server + random.usize(1..SERVERS)) % SERVERS;
            let all = random.u8(0..3) == 0;
            let is_large = random.u16(0..1_000) == 0;
            let filling = random.usize(if is_large { 0..LARGEST - Stamp::LEN } else { 0..500 });
            let msg = stamp(all, to, Kind::Traffic).encode(filling);
            let single = |msg| Envelope::to(config.pids()[to], msg);
            outbox.send(if all { Envelope::broadcast(msg) } else { single(msg) })?;
        }
        let pause = Duration::from_millis(random.u64(0..30));
        if let Ok(Order::Finish) = orders.recv_timeout(pause) {
            break;
        }
    }
    await_peers(server);
    outbox.send(Envelope::broadcast(stamp(true, 0, Kind::LastWord).encode(0)))?;
    // With it the outbox ends, and the server begins to leave.
    drop(outbox);
    Ok(())
}

/// Waits until all peers are there, and have what was sent to them: the last word is for everybody.
fn await_peers(server: &Server) {
    let started = Instant::now();
    for _ in tick(Duration::from_millis(10)) {
        let stats = server.stats();
        let ready = stats.peers.iter().all(|peer| {
            matches!(peer.state, PeerState::Up | PeerState::Left)
                && peer.queued + peer.in_flight == 0
        });
        if ready || started.elapsed() > REUNION {
            return;
        }
    }
}

/// Holds what comes in against what was sent.
struct Auditor<'a> {
    role: &'a Role,
    server: &'a Server,
    streams: [Stream; SERVERS],
    tally: Tally,
    /// The memory of this process before its server started, in KiB.
    bare: u64,
}

/// What one peer sends.
#[derive(Clone, Copy, Default)]
struct Stream {
    /// Which process is heard.
    generation: u32,
    next: u64,
    /// How much has been found missing, of all that this server was told it had missed.
    excused: u64,
}

impl<'a> Auditor<'a> {
    fn new(role: &'a Role, server: &'a Server, bare: u64) -> Self {
        let (streams, tally) = Default::default();
        Self { role, server, streams, tally, bare }
    }

    /// Audits until the inbox ends.
    fn run(mut self, inbox: &Receiver<Envelope>) -> Result<Tally> {
        let report = tick(REPORT);
        loop {
            select! {
                recv(inbox) -> envelope => match envelope {
                    Ok(envelope) => self.note(&envelope),
                    Err(_) => break,
                },
                recv(self.server.events()) -> event => self.observe(event.as_ref().ok()),
                recv(report) -> _ => {
                    self.count();
                    tell(&self.tally)?;
                }
            }
        }
        self.count();
        Ok(self.tally)
    }

    fn note(&mut self, envelope: &Envelope) {
        self.tally.received += 1;
        let Some((from, stamp)) = self.sender(envelope) else { return };
        let place = stamp.places[self.role.server];
        let stream = &mut self.streams[from];
        if stamp.generation < stream.generation {
            self.tally.outdated += 1;
            return;
        }
        if stamp.generation > stream.generation {
            // Who starts later than its peer may find that predecessors have had the beginning. From
            // where it begins, all of it is for this process.
            let first = if self.role.generation < stamp.generation { 0 } else { place };
            stream.generation = stamp.generation;
            stream.next = first;
        }
        if place < stream.next {
            self.tally.repeated += 1;
            return;
        }
        let missing = place - stream.next;
        stream.next = place + 1;
        if missing > 0 {
            self.excuse(envelope.from, from, missing);
        }
        if stamp.kind == Kind::LastWord {
            self.tally.last_words[from] = Some(stamp.generation);
        }
    }

    fn sender(&mut self, envelope: &Envelope) -> Option<(usize, Stamp)> {
        let from = usize::try_from(envelope.from.as_u32()).ok()?.checked_sub(1)?;
        let stamp = Stamp::decode(&envelope.msg);
        if stamp.is_none() {
            // A damaged message has no number: the next one shows that this one is lost.
            self.tally.lost += 1;
        }
        stamp.map(|stamp| (from, stamp))
    }

    /// What is missing must have been announced before.
    fn excuse(&mut self, pid: Pid, from: usize, missing: u64) {
        let stats = self.server.stats();
        let missed = stats.peer(pid).map_or(0, |peer| peer.missed);
        let stream = &mut self.streams[from];
        let excused = missing.min(missed.saturating_sub(stream.excused));
        stream.excused += excused;
        self.tally.lost += missing - excused;
        if missing > excused {
            self.complain(from, missing, excused, missed);
        }
    }

    /// Shows what is lost, where it can be seen beside the faults.
    fn complain(&self, from: usize, missing: u64, excused: u64, missed: u64) {
        let Role { server, generation, .. } = self.role;
        let (own, peer, Stream { generation: of, next, .. }) =
            (server + 1, from + 1, self.streams[from]);
        let line = format!(
            "server {own}, process {generation}: of server {peer}, process {of}, {missing} \
             messages before number {next} are not there, and {excused} of them were told of \
             ({missed} in all)\n"
        );
        // The tally counts it too.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn observe(&mut self, event: Option<&Event>) {
        if let Some(Event::Rejected { reason, .. }) = event {
            let _ = writeln!(io::stderr(), "server {}: {reason}", self.role.server + 1);
        }
    }

    /// Copies what the server itself counts.
    fn count(&mut self) {
        let stats = self.server.stats();
        let peers = || stats.peers.iter();
        self.tally.sent = stats.messages_sent;
        self.tally.resent = peers().map(|peer| peer.resent).sum();
        self.tally.undelivered = peers().map(|peer| peer.dropped.total()).sum();
        self.tally.missed = peers().map(|peer| peer.missed).sum();
        self.tally.grown = peak().unwrap_or(0).saturating_sub(self.bare);
        for peer in peers() {
            let places = peer.acknowledged + peer.dropped.total() + peer.queued + peer.in_flight;
            self.tally.unbalanced += u64::from(peer.accepted != places);
        }
    }
}

/// The most memory that this process has held, in KiB, where the system says so.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
