//! Peers that die, come back, freeze, or are there twice: real processes, killed and stopped by
//! signals. For each pair of processes everything arrives in order and once, and no link is stuck
//! afterwards.

mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::select;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use raft_cluster::{
    Builder, Config, Envelope, Event, Mailbox, Pid, Reason, Rejection, Sender, Server,
};
use support::addresses::free_addresses;
use support::audit::show_row;
use support::load::{EndOnDrop, assert_accounted, await_stats};
use support::process::{Process, Role, Status, play};
use support::{BOUND, Cluster, Transport, await_event, config_text, receive, shut_down, until_end};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const THREE: Pid = Pid::new(3);

const WINDOW: usize = 256 * 1024;

#[test]
#[ignore = "it is what the other tests start as a process of its own"]
fn a_server_of_its_own() {
    play();
}

fn quick(builder: Builder<'_>) -> Builder<'_> {
    builder
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(50))
        .window(WINDOW)
        .outbox_capacity(64)
        .linger(Duration::from_secs(1))
}

fn role(cluster: &Cluster, pid: Pid, peer_timeout: Duration) -> Role {
    let config = cluster.text.clone();
    Role { config, pid: pid.as_u32(), generation: 0, window: WINDOW, peer_timeout }
}

/// Sends numbered messages until it is over, and tells how many.
fn broadcast(outbox: &Sender<Envelope>, over: &AtomicBool) -> u64 {
    let mut place = 0;
    while !over.load(Ordering::Relaxed) {
        let envelope = Envelope::broadcast("a message of some length").with_id(place);
        outbox.send_timeout(envelope, BOUND).unwrap();
        place += 1;
    }
    place as u64
}

/// The memory that this process holds, in KiB.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// What one generation of the peer says, audited.
struct Reader<'a> {
    mailbox: &'a Mailbox,
    generation: u32,
    next: i64,
}

impl Reader<'_> {
    /// The next status of the generation now running: all of its messages, in order, and no more of
    /// those before.
    fn next_status(&mut self, generation: u32) -> Status {
        loop {
            let envelope = receive(self.mailbox);
            let status: Status = envelope.parse_json().unwrap();
            if status.generation != self.generation {
                assert_eq!(status.generation, self.generation + 1);
                (self.generation, self.next) = (status.generation, 0);
            }
            assert_eq!(envelope.msg_id, self.next, "generation {generation}");
            assert_eq!(status.wrong, 0, "{status:?}");
            self.next += 1;
            if status.generation == generation {
                return status;
            }
        }
    }
}

#[test]
fn a_peer_that_is_killed_a_hundred_times_is_heard_in_order_each_time() {
    const KILLS: u32 = 100;
    let cluster = Cluster::new(2, Transport::Tcp);
    let builder = quick(Server::builder(&cluster.config, ONE));
    // However long a busy machine takes to start the next.
    let (mailbox, server) = builder.reconnect_grace(Duration::MAX).start().unwrap();
    let over = AtomicBool::new(false);
    // Until the last of them is killed: who sends into the void waits for the peer timeout.
    let (mut events, mut dropped) = (Vec::new(), 0);
    thread::scope(|scope| {
        let _end = EndOnDrop(&over);
        let outbox = mailbox.outbox.clone();
        scope.spawn(|| broadcast(&{ outbox }, &over));
        let mut reader = Reader { mailbox: &mailbox, generation: 0, next: 0 };
        let (mut settled, mut received, mut wrong) = (None, 0, 0);
        for generation in 1..=KILLS {
            let before = server.stats().peer(TWO).unwrap().acknowledged;
            let role = Role { generation, ..role(&cluster, TWO, Duration::from_secs(5)) };
            let process = Process::start(&role);
            while reader.next_status(generation).received < 500 {}
            let last = reader.next_status(generation);
            received += last.received;
            wrong += last.wrong;
            let first = last.first.unwrap();
            assert!(first >= before, "acknowledged messages came again: {first} of {before}");
            assert_accounted(&server.stats());
            // On a machine that is busy it may hold the outbox up for a while.
            let stalls = |event: &Event| matches!(event, Event::Stalled(_) | Event::Flowing(_));
            events.extend(server.events().try_iter().filter(|event| !stalls(event)));
            dropped = server.stats().peer(TWO).unwrap().dropped.total();
            process.kill();
            if generation == KILLS / 5 {
                settled = resident();
            }
        }
        show_row("peer killed with `kill -9` and started again", KILLS as usize, wrong, received);
        if let (Some(before), Some(after)) = (settled, resident()) {
            println!("resident: {before} KiB after {} kills, {after} KiB in the end", KILLS / 5);
            assert!(after < before + 8 * 1024, "{before} KiB became {after} KiB");
        }
    });
    let mut expected = vec![Event::Up(TWO)];
    for _ in 1..KILLS {
        expected.extend([Event::Restarted(TWO), Event::Up(TWO)]);
    }
    assert_eq!((events, dropped), (expected, 0));
    drop(mailbox);
    shut_down(server);
}

#[test]
fn a_peer_that_is_killed_is_down_long_before_its_silence_tells() {
    const KILLS: usize = 3;
    const PEER_TIMEOUT: Duration = Duration::from_secs(5);
    for transport in [Transport::Tcp, Transport::Ipc] {
        let cluster = Cluster::new(2, transport);
        // With the defaults, but for the idle timeout.
        let (mailbox, server) = cluster.start(1);
        let mut took = Vec::new();
        for _ in 0..KILLS {
            let process = Process::start(&role(&cluster, TWO, PEER_TIMEOUT));
            await_event(server.events(), &Event::Up(TWO));
            receive(&mailbox);
            process.kill();
            took.push(time_until_down(TWO, &mailbox, &server));
        }
        println!("{transport:?}: down after {took:?}");
        // The machine may be busy once.
        assert!(took.iter().all(|took| *took < PEER_TIMEOUT / 2), "{took:?}");
        assert!(took.iter().any(|took| *took < Duration::from_secs(1)), "{took:?}");
        drop(mailbox);
        shut_down(server);
    }
}

/// How long it takes until a peer is down, while its messages are read that have come before.
fn time_until_down(peer: Pid, mailbox: &Mailbox, server: &Server) -> Duration {
    let started = Instant::now();
    loop {
        select! {
            recv(mailbox.inbox) -> envelope => drop(envelope.unwrap()),
            recv(server.events()) -> event => match event.unwrap() {
                event if event == Event::Down(peer) => return started.elapsed(),
                event => assert_ne!(event, Event::Left(peer)),
            },
            default(BOUND) => panic!("server {peer} is still up"),
        }
    }
}

#[test]
fn a_peer_that_was_never_there_is_absent_and_never_down() {
    for transport in [Transport::Tcp, Transport::Ipc] {
        let cluster = Cluster::new(2, transport);
        // Its connections are refused for twice the grace.
        let builder = quick(Server::builder(&cluster.config, ONE));
        let builder = builder.peer_timeout(Duration::from_secs(1));
        let (mailbox, server) = builder.start().unwrap();
        assert_eq!(await_event(server.events(), &Event::Absent(TWO)), []);
        let (mailbox_two, server_two) = cluster.start(2);
        assert_eq!(await_event(server.events(), &Event::Up(TWO)), []);
        drop((mailbox, mailbox_two));
        shut_down(server_two);
        shut_down(server);
    }
}

#[test]
fn a_server_with_four_hundred_peers_starts_and_sees_the_last_of_them_come_and_go() {
    const PEERS: u32 = 400;
    const PEER_TIMEOUT: Duration = Duration::from_secs(30);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let cluster = Cluster::new(1 + PEERS, Transport::Ipc);
    let last = Pid::new(1 + PEERS);
    let builder = Server::builder(&cluster.config, ONE).peer_timeout(PEER_TIMEOUT);
    let builder = builder.idle_timeout(None).linger(Duration::ZERO);
    let (mailbox, server) = builder.start().unwrap();
    let process = Process::start(&role(&cluster, last, PEER_TIMEOUT));
    assert_eq!(await_event(server.events(), &Event::Up(last)), []);
    receive(&mailbox);
    process.kill();
    let took = time_until_down(last, &mailbox, &server);
    println!("down after {took:?}");
    assert!(took < PEER_TIMEOUT / 3, "{took:?}");
    drop(mailbox);
    shut_down(server);
}

#[test]
fn a_peer_that_is_stopped_holds_up_nobody_and_catches_up() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let timeout = Duration::from_secs(1);
    let start = |pid| quick(Server::builder(&cluster.config, pid)).peer_timeout(timeout).start();
    let ((one, server_one), (two, _server_two)) = (start(ONE).unwrap(), start(TWO).unwrap());
    let process = Process::start(&role(&cluster, THREE, timeout));
    await_event(server_one.events(), &Event::Up(THREE));
    let over = AtomicBool::new(false);
    let (sent, back) = thread::scope(|scope| {
        let end = EndOnDrop(&over);
        let sending = scope.spawn(|| broadcast(&one.outbox, &over));
        scope.spawn(|| {
            while two.inbox.recv_timeout(BOUND).is_ok_and(|_| !over.load(Ordering::Relaxed)) {}
        });
        while status_of(&one).received < 1_000 {}
        process.signal(Signal::SIGSTOP);
        // The first that comes back, when the peer timeout has passed.
        let back = await_undeliverable(&server_one);
        for _ in 0..10_000 {
            receive(&two);
        }
        process.signal(Signal::SIGCONT);
        while server_one.stats().peer(THREE).unwrap().acknowledged < back as u64 + 1_000 {
            receive(&one);
        }
        drop(end);
        (sending.join().unwrap(), back)
    });
    assert!(back > 0);
    // All that was sent was received, or the peer knows that it was not.
    let last = loop {
        let status = status_of(&one);
        if status.received + status.missed == sent {
            break status;
        }
    };
    assert_eq!((last.first, last.wrong), (Some(0), 0), "{last:?}");
    show_row("peer stopped beyond the peer timeout, and continued", 1, last.wrong, last.received);
    await_stats(&server_one, 3, |stats| stats.acknowledged == last.received);
    assert_eq!(server_one.stats().peer(THREE).unwrap().dropped.peer_down, last.missed);
    // A process that did not run must not blame its peers.
    assert_eq!((last.downs, last.undelivered), (0, 0));
}

fn status_of(mailbox: &Mailbox) -> Status {
    loop {
        let envelope = receive(mailbox);
        if envelope.from == THREE {
            return envelope.parse_json().unwrap();
        }
    }
}

/// The number of the next message for server 3 that comes back.
fn await_undeliverable(server: &Server) -> i64 {
    loop {
        let event = server.events().recv_timeout(BOUND).expect("a message comes back");
        if let Event::Undeliverable { peer: THREE, envelope, reason: Reason::PeerDown, .. } = event
        {
            return envelope.msg_id;
        }
    }
}

/// A configuration in which server 2 has another url.
fn with_another_url(cluster: &Cluster) -> Config {
    let [other] = free_addresses(1).unwrap()[..] else { unreachable!() };
    let one = cluster.config.url(ONE).unwrap();
    config_text(&[one.to_owned(), other.to_string()]).parse().unwrap()
}

/// Waits for the next conflict that is reported, and returns the events before it.
fn await_conflict(server: &Server) -> Vec<Event> {
    let mut before = Vec::new();
    loop {
        match server.events().recv_timeout(BOUND).expect("the conflict is reported") {
            Event::Rejected { reason: Rejection::Conflict(TWO), .. } => return before,
            event => before.push(event),
        }
    }
}

/// Has two processes claim to be server 2, and checks what server 1 sees until it has complained
/// twice: first the older, then the newer, of whose messages so many come in.
fn claim_twice(cluster: &Cluster, newer_config: &Config, received: i64) {
    const FILLING: usize = WINDOW / 1_000 + 1;
    let start = |config, pid| {
        let builder = quick(Server::builder(config, pid)).peer_timeout(Duration::from_millis(500));
        builder.start().unwrap()
    };
    let (one, server_one) = start(&cluster.config, ONE);
    let (older, server_older) = start(&cluster.config, TWO);
    older.outbox.send(Envelope::to(ONE, "older").with_id(-1)).unwrap();
    assert_eq!(receive(&one).msg_id, -1);
    if let Some(path) = cluster.config.url(TWO).unwrap().strip_prefix("ipc://") {
        // Somebody thinks that the lock was left behind, and removes it.
        fs::remove_file(format!("{path}.lock")).unwrap();
    }
    let (newer, _server_newer) = start(newer_config, TWO);
    let mut events = await_event(server_one.events(), &Event::Restarted(TWO));
    events.push(Event::Restarted(TWO));
    for id in 0..received {
        newer.outbox.send(Envelope::to(ONE, "newer").with_id(id)).unwrap();
    }
    // Nobody takes what the older one sends, which does not block it, and it learns that.
    for _ in 0..FILLING {
        older.outbox.send_timeout(Envelope::to(ONE, vec![0; 1_000]), BOUND).unwrap();
    }
    let back = until_end(server_older.events()).find(|e| matches!(e, Event::Undeliverable { .. }));
    assert!(matches!(back, Some(Event::Undeliverable { peer: ONE, reason: Reason::PeerDown, .. })));
    for _ in 0..2 {
        events.extend(await_conflict(&server_one));
    }
    // What is sent to the newer one goes to the older, which has the address.
    events.retain(|event| *event != Event::OneWay(TWO));
    assert_eq!(events, [Event::Up(TWO), Event::Restarted(TWO), Event::Up(TWO)]);
    for id in 0..received {
        assert_eq!(receive(&one).msg_id, id);
    }
    assert!(one.inbox.is_empty());
}

#[test]
fn of_two_processes_with_one_pid_the_newer_is_heard_and_the_conflict_reported() {
    // The newer one takes the older one's place on the way from server 1.
    let cluster = Cluster::new(2, Transport::Ipc);
    claim_twice(&cluster, &cluster.config, 10);
    // The newer one listens where server 1 does not look for it.
    let cluster = Cluster::new(2, Transport::Tcp);
    claim_twice(&cluster, &with_another_url(&cluster), 0);
}
