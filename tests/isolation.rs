//! No peer harms another: an application that is slow or stopped holds up its senders and nobody
//! else and is never taken for dead; memory stays bounded whatever the message size; and a server
//! ends within its linger time whatever state its peers are in.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{Builder, Envelope, Event, Mailbox, PeerState, Pid, Server};
use support::load::{EndOnDrop, assert_accounted, await_stats};
use support::mesh::Mesh;
use support::proxy::Mode;
use support::{BOUND, Transport, await_event, receive, shut_down, until_end};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

const WINDOW: usize = 256 * 1024;
const INBOX: usize = 64;
const PEER_TIMEOUT: Duration = Duration::from_millis(800);

fn small(builder: Builder<'_>) -> Builder<'_> {
    builder
        .window(WINDOW)
        .inbox_capacity(INBOX)
        .outbox_capacity(8)
        .peer_timeout(PEER_TIMEOUT)
        .linger(Duration::from_millis(100))
}

fn start_three(mesh: &Mesh) -> [(Mailbox, Server); 3] {
    mesh.start_all(small).try_into().ok().unwrap()
}

/// Puts numbered messages for everybody in the outbox until it takes no more for a while.
fn fill(mailbox: &Mailbox, bytes: usize, patience: Duration) -> i64 {
    let mut place = 0;
    loop {
        let envelope = Envelope::broadcast(vec![0; bytes]).with_id(place);
        if mailbox.outbox.send_timeout(envelope, patience).is_err() {
            return place;
        }
        place += 1;
    }
}

fn assert_nobody_fell(server: &Server) {
    let fell = server.events().try_iter().find(|event| matches!(event, Event::Down(_)));
    assert_eq!(fell, None, "at server {}", server.pid());
}

/// Sends a message from one server to another, and waits until it is there.
fn deliver(from: &Mailbox, to: (Pid, &Mailbox), id: i64) {
    let envelope = Envelope::to(to.0, "past it").with_id(id);
    from.outbox.send_timeout(envelope, BOUND).unwrap();
    assert_eq!(receive(to.1).msg_id, id);
}

#[test]
fn a_stopped_application_holds_up_its_senders_alone_and_loses_nothing() {
    let mesh = Mesh::new(3, Transport::Tcp, 1);
    // What was sent is acknowledged however busy the machine is; the others tell how short it can
    // be.
    let servers = mesh.start_all(|builder| small(builder).linger(BOUND));
    let [(one, server_one), (two, server_two), (three, server_three)] =
        servers.try_into().ok().unwrap();
    let (mut sent, mut passed) = (0, 0);
    thread::scope(|scope| {
        // Server 3 reads what comes, server 2 does not, and server 1 feels it for good.
        let reading =
            scope.spawn(|| until_end(&three.inbox).take_while(|e| e.msg != "end").count());
        let mut held_up = Instant::now();
        while held_up.elapsed() < PEER_TIMEOUT * 3 || passed < 1_000 {
            let envelope = Envelope::broadcast(vec![0; 1_000]).with_id(sent);
            if one.outbox.try_send(envelope).is_ok() {
                sent += 1;
                held_up = Instant::now();
            } else {
                // Those who do not send to server 2 do not feel it.
                deliver(&three, (ONE, &one), passed);
                passed += 1;
            }
        }
        for server in [&server_one, &server_two, &server_three] {
            assert_accounted(&server.stats());
            assert_nobody_fell(server);
        }
        // What was held up comes as soon as it is read.
        for id in 0..sent {
            assert_eq!(receive(&two).msg_id, id);
        }
        one.outbox.send_timeout(Envelope::broadcast("end"), BOUND).unwrap();
        // Who drops an inbox sends back what is not in it yet.
        assert_eq!(receive(&two).msg, "end");
        assert_eq!(reading.join().unwrap() as i64, sent);
    });
    drop((one, two, three));
    let report = shut_down(server_one);
    assert!(report.all_acknowledged(), "{report:?}");
}

#[test]
fn a_slow_application_sets_the_pace_and_is_never_down() {
    /// How many deliveries elsewhere the slow one waits for before it takes the next message.
    const PACE: i64 = 5;
    let mesh = Mesh::new(3, Transport::Ipc, 2);
    let [(one, server_one), (two, server_two), (three, server_three)] = start_three(&mesh);
    let over = AtomicBool::new(false);
    let mut read = 0;
    thread::scope(|scope| {
        let _end = EndOnDrop(&over);
        let sending = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                let envelope = Envelope::broadcast(vec![0; 1_000]).with_id(sent);
                one.outbox.send_timeout(envelope, BOUND).unwrap();
                sent += 1;
            }
            one.outbox.send_timeout(Envelope::broadcast("end").with_id(sent), BOUND).unwrap();
            sent
        });
        let reading =
            scope.spawn(|| until_end(&three.inbox).take_while(|e| e.msg != "end").count());
        let started = Instant::now();
        while started.elapsed() < PEER_TIMEOUT * 2 {
            assert_eq!(receive(&two).msg_id, read);
            for place in 0..PACE {
                deliver(&three, (ONE, &one), read * PACE + place);
            }
            read += 1;
        }
        // The others are no further than what is on its way to the slow one.
        let ahead = server_one.stats().peer(Pid::new(3)).unwrap().acknowledged - read as u64;
        assert!(ahead * 1_000 < 3 * WINDOW as u64, "{ahead} messages ahead of {read}");
        over.store(true, Ordering::Relaxed);
        while receive(&two).msg != "end" {}
        assert_eq!(sending.join().unwrap(), reading.join().unwrap() as i64);
    });
    for server in [&server_one, &server_two, &server_three] {
        assert_nobody_fell(server);
        assert_eq!(server.stats().peers.iter().map(|peer| peer.resent).sum::<u64>(), 0);
    }
}

#[test]
fn memory_is_bounded_whatever_the_message_size() {
    for bytes in [0, 10, 1_000, 100_000, 1_000_000] {
        let mesh = Mesh::new(3, Transport::Ipc, 3);
        let [(one, server_one), (two, _server_two), (_three, _server_three)] = start_three(&mesh);
        fill(&one, bytes, PEER_TIMEOUT / 2);
        let stats = server_one.stats();
        assert_accounted(&stats);
        for peer in &stats.peers {
            // A message larger than the window is alone in it.
            let most = WINDOW.max(bytes + 1_000) as u64;
            assert!(peer.window_bytes <= most, "{bytes}: {peer:?}");
            assert_eq!(peer.dropped.total(), 0);
        }
        // What waits in the inbox is bounded by its number, and by its size but for the last frame.
        let waiting = two.inbox.len();
        assert!((1..=INBOX).contains(&waiting), "{bytes}: {waiting}");
        assert!((waiting - 1) * bytes <= WINDOW, "{bytes}: {waiting}");
    }
}

/// Brings server 1 into a state, and checks that it ends in time and tells what it could not
/// deliver.
fn assert_ends_in_time(state: &str, bring_about: impl FnOnce(&Mesh, &[(Mailbox, Server)])) {
    const LINGER: Duration = Duration::from_millis(500);
    /// The last words, and a busy machine.
    const SLACK: Duration = Duration::from_secs(2);
    let mesh = Mesh::new(3, Transport::Tcp, 4);
    let mut servers = mesh.start_all(|builder| small(builder).linger(LINGER));
    await_event(servers[0].1.events(), &Event::Up(TWO));
    bring_about(&mesh, &servers);
    let (mailbox, server) = servers.remove(0);
    drop(mailbox);
    let started = Instant::now();
    let report = shut_down(server);
    let took = started.elapsed();
    println!("{state}: ended after {took:?}");
    assert!(took < LINGER + SLACK, "{state}: {took:?}");
    for (peer, counts) in report.peers.iter().zip(&report.stats.peers) {
        let told = peer.undelivered.len() as u64 + counts.dropped.total();
        assert_eq!(told, counts.accepted - counts.acknowledged, "{state}: {counts:?}");
    }
}

/// Some messages that nobody will acknowledge, or only some will.
fn send_some(servers: &[(Mailbox, Server)]) {
    for _ in 0..8 {
        servers[0].0.outbox.send_timeout(Envelope::broadcast("unheard"), BOUND).unwrap();
    }
}

/// Waits until server 1 has noticed how server 2 stands.
fn await_state_of_two(servers: &[(Mailbox, Server)], state: PeerState) {
    await_stats(&servers[0].1, 2, |stats| stats.state == state);
}

fn assert_ends_in_time_with_broken_links(broken: &str, mode: &Mode) {
    assert_ends_in_time(&format!("what it sends is {broken}"), |mesh, servers| {
        mesh.set(1, 2, mode);
        send_some(servers);
    });
    assert_ends_in_time(&format!("what it is sent is {broken}"), |mesh, servers| {
        mesh.set(2, 1, mode);
        send_some(servers);
    });
    assert_ends_in_time(&format!("what it sends is {broken} for long"), |mesh, servers| {
        mesh.set(1, 2, mode);
        await_state_of_two(servers, PeerState::OneWay);
        send_some(servers);
    });
    assert_ends_in_time(&format!("what it is sent is {broken} for long"), |mesh, servers| {
        mesh.set(2, 1, mode);
        await_state_of_two(servers, PeerState::Down);
        send_some(servers);
    });
}

#[test]
fn a_server_ends_within_its_linger_time_whatever_its_peers_do() {
    thread::scope(|scope| {
        scope.spawn(|| assert_ends_in_time_with_broken_links("stalled", &Mode::Stall));
        scope.spawn(|| assert_ends_in_time_with_broken_links("swallowed", &Mode::Swallow));
        scope.spawn(|| {
            assert_ends_in_time("its peers' applications have stopped", |_, servers| {
                fill(&servers[0].0, 1_000, PEER_TIMEOUT / 4);
            });
        });
    });
}

#[test]
fn a_server_ends_within_its_linger_time_when_its_peers_never_came() {
    let mesh = Mesh::new(3, Transport::Tcp, 5);
    let linger = Duration::from_millis(500);
    let (mailbox, server) = small(mesh.builder(3)).linger(linger).start().unwrap();
    mailbox.outbox.send(Envelope::broadcast("unheard")).unwrap();
    drop(mailbox);
    let started = Instant::now();
    let report = shut_down(server);
    assert!(started.elapsed() < linger * 4, "{:?}", started.elapsed());
    let undelivered = report.peers.iter().map(|peer| (peer.pid, peer.undelivered.len()));
    assert_eq!(undelivered.collect::<Vec<_>>(), [(ONE, 1), (TWO, 1)]);
}
