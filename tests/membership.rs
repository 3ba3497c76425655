//! The cluster changes while it runs: peers come, go, move and come back, and nobody else notices.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{
    Builder, Config, Envelope, Event, Mailbox, NoAnswer, PeerState, Pid, Reason, ReconfigureError,
    Rejection, Server,
};
use support::load::{EndOnDrop, assert_accounted, await_stats};
use support::waits::poll;
use support::{
    BOUND, Cluster, Transport, await_all_up, await_event, config_text, join, receive, shut_down,
};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const THREE: Pid = Pid::new(3);

fn start(config: &Config, pid: Pid) -> (Mailbox, Server) {
    quick(Server::builder(config, pid)).start().unwrap()
}

/// Silence is noticed soon, and the end does not take long.
fn quick(builder: Builder<'_>) -> Builder<'_> {
    builder
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(100))
        .peer_timeout(Duration::from_secs(2))
        .linger(Duration::from_millis(500))
}

fn say(mailbox: &Mailbox, to: Pid, id: i64) {
    mailbox.outbox.send(Envelope::to(to, "a message").with_id(id)).unwrap();
}

#[test]
fn a_server_that_joins_is_heard_and_nobody_else_notices() {
    for transport in [Transport::Tcp, Transport::Ipc] {
        let cluster = Cluster::new(3, transport);
        let two_of_them = cluster.without(&[THREE]);
        let servers = [ONE, TWO].map(|pid| start(&two_of_them, pid));
        let [(one, server_one), (two, server_two)] = servers;
        // The counts tell of it before the events do.
        assert_eq!(server_one.events().recv_timeout(BOUND), Ok(Event::Up(TWO)));
        assert_eq!(server_two.events().recv_timeout(BOUND), Ok(Event::Up(ONE)));
        say(&one, TWO, 1);
        for server in [&server_one, &server_two] {
            let changes = server.reconfigure(&cluster.config).unwrap();
            assert_eq!(changes.added, [THREE]);
            assert!(changes.removed.is_empty() && changes.changed.is_empty(), "{changes}");
        }
        assert_eq!(server_one.peers(), [TWO, THREE]);
        let stats = server_one.stats_of(THREE).unwrap();
        assert_eq!((stats.pid, stats.state), (THREE, PeerState::Awaited));
        one.outbox.send(Envelope::broadcast("to whoever comes").with_id(2)).unwrap();
        let to_three = server_two.outbox_to(THREE).unwrap();
        to_three.send(Envelope::to(THREE, "and from two").with_id(3)).unwrap();

        let (three, server_three) = start(&cluster.config, THREE);
        let mut heard = [receive(&three), receive(&three)].map(|it| (it.from, it.msg_id));
        heard.sort_unstable();
        assert_eq!(heard, [(ONE, 2), (TWO, 3)]);
        say(&three, ONE, 4);
        assert_eq!(receive(&one).msg_id, 4);
        assert_eq!([receive(&two).msg_id, receive(&two).msg_id], [1, 2]);
        for server in [&server_one, &server_two] {
            assert_eq!(server.events().recv_timeout(BOUND), Ok(Event::Up(THREE)));
            assert!(server.events().is_empty());
            assert!(server.stats().peers.iter().all(|peer| peer.resent == 0));
        }
        assert!(server_three.stats().peers.iter().all(|peer| peer.resent == 0));
        drop((one.outbox, two.outbox, three.outbox, to_three));
        for server in [server_one, server_two, server_three] {
            assert!(join(server).all_acknowledged());
        }
    }
}

#[test]
fn what_a_peer_has_not_acknowledged_comes_back_when_it_is_removed() {
    let cluster = Cluster::new(3, Transport::Tcp);
    // Server 3 never comes.
    let [(one, server_one), (two, server_two)] = [ONE, TWO].map(|pid| start(&cluster.config, pid));
    let to_three = server_one.outbox_to(THREE).unwrap();
    say(&one, THREE, 1);
    one.outbox.send(Envelope::broadcast("to all").with_id(2)).unwrap();
    assert_eq!(receive(&two).msg_id, 2);
    await_stats(&server_one, 3, |stats| stats.accepted == 2);

    let changes = server_one.reconfigure(&cluster.without(&[THREE])).unwrap();
    assert_eq!((changes.removed, changes.added), (vec![THREE], vec![]));
    assert_eq!(server_one.peers(), [TWO]);
    assert_eq!(server_one.stats_of(THREE), None);
    assert!(server_one.outbox_to(THREE).is_none());
    // And what is sent to it from then on, by whatever outbox.
    say(&one, THREE, 3);
    to_three.send(Envelope::to(THREE, "too late").with_id(4)).unwrap();
    say(&one, TWO, 5);
    assert_eq!(receive(&two).msg_id, 5);
    let mut returned = Vec::new();
    while returned.len() < 4 {
        match server_one.events().recv_timeout(BOUND).unwrap() {
            Event::Undeliverable { peer, envelope, reason, .. } => {
                assert_eq!((peer, envelope.from, reason), (THREE, ONE, Reason::Removed));
                returned.push(envelope.msg_id);
            }
            Event::Up(TWO) | Event::Absent(THREE) => {}
            other => panic!("{other}"),
        }
    }
    returned.sort_unstable();
    assert_eq!(returned, [1, 2, 3, 4]);
    // A pid that was never listed is another matter.
    say(&one, Pid::new(9), 6);
    let event = server_one.events().recv_timeout(BOUND).unwrap();
    let is_nobody = |reason| reason == Reason::NoSuchPeer;
    assert!(matches!(event, Event::Undeliverable { reason, .. } if is_nobody(reason)), "{event}");

    drop((one.outbox, two.outbox, to_three));
    shut_down(server_two);
    let report = shut_down(server_one);
    assert_accounted(&report.stats);
    assert_eq!((report.stats.removed, report.stats.no_such_peer), (2, 3));
    assert_eq!(report.undelivered(), 5);
    assert_eq!(report.peers.len(), 1);
}

#[test]
fn a_peer_that_is_removed_hears_a_goodbye_and_gets_back_what_it_sends() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let servers = [ONE, TWO, THREE].map(|pid| start(&cluster.config, pid));
    servers.iter().for_each(|(_, server)| await_all_up(server));
    let [(one, server_one), (_two, server_two), (three, server_three)] = servers;
    say(&three, ONE, 1);
    await_stats(&server_three, 1, |stats| stats.acknowledged == 1);
    let started = Instant::now();
    server_one.reconfigure(&cluster.without(&[THREE])).unwrap();
    await_event(server_three.events(), &Event::Left(ONE));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(receive(&one).msg_id, 1, "what had come in stays");
    say(&three, ONE, 2);
    let event = server_three.events().recv_timeout(BOUND).unwrap();
    let is_closed = |reason| reason == Reason::InboxClosed;
    assert!(
        matches!(event, Event::Undeliverable { peer: ONE, reason, .. } if is_closed(reason)),
        "{event}"
    );
    // Server 2 lists all, and hears all.
    assert!(server_two.stats().peers.iter().all(|peer| peer.state == PeerState::Up));
    shut_down(server_three);
    shut_down(server_two);
    assert!(one.inbox.is_empty());
}

/// Sends numbered messages to server 1 until it is told to stop. Returns how many, and which came
/// back.
fn send_until(stop: &AtomicBool, mailbox: &Mailbox, server: &Server) -> (i64, Vec<i64>) {
    let mut returned = Vec::new();
    let mut id = 0;
    while !stop.load(Ordering::Relaxed) {
        mailbox.outbox.send(Envelope::to(ONE, vec![0; 100]).with_id(id)).unwrap();
        returned.extend(server.events().try_iter().filter_map(returned_id));
        id += 1;
    }
    (id, returned)
}

fn returned_id(event: Event) -> Option<i64> {
    match event {
        Event::Undeliverable { envelope, reason, .. } => {
            assert_eq!(reason, Reason::InboxClosed);
            Some(envelope.msg_id)
        }
        Event::Restarted(pid) => panic!("{pid} has restarted"),
        _ => None,
    }
}

/// Nobody restarts, and so nothing is repeated or reordered, and what is lost comes back.
#[test]
fn who_is_removed_and_added_again_is_the_same_peer() {
    const ROUNDS: usize = 20;
    let cluster = Cluster::new(2, Transport::Tcp);
    let start = |pid| {
        // So little that all of it has room among the events.
        let small = quick(Server::builder(&cluster.config, pid)).window(32 * 1024);
        small.outbox_capacity(16).inbox_capacity(64).start().unwrap()
    };
    let [(one, server_one), (two, server_two)] = [ONE, TWO].map(start);
    let alone = cluster.without(&[TWO]);
    let stop = AtomicBool::new(false);
    let mut received: Vec<i64> = Vec::new();
    let (sent, mut returned) = thread::scope(|scope| {
        let sender = scope.spawn(|| send_until(&stop, &two, &server_two));
        let end = EndOnDrop(&stop);
        for round in 1..=ROUNDS {
            while received.len() < 500 * round {
                received.push(receive(&one).msg_id);
            }
            let changes = server_one.reconfigure(&alone).unwrap();
            assert_eq!(changes.removed, [TWO]);
            if round % 2 == 0 {
                let goodbye = || server_two.stats_of(ONE).unwrap().state;
                poll("the goodbye", goodbye, |state| *state == PeerState::Left);
            }
            let changes = server_one.reconfigure(&cluster.config).unwrap();
            assert_eq!(changes.added, [TWO]);
        }
        // Who has ended unheard is awaited, as one that is still to come.
        [&server_one, &server_two].into_iter().for_each(await_all_up);
        drop(end);
        // It may wait for room.
        while !sender.is_finished() {
            received.extend(one.inbox.try_iter().map(|envelope| envelope.msg_id));
            thread::yield_now();
        }
        sender.join().unwrap()
    });
    drop((one.outbox, two.outbox));
    received.extend(one.inbox.iter().map(|envelope| envelope.msg_id));
    assert!(received.is_sorted_by(|before, after| before < after), "repeated or reordered");
    returned.extend(server_two.events().try_iter().filter_map(returned_id));
    let report = join(server_two);
    returned.extend(report.peers[0].undelivered.iter().map(|envelope| envelope.msg_id));
    assert_eq!(report.stats.events_missed, 0);
    received.extend(returned);
    received.sort_unstable();
    received.dedup();
    assert!(received.into_iter().eq(0..sent), "lost");
    join(server_one);
}

#[test]
fn a_link_comes_up_once_both_list_each_other() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let (one, server_one) = start(&cluster.without(&[TWO]), ONE);
    let (two, server_two) = start(&cluster.config, TWO);
    say(&two, ONE, 1);
    let event = server_one.events().recv_timeout(BOUND).unwrap();
    let Event::Rejected { reason, .. } = event else { panic!("{event}") };
    assert_eq!(reason, Rejection::UnknownSender(TWO));
    server_one.reconfigure(&cluster.config).unwrap();
    let started = Instant::now();
    assert_eq!(receive(&one).msg_id, 1);
    await_all_up(&server_one);
    await_all_up(&server_two);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    drop((one.outbox, two.outbox));
    assert!(join(server_two).all_acknowledged());
    join(server_one);
}

#[test]
fn a_peer_that_has_moved_is_found_at_its_new_url() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let elsewhere = Cluster::new(2, Transport::Ipc);
    let url = |cluster: &Cluster, pid| cluster.config.url(pid).unwrap().to_owned();
    let moved: Config = config_text(&[url(&cluster, ONE), url(&elsewhere, TWO)]).parse().unwrap();
    let (one, server_one) = start(&cluster.config, ONE);
    say(&one, TWO, 1);
    let (two, server_two) = start(&moved, TWO);
    let changes = server_one.reconfigure(&moved).unwrap();
    assert_eq!((changes.changed, changes.added, changes.removed), (vec![TWO], vec![], vec![]));
    assert_eq!(receive(&two).msg_id, 1);
    // A second time nothing is to be done.
    assert!(server_one.reconfigure(&moved).unwrap().is_empty());
    drop((one.outbox, two.outbox));
    assert!(join(server_one).all_acknowledged());
    join(server_two);
}

#[test]
fn who_asks_a_peer_that_is_removed_need_not_wait_and_one_that_is_added_can_be_asked() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let alone = cluster.without(&[TWO]);
    let (_one, server_one) = start(&alone, ONE);
    let asker = server_one.asker();
    assert_eq!(asker.ask(TWO, "early", BOUND).unwrap_err(), NoAnswer::NoSuchPeer);
    server_one.reconfigure(&cluster.config).unwrap();
    let (two, server_two) = start(&cluster.config, TWO);
    thread::scope(|scope| {
        let question = scope.spawn(|| asker.ask(TWO, "who leads?", BOUND));
        let asked = receive(&two);
        assert!(server_two.asker().answer(&asked, "I do").is_ok());
        assert_eq!(question.join().unwrap().unwrap().msg, "I do");

        let question = scope.spawn(|| asker.ask(TWO, "and now?", BOUND));
        assert_eq!(receive(&two).msg, "and now?");
        server_one.reconfigure(&alone).unwrap();
        assert_eq!(question.join().unwrap().unwrap_err(), NoAnswer::PeerGone);
    });
    assert_eq!(asker.ask(TWO, "late", BOUND).unwrap_err(), NoAnswer::NoSuchPeer);
    shut_down(server_two);
}

#[test]
fn what_cannot_change_says_so_and_changes_nothing() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let (_one, server) = start(&cluster.config, ONE);
    let error = |config: &Config| server.reconfigure(config).unwrap_err();
    let text = |change: &dyn Fn(&mut serde_json::Value)| -> Config {
        let mut text: serde_json::Value = serde_json::from_str(&cluster.text).unwrap();
        change(&mut text["object"]);
        text.to_string().parse().unwrap()
    };
    let unlisted = error(&cluster.without(&[ONE, TWO]));
    assert!(matches!(unlisted, ReconfigureError::NotListed { pid: ONE, .. }), "{unlisted}");
    let moved = error(&text(&|object| object["Servers"][0]["url"] = "127.0.0.1:9".into()));
    assert!(matches!(moved, ReconfigureError::OtherUrl { pid: ONE, .. }), "{moved}");
    let renamed = error(&text(&|object| object["cluster"] = "orders".into()));
    assert_eq!(
        renamed.to_string(),
        "the configuration is that of cluster \"orders\", and this server is one of a cluster \
         without a name"
    );
    let keyed = text(&|object| {
        for server in object["Servers"].as_array_mut().unwrap() {
            let key = raft_cluster::SecretKey::generate().unwrap().public_key();
            server["public_key"] = key.to_string().into();
        }
    });
    assert!(matches!(error(&keyed), ReconfigureError::OtherSecurity { has_keys: false }));
    assert_eq!(server.peers(), [TWO, THREE]);
    assert!(server.events().is_empty());
}

#[test]
fn a_server_that_has_ended_does_not_change() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let idle = quick(Server::builder(&cluster.config, ONE)).idle_timeout(Some(Duration::ZERO));
    let (one, server) = idle.start().unwrap();
    drop(one);
    let ended = || server.reconfigure(&cluster.without(&[TWO])).err();
    poll("the end", ended, |error| matches!(error, Some(ReconfigureError::Ended)));
}

/// Many threads change the cluster at once, some of them wrongly, while all talk. In the end each
/// server is where the last change has left it, and all are heard.
#[test]
fn changes_from_many_threads_at_once_are_made_one_after_the_other() {
    const CHANGES: usize = 50;
    let cluster = Cluster::new(4, Transport::Tcp);
    let servers: Vec<_> =
        cluster.config.pids().iter().map(|pid| start(&cluster.config, *pid)).collect();
    servers.iter().for_each(|(_, server)| await_all_up(server));
    let lists = [
        cluster.config.clone(),
        cluster.without(&[TWO]),
        cluster.without(&[THREE, Pid::new(4)]),
        cluster.without(&[ONE]),
    ];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (mailbox, server) in &servers {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Who waited for room would not read.
                    let _ = mailbox.outbox.try_send(Envelope::broadcast("on and on"));
                    mailbox.inbox.try_iter().for_each(drop);
                    server.events().try_iter().for_each(drop);
                }
            });
        }
        let _end = EndOnDrop(&stop);
        let (_, server) = &servers[0];
        let change = |seed: usize| {
            for round in 0..CHANGES {
                let list = &lists[(seed + round) % lists.len()];
                match server.reconfigure(list) {
                    Ok(_) => assert!(list.url(ONE).is_some()),
                    Err(ReconfigureError::NotListed { .. }) => assert!(list.url(ONE).is_none()),
                    Err(other) => panic!("{other}"),
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || change(seed))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        server.reconfigure(&cluster.config).unwrap();
        servers.iter().for_each(|(_, server)| await_all_up(server));
    });
    for (_, server) in servers {
        assert_accounted(&shut_down(server).stats);
    }
}
