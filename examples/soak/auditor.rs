//! What a server hears, held against what was sent.

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use crossbeam_channel::{Receiver, select, tick};
use raft_cluster::{Envelope, Event, Rejection, Server};

use crate::shared::process::tell;
use crate::stamp::{Account, Kind, Stamp};
use crate::standing::{Standing, Standings, pid_of};
use crate::tally::{Role, Tally, Voice};
use crate::{Result, SERVERS};

/// How often the parent is told.
const REPORT: Duration = Duration::from_millis(200);

/// Holds what comes in against what was sent.
pub(crate) struct Auditor<'a> {
    role: &'a Role,
    server: &'a Server,
    standings: &'a Standings,
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
    /// How many have come, and those before the first that did: what has been acknowledged, by whom
    /// ever, is among these.
    came: u64,
    /// How much has been found missing, of all that this server was told it had missed.
    excused: u64,
    /// How often the peer had taken this server out of its list.
    removals: u32,
    /// What the peer had heard of this server.
    heard: Voice,
}

impl<'a> Auditor<'a> {
    pub(crate) fn new(
        role: &'a Role,
        server: &'a Server,
        standings: &'a Standings,
        bare: u64,
    ) -> Self {
        let (streams, tally) = Default::default();
        Self { role, server, standings, streams, tally, bare }
    }

    /// Audits until the inbox ends.
    pub(crate) fn run(mut self, inbox: &Receiver<Envelope>) -> Result<Tally> {
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
        let account = stamp.accounts[self.role.server];
        let stream = &mut self.streams[from];
        if stamp.generation < stream.generation {
            self.tally.outdated += 1;
            return;
        }
        if stamp.generation > stream.generation {
            // Who starts later than its peer may find that predecessors have had the beginning.
            // From where it begins, all of it is for this process.
            let is_first = self.role.generation < stamp.generation;
            let next = if is_first { 0 } else { account.place };
            let removals = if is_first { 0 } else { account.removals };
            let (generation, excused) = (stamp.generation, stream.excused);
            let heard = Voice::default();
            *stream = Stream { generation, next, came: next, excused, removals, heard };
        }
        if account.place < stream.next {
            self.tally.repeated += 1;
            return;
        }
        self.follow(from, &account);
        let removals = account.removals;
        let voice = Voice { generation: stamp.generation, removals };
        self.standings[from].hear(voice);
        self.tally.heard[from] = voice;
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

    /// Goes on to a message, and looks for what should have come before it.
    fn follow(&mut self, from: usize, account: &Account) {
        let was_apart = self.was_apart(from, account);
        let stream = &mut self.streams[from];
        // What has entered the inbox is there, whatever happens to the lists.
        let vanished = account.acknowledged.saturating_sub(stream.came);
        let missing = account.place - stream.next;
        let is_back = account.removals != stream.removals;
        // What had come beyond that has come back too, and is never acknowledged.
        let came = if is_back { account.acknowledged } else { stream.came + vanished };
        (stream.next, stream.came) = (account.place + 1, came + 1);
        (stream.removals, stream.heard) = (account.removals, account.heard);
        if vanished > 0 {
            self.tally.lost += vanished;
            self.complain(from, &format!("{vanished} messages were acknowledged"));
        }
        if missing > 0 && !was_apart {
            self.excuse(from, missing);
        }
    }

    /// Whether one of the two may have had the other out of its list since the message before. If
    /// it was this server, that is over once the peer has heard it again.
    fn was_apart(&self, from: usize, account: &Account) -> bool {
        let stream = &self.streams[from];
        let removals = self.standings[from].removals();
        let own = Voice { generation: self.role.generation, removals };
        account.removals != stream.removals || removals > 0 && stream.heard != own
    }

    /// What is missing must have been announced before.
    fn excuse(&mut self, from: usize, missing: u64) {
        let standing = &self.standings[from];
        let stats = self.server.stats_of(pid_of(from));
        let missed = standing.missed_before() + stats.map_or(0, |peer| peer.missed);
        let stream = &mut self.streams[from];
        let excused = missing.min(missed.saturating_sub(stream.excused));
        stream.excused += excused;
        stream.came += missing - excused;
        self.tally.lost += missing - excused;
        if missing > excused {
            let told = format!("{excused} of {missing} messages were told of ({missed} in all)");
            self.complain(from, &told);
        }
    }

    /// Shows what is lost, where it can be seen beside the faults.
    fn complain(&self, from: usize, told: &str) {
        let Role { server, generation, .. } = self.role;
        let (own, peer, Stream { generation: of, next, .. }) =
            (server + 1, from + 1, self.streams[from]);
        let line = format!(
            "server {own}, process {generation}: of server {peer}, process {of}, some are not \
             there before number {next}: {told}\n"
        );
        // The tally counts it too.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn observe(&mut self, event: Option<&Event>) {
        match event {
            Some(Event::Undeliverable { peer, .. }) => {
                let peer = (0..SERVERS).find(|at| pid_of(*at) == *peer);
                peer.inspect(|peer| self.standings[*peer].note_return());
            }
            // Who was taken out of the list goes on for a while.
            Some(Event::Rejected { reason: Rejection::UnknownSender(_), .. }) => {}
            Some(Event::Rejected { reason, .. }) => {
                let _ = writeln!(io::stderr(), "server {}: {reason}", self.role.server + 1);
            }
            _ => {}
        }
    }

    /// Copies what the server itself counts.
    fn count(&mut self) {
        let stats = self.server.stats();
        let peers = || stats.peers.iter();
        self.tally.sent = stats.messages_sent;
        self.tally.resent = peers().map(|peer| peer.resent).sum();
        let undelivered: u64 = peers().map(|peer| peer.dropped.total()).sum();
        self.tally.undelivered = undelivered + stats.removed + stats.no_such_peer;
        let missed: u64 = peers().map(|peer| peer.missed).sum();
        let before = |standing: &Standing| standing.missed_before();
        self.tally.missed = missed + self.standings.iter().map(before).sum::<u64>();
        self.tally.unreturned = self.standings.iter().map(Standing::unreturned).sum();
        self.tally.grown = peak().unwrap_or(0).saturating_sub(self.bare);
        for peer in peers() {
            let places = peer.acknowledged + peer.dropped.total() + peer.queued + peer.in_flight;
            self.tally.unbalanced += u64::from(peer.accepted != places);
        }
    }
}

/// The most memory that this process has held, in KiB, where the system says so.
pub(crate) fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
