//! No peer harms another: an application that is slow or stopped holds up its senders and nobody else
//! and is never taken for dead; memory stays bounded whatever the message size; and a server ends within
//! its linger time whatever state its peers are in.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::never;
use raft_cluster::{Builder, Envelope, Event, Mailbox, PeerState, Pid, Server};
use support::load::{assert_accounted, await_stats};
use support::mesh::Mesh;
use support::proxy::Mode;
use support::{BOUND, Transport, await_event, receive};

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

#[test]
fn a_stopped_application_holds_up_its_senders_alone_and_loses_nothing() {
    let mesh = Mesh::new(3, Transport::Tcp, 1);
    let [(one, server_one), (two, server_two), (three, server_three)] = start_three(&mesh);
    thread::scope(|scope| {
        // Server 3 reads what comes, server 2 does not, and server 1 feels it for good.
        let reading = scope.spawn(|| three.inbox.iter().take_while(|e| e.msg != "end").count());
        let sent = fill(&one, 1_000, PEER_TIMEOUT * 3);
        assert!(one.outbox.is_full());
        // Those who do not send to server 2 do not feel it.
        for id in 0..10_000 {
            three.outbox.send_timeout(Envelope::to(ONE, "past it").with_id(id), BOUND).unwrap();
            assert_eq!(receive(&one).msg_id, id);
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
        assert_eq!(reading.join().unwrap() as i64, sent);
    });
    drop((one, two, three));
    assert!(server_one.shutdown().all_acknowledged());
}

#[test]
fn a_slow_application_sets_the_pace_and_is_never_down() {
    const MESSAGES: i64 = 2_000;
    let mesh = Mesh::new(3, Transport::Ipc, 2);
    let [(one, server_one), (two, server_two), (three, server_three)] = start_three(&mesh);
    thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..MESSAGES {
                one.outbox
                    .send_timeout(Envelope::broadcast(vec![0; 1_000]).with_id(id), BOUND)
                    .unwrap();
            }
        });
        let slow = scope.spawn(|| {
            let started = Instant::now();
            for id in 0..MESSAGES {
                assert_eq!(receive(&two).msg_id, id);
                let _ = never::<()>().recv_timeout(Duration::from_millis(1));
            }
            started.elapsed()
        });
        for id in 0..MESSAGES {
            assert_eq!(receive(&three).msg_id, id);
        }
        assert!(slow.join().unwrap() > PEER_TIMEOUT, "the test is to be longer than that");
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

/// Brings server 1 into a state, and checks that it ends in time and tells what it could not deliver.
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
    let report = server.shutdown();
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
    let report = server.shutdown();
    assert!(started.elapsed() < linger * 4, "{:?}", started.elapsed());
    let undelivered = report.peers.iter().map(|peer| (peer.pid, peer.undelivered.len()));
    assert_eq!(undelivered.collect::<Vec<_>>(), [(ONE, 1), (TWO, 1)]);
}
