//! What a server sends, and how it changes its list of the others.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, tick};
use raft_cluster::{Config, Envelope, PeerState, Server};

use crate::memory::LARGEST;
use crate::stamp::{Account, Kind, Stamp};
use crate::standing::{Standings, pid_of};
use crate::tally::{Order, Role};
use crate::{Result, SERVERS};

/// How long this server waits at most for its peers to be there when it is to end, and for what is
/// to come back of a peer that it has taken out of its list.
const REUNION: Duration = Duration::from_secs(30);

/// How often it is looked whether something is so.
const LOOK: Duration = Duration::from_millis(10);

/// Sends, and obeys the parent in between.
pub(crate) struct Speaker<'a> {
    role: &'a Role,
    server: &'a Server,
    standings: &'a Standings,
    outbox: Sender<Envelope>,
    random: fastrand::Rng,
    books: [Book; SERVERS],
}

/// What was sent to one server.
#[derive(Clone, Copy, Default)]
struct Book {
    /// How it stands now.
    account: Account,
    is_out: bool,
    /// How many had been acknowledged when it was taken out last: it is counted anew after that.
    acknowledged_before: u64,
    /// How many have to come back since it was taken out: those that were on their way to it, and
    /// what was sent to it alone after that.
    due: u64,
    before: Before,
}

/// What had come back when a server was taken out of the list.
#[derive(Clone, Copy, Default)]
struct Before {
    returned: u64,
    events_missed: u64,
    /// How many of them the server had counted.
    given_up: u64,
}

impl<'a> Speaker<'a> {
    pub(crate) fn new(
        role: &'a Role,
        server: &'a Server,
        standings: &'a Standings,
        outbox: Sender<Envelope>,
    ) -> Self {
        let random = fastrand::Rng::with_seed(role.seed ^ u64::from(role.generation));
        Self { role, server, standings, outbox, random, books: Default::default() }
    }

    /// Sends bursts of messages, small and large, to one or to all, until it is to finish.
    pub(crate) fn run(mut self, orders: &Receiver<Order>) -> Result<()> {
        loop {
            self.burst()?;
            let pause = Duration::from_millis(self.random.u64(0..30));
            match orders.recv_timeout(pause) {
                Ok(Order::Reconfigure { config }) => self.reconfigure(&config)?,
                Ok(Order::Finish) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the parent is gone".into()),
            }
        }
        self.await_peers();
        self.refresh();
        let last_word = self.stamp(None, Kind::LastWord).encode(0);
        self.outbox.send(Envelope::broadcast(last_word))?;
        // With it the outbox ends, and the server begins to leave.
        Ok(())
    }

    fn burst(&mut self) -> Result<()> {
        self.refresh();
        for _ in 0..self.random.u32(1..2_000) {
            let to = (self.role.server + self.random.usize(1..SERVERS)) % SERVERS;
            let to = (self.random.u8(0..3) > 0).then_some(to);
            let is_large = self.random.u16(0..1_000) == 0;
            let most = if is_large { LARGEST - Stamp::LEN } else { 500 };
            let filling = self.random.usize(0..most);
            let msg = self.stamp(to, Kind::Traffic).encode(filling);
            let single = |to| Envelope::to(pid_of(to), msg.clone());
            self.outbox.send(to.map_or_else(|| Envelope::broadcast(msg.clone()), single))?;
        }
        Ok(())
    }

    /// Notes what has been heard and acknowledged by now.
    fn refresh(&mut self) {
        for (at, book) in self.books.iter_mut().enumerate() {
            let stats = self.server.stats_of(pid_of(at));
            let acknowledged = stats.map_or(0, |stats| stats.acknowledged);
            book.account.acknowledged = book.acknowledged_before + acknowledged;
            book.account.heard = self.standings[at].heard();
        }
    }

    /// Numbers a message to one, or to all.
    fn stamp(&mut self, to: Option<usize>, kind: Kind) -> Stamp {
        let accounts = self.books.map(|book| book.account);
        for (at, book) in self.books.iter_mut().enumerate() {
            if at != self.role.server && to.is_none_or(|to| to == at) {
                book.account.place += 1;
                book.due += u64::from(book.is_out && to.is_some());
            }
        }
        Stamp { generation: self.role.generation, kind, accounts }
    }

    /// Goes by another list.
    fn reconfigure(&mut self, config: &str) -> Result<()> {
        let config: Config = config.parse()?;
        for at in (0..SERVERS).filter(|at| *at != self.role.server) {
            let is_out = !config.pids().contains(&pid_of(at));
            match (self.books[at].is_out, is_out) {
                (true, false) => self.settle(at)?,
                (false, true) => self.prepare_removal(at),
                _ => {}
            }
        }
        let removed = self.server.stats().removed;
        let changes = self.server.reconfigure(&config)?;
        let removed = self.server.stats().removed - removed;
        // The parent has one taken out at a time; what was given up before is counted too.
        let is_removed = |at: usize| changes.removed.contains(&pid_of(at));
        for (_, book) in self.books.iter_mut().enumerate().filter(|(at, _)| is_removed(*at)) {
            book.due = removed - book.before.given_up;
        }
        Ok(())
    }

    /// A server is about to be taken out.
    fn prepare_removal(&mut self, at: usize) {
        let (standing, book) = (&self.standings[at], &mut self.books[at]);
        let events_missed = self.server.stats().events_missed;
        let returned = standing.returned();
        let stats = self.server.stats_of(pid_of(at)).unwrap_or_default();
        book.is_out = true;
        book.acknowledged_before += stats.acknowledged;
        book.account.removals += 1;
        book.before = Before { returned, events_missed, given_up: stats.dropped.total() };
        standing.note_removal(stats.missed);
    }

    /// A server is about to be put back. Before it is, all that was put in the outbox has to be on
    /// its way, and what was for this server to be back.
    fn settle(&mut self, at: usize) -> Result<()> {
        // This is for nobody. Once it is taken out, all that was put in before has been dealt with.
        self.outbox.send(Envelope::to(self.server.pid(), ""))?;
        let started = Instant::now();
        for _ in tick(LOOK) {
            let is_back = self.unreturned(at) == 0 || started.elapsed() > REUNION;
            if self.outbox.is_empty() && is_back {
                break;
            }
        }
        let unreturned = self.unreturned(at);
        if unreturned > 0 {
            self.complain(at, unreturned);
            self.standings[at].note_unreturned(unreturned);
        }
        self.books[at].is_out = false;
        Ok(())
    }

    /// How many messages to a server that is out have not come back. What finds no room among the
    /// events is only counted there.
    fn unreturned(&self, at: usize) -> u64 {
        let Book { due, before, .. } = self.books[at];
        let returned = self.standings[at].returned() - before.returned;
        let events_missed = self.server.stats().events_missed - before.events_missed;
        due.saturating_sub(returned + events_missed)
    }

    fn complain(&self, at: usize, unreturned: u64) {
        let Role { server, generation, .. } = self.role;
        let (own, peer) = (server + 1, at + 1);
        // It is counted too.
        let _ = writeln!(
            io::stderr(),
            "server {own}, process {generation}: {unreturned} messages to server {peer}, which was \
             taken out of the list, have not come back"
        );
    }

    /// Waits until all peers are there, and have what was sent to them: the last word is for
    /// everybody.
    fn await_peers(&self) {
        let started = Instant::now();
        for _ in tick(LOOK) {
            let stats = self.server.stats();
            let ready = stats.peers.iter().all(|peer| {
                matches!(peer.state, PeerState::Up | PeerState::Left)
                    && peer.queued + peer.in_flight == 0
            });
            if ready || started.elapsed() > REUNION {
                return;
            }
        }
    }
}
