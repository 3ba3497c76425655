//! Full load: every server broadcasts as fast as it can, and everything that comes in is audited.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use raft_cluster::{
    Bytes, Envelope, Event, Mailbox, PeerStats, Pid, Receiver, Report, Sender, Server, Stats,
};

use super::audit::{Audit, Verdict};
use super::waits::poll;
use super::{BOUND, join, until_end, within};

/// What came of a load, for each server in the order of its pid.
pub struct Outcome {
    /// How many envelopes it has broadcast.
    pub sent: Vec<u64>,
    /// What it received from each of the others, its own place left empty.
    pub audits: Vec<Vec<Audit>>,
    /// What each was told, but for the envelopes that came back.
    pub events: Vec<Vec<Event>>,
    pub reports: Vec<Report>,
}

impl Outcome {
    /// What was wrong in all pairs together.
    pub fn verdict(&self) -> Verdict {
        let mut all = Verdict::default();
        for (receiver, audits) in self.audits.iter().enumerate() {
            for (sender, audit) in audits.iter().enumerate().filter(|(at, _)| *at != receiver) {
                all += audit.verdict(self.sent[sender]);
            }
        }
        all
    }

    /// That every envelope was received by everyone, once and in order, and acknowledged.
    pub fn assert_clean(&self) {
        let verdict = self.verdict();
        assert!(verdict.is_clean(), "{verdict:?}, {}", self.summary());
        for report in &self.reports {
            assert!(report.all_acknowledged(), "{report:?}");
        }
    }

    /// That of what two servers sent to each other nothing came again or out of order, and that
    /// all which did not come was given up by its sender and told of at its receiver. What remains
    /// wrong.
    pub fn assert_nothing_unreported(&self) -> Verdict {
        let mut unreported = Verdict::default();
        for (sender, receiver) in [(0, 1), (1, 0)] {
            let verdict = self.audits[receiver][sender].verdict(self.sent[sender]);
            let given_up = self.reports[sender].stats.peers[0].dropped.peer_down;
            assert_eq!((verdict.repeated, verdict.reordered), (0, 0), "{}", self.summary());
            assert_eq!(verdict.lost, given_up, "{}", self.summary());
            assert_eq!(verdict.lost, self.reports[receiver].stats.peers[0].missed);
            unreported += Verdict { lost: verdict.lost - given_up, ..verdict };
        }
        unreported
    }

    /// What happened at each server.
    fn summary(&self) -> String {
        let stats: Vec<_> = self.reports.iter().map(|report| &report.stats).collect();
        format!("{:?}, {stats:#?}", self.events)
    }

    pub fn resent(&self) -> u64 {
        let peers = self.reports.iter().flat_map(|report| &report.stats.peers);
        peers.map(|peer| peer.resent).sum()
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().flatten().filter(|event| wanted(event)).count()
    }
}

/// Has all servers broadcast messages of `bytes` bytes until `faults` has returned, and then leave.
pub fn under_load(
    servers: Vec<(Mailbox, Server)>,
    bytes: usize,
    faults: impl FnOnce(&[Server]),
) -> Outcome {
    let total = servers.len();
    let (mailboxes, servers): (Vec<Mailbox>, Vec<Server>) = servers.into_iter().unzip();
    let over = AtomicBool::new(false);
    let (sent, audits, events) = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (Mailbox { outbox, inbox, .. }, server) in mailboxes.into_iter().zip(&servers) {
            let over = &over;
            let sending = scope.spawn(move || broadcast(&outbox, bytes, over));
            let receiving = scope.spawn(move || receive(&inbox, total, bytes));
            let watching = scope.spawn(move || watch(server));
            threads.push((sending, receiving, watching));
        }
        let end = EndOnDrop(&over);
        faults(&servers);
        drop(end);
        let join = |(sending, receiving, watching): (
            thread::ScopedJoinHandle<'_, u64>,
            thread::ScopedJoinHandle<'_, Vec<Audit>>,
            thread::ScopedJoinHandle<'_, Vec<Event>>,
        )| {
            (sending.join().unwrap(), receiving.join().unwrap(), watching.join().unwrap())
        };
        let what = "what was sent under load to arrive";
        within(BOUND, what, || unzip(threads.into_iter().map(join)))
    });
    let reports = servers.into_iter().map(join).collect();
    Outcome { sent, audits, events, reports }
}

fn unzip<A, B, C>(all: impl Iterator<Item = (A, B, C)>) -> (Vec<A>, Vec<B>, Vec<C>) {
    let mut lists = (Vec::new(), Vec::new(), Vec::new());
    for (a, b, c) in all {
        lists.0.push(a);
        lists.1.push(b);
        lists.2.push(c);
    }
    lists
}

/// Ends the load when the test does, also when it fails.
pub struct EndOnDrop<'a>(pub &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn broadcast(outbox: &Sender<Envelope>, bytes: usize, over: &AtomicBool) -> u64 {
    let contents = contents(bytes);
    let mut place = 0_u64;
    while !over.load(Ordering::Relaxed) {
        let msg = contents[place as usize % contents.len()].clone();
        outbox.send_timeout(Envelope::broadcast(msg).with_id(place as i64), BOUND).unwrap();
        place += 1;
    }
    place
}

/// The messages, one after the other, and then again.
fn contents(bytes: usize) -> Vec<Bytes> {
    (0..=u8::MAX).map(|byte| vec![byte; bytes].into()).collect()
}

fn receive(inbox: &Receiver<Envelope>, total: usize, bytes: usize) -> Vec<Audit> {
    let contents = contents(bytes);
    let mut audits = vec![Audit::default(); total];
    for envelope in until_end(inbox) {
        let place = envelope.msg_id as usize;
        assert!(envelope.msg == contents[place % contents.len()], "message {place} is damaged");
        audits[envelope.from.as_u32() as usize - 1].note(place);
    }
    audits
}

/// Collects the events of a server until it ends, and holds its accounts against each other all the
/// while. The envelopes that come back are too many to be kept; they are in the accounts.
pub fn watch(server: &Server) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        assert_accounted(&server.stats());
        match server.events().recv_timeout(Duration::from_millis(1)) {
            Ok(Event::Undeliverable { .. }) => {}
            Ok(event) => events.push(event),
            Err(error) if error.is_timeout() => {}
            Err(_) => return events,
        }
    }
}

/// For each peer, accepted = acknowledged + reported + pending.
pub fn assert_accounted(stats: &Stats) {
    for peer in &stats.peers {
        let places = peer.acknowledged + peer.dropped.total() + peer.queued + peer.in_flight;
        assert_eq!(peer.accepted, places, "{peer:?}");
    }
}

/// Waits until the server's counts for a peer are as wanted, and holds all its accounts against
/// each other meanwhile.
pub fn await_stats(server: &Server, peer: u32, wanted: impl Fn(&PeerStats) -> bool) {
    let what = format!("server {} to stand with {peer} as wanted", server.pid());
    let look = || {
        let stats = server.stats();
        assert_accounted(&stats);
        *stats.peer(Pid::new(peer)).unwrap()
    };
    poll(&what, look, wanted);
}
