//! Keys change while the servers run. Without CURVE in the linked libzmq these tests say that they are
//! skipped, unless the environment has `RAFT_CLUSTER_EXPECT_CURVE`: then they fail.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::crossbeam_channel::tick;
use raft_cluster::{
    Builder, Envelope, Event, Mailbox, Pid, ReconfigureError, Rejection, SecretKey, Server,
    StartError,
};
use support::keys::{KeyedCluster, can_use_keys};
use support::load::EndOnDrop;
use support::waits::poll;
use support::{Transport, await_all_up, join, receive};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

fn quick(builder: Builder<'_>) -> Builder<'_> {
    builder
        .heartbeat(Duration::from_millis(200))
        .peer_timeout(Duration::from_secs(2))
        .linger(Duration::from_secs(2))
}

fn start(keyed: &KeyedCluster, pid: u32) -> (Mailbox, Server) {
    quick(keyed.builder(pid)).start().unwrap()
}

/// Sends numbered broadcasts, a few every millisecond, until the test is over. Returns how many.
fn send_until(stop: &AtomicBool, mailbox: &Mailbox) -> i64 {
    let mut id = 0;
    for _ in tick(Duration::from_millis(1)) {
        for _ in 0..10 {
            mailbox.outbox.send(Envelope::broadcast("on and on").with_id(id)).unwrap();
            id += 1;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    id
}

/// All that comes in until the servers leave: how many of each sender, in order and without a gap. And
/// the longest time between two.
fn receive_all(mailbox: &Mailbox, from: Pid) -> (i64, Duration) {
    let (mut next, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    for envelope in mailbox.inbox.iter().filter(|envelope| envelope.from == from) {
        assert_eq!(envelope.msg_id, next, "lost, repeated or reordered");
        longest = longest.max(last.elapsed());
        (next, last) = (next + 1, Instant::now());
    }
    (next, longest)
}

/// The old key and the new one are listed everywhere, then the server changes to the new one, then that
/// is listed alone.
fn rotate(keyed: &KeyedCluster, servers: [&Server; 2]) {
    let (old, new) = (keyed.public(2), SecretKey::generate().unwrap());
    let both = keyed.config_with_list(2, &[old, new.public_key()]);
    for server in servers {
        assert_eq!(server.reconfigure(&both).unwrap().changed, [TWO]);
    }
    let resent = |server: &Server| server.stats().peers.iter().map(|peer| peer.resent).sum::<u64>();
    assert_eq!(servers.map(resent), [0; 2], "a key more is no reason for another connection");
    let new_alone = keyed.config_with_list(2, &[new.public_key()]);
    assert_eq!(servers[1].reconfigure_with_key(&both, new).unwrap().changed, [TWO]);
    for server in servers {
        assert_eq!(server.reconfigure(&new_alone).unwrap().changed, [TWO]);
    }
}

#[test]
fn a_key_is_replaced_under_load_and_nobody_is_missed() {
    if !can_use_keys() {
        return;
    }
    for transport in [Transport::Tcp, Transport::Ipc] {
        let keyed = KeyedCluster::new(2, transport);
        let [(one, server_one), (two, server_two)] = [1, 2].map(|pid| start(&keyed, pid));
        [&server_one, &server_two].into_iter().for_each(await_all_up);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let senders = [&one, &two].map(|mailbox| scope.spawn(|| send_until(&stop, mailbox)));
            let receivers = [(&one, TWO), (&two, ONE)]
                .map(|(mailbox, from)| scope.spawn(move || receive_all(mailbox, from)));
            {
                let _end = EndOnDrop(&stop);
                rotate(&keyed, [&server_one, &server_two]);
                // Both are heard by the new connections.
                let acknowledged = |server: &Server| server.stats().peers[0].acknowledged;
                for server in [&server_one, &server_two] {
                    let before = acknowledged(server);
                    poll("more", || acknowledged(server), |now| *now > before + 100);
                }
            }
            let sent = senders.map(|sender| sender.join().unwrap());
            for (server, sent) in [&server_one, &server_two].into_iter().zip(sent) {
                poll("all", || server.stats().peers[0].acknowledged, |got| *got == sent as u64);
                let standing = |event: Event| matches!(event, Event::Down(_) | Event::Restarted(_));
                assert!(!server.events().try_iter().any(standing));
            }
            drop((server_one, server_two));
            let [(of_two, gap_two), (of_one, gap_one)] =
                receivers.map(|receiver| receiver.join().unwrap());
            assert_eq!([of_one, of_two], sent);
            let gap = gap_one.max(gap_two);
            assert!(gap < Duration::from_secs(1), "{transport:?}: nothing came for {gap:?}");
        });
    }
}

#[test]
fn a_peer_may_start_with_either_of_its_keys() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(2, Transport::Tcp);
    let new = SecretKey::generate().unwrap();
    let both = keyed.config_with_list(2, &[keyed.public(2), new.public_key()]);
    let one = quick(Server::builder(&both, ONE)).secret_key(keyed.secret(1)).idle_timeout(None);
    let (one, server_one) = one.start().unwrap();
    for secret in [new, keyed.secret(2)] {
        let started = Instant::now();
        let two = quick(Server::builder(&both, TWO)).secret_key(secret).idle_timeout(None);
        let (two, server_two) = two.start().unwrap();
        two.outbox.send(Envelope::to(ONE, "hello there")).unwrap();
        assert_eq!(receive(&one).msg, "hello there");
        one.outbox.send(Envelope::to(TWO, "hello yourself")).unwrap();
        assert_eq!(receive(&two).msg, "hello yourself");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        drop(two.outbox);
        drop(two.inbox);
        drop(server_two);
    }
    drop(one.outbox);
    drop(one.inbox);
    join(server_one);
}

/// Also on the connection that it has.
#[test]
fn a_key_that_is_listed_no_more_is_cut_off_at_once() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(2, Transport::Tcp);
    let [(one, server_one), (two, _server_two)] = [1, 2].map(|pid| start(&keyed, pid));
    await_all_up(&server_one);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| send_until(&stop, &two));
        let _end = EndOnDrop(&stop);
        receive(&one);
        let other = SecretKey::generate().unwrap().public_key();
        server_one.reconfigure(&keyed.config_with(&[(2, other)])).unwrap();
        // What had come in before is there; nothing comes in from now on.
        let stats = server_one.stats_of(TWO).unwrap();
        let refused = |event: Event| match event {
            Event::Rejected { reason, .. } => Some(reason),
            _ => None,
        };
        let mut refusals = server_one.events().iter().filter_map(refused);
        assert_eq!(refusals.next(), Some(Rejection::Stranger));
        one.inbox.try_iter().for_each(drop);
        assert_eq!(server_one.stats_of(TWO).unwrap().received, stats.received);
    });
}

#[test]
fn a_key_that_is_not_listed_is_not_taken_up() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(2, Transport::Tcp);
    let [(one, server_one), (two, server_two)] = [1, 2].map(|pid| start(&keyed, pid));
    [&server_one, &server_two].into_iter().for_each(await_all_up);
    let stray = SecretKey::generate().unwrap();
    let error = server_one.reconfigure_with_key(&keyed.cluster.config, stray).unwrap_err();
    let ReconfigureError::Keys { source } = error else { panic!("{error}") };
    assert!(matches!(source, StartError::WrongSecretKey { owner: None, .. }), "{source}");
    let error =
        server_one.reconfigure_with_key(&keyed.cluster.config, keyed.secret(2)).unwrap_err();
    let ReconfigureError::Keys { source } = error else { panic!("{error}") };
    assert!(matches!(source, StartError::WrongSecretKey { owner: Some(TWO), .. }), "{source}");
    let error = server_one.reconfigure(&keyed.plain_config()).unwrap_err();
    assert!(matches!(error, ReconfigureError::OtherSecurity { has_keys: true }), "{error}");
    one.outbox.send(Envelope::to(TWO, "all is well")).unwrap();
    assert_eq!(receive(&two).msg, "all is well");
    assert!(server_one.reconfigure(&keyed.cluster.config).unwrap().is_empty());
}

/// libzmq takes it for final that it was turned away; but that shows at the next sign of life.
#[test]
fn a_stranger_is_let_in_soon_after_it_is_listed() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(2, Transport::Tcp);
    let other = SecretKey::generate().unwrap().public_key();
    let stale = keyed.config_with(&[(2, other)]);
    let one = Server::builder(&stale, ONE).secret_key(keyed.secret(1)).idle_timeout(None);
    let (_one, server_one) = quick(one).start().unwrap();
    let (_two, server_two) = start(&keyed, 2);
    let refused = |event: &Event| matches!(event, Event::Rejected { .. });
    assert!(server_one.events().iter().any(|event| refused(&event)));
    let started = Instant::now();
    server_one.reconfigure(&keyed.cluster.config).unwrap();
    [&server_one, &server_two].into_iter().for_each(await_all_up);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
