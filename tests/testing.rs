//! The network for the tests of users: it starts many servers at once, each fault does what it says,
//! a server can be killed, and under all faults together the guarantees hold that hold over libzmq.

mod support;

use std::time::{Duration, Instant};

use raft_cluster::crossbeam_channel::after;
use raft_cluster::testing::Network;
use raft_cluster::{Builder, Config, Envelope, Event, Mailbox, PeerState, Pid, Server, StartError};
use support::load::{Outcome, await_stats, under_load};
use support::waits::Watchdog;
use support::{BOUND, await_all_up, await_event, receive, shut_down, until_end};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

/// A network, and the configuration of servers on it.
struct Cluster {
    network: Network,
    config: Config,
    _watchdog: Watchdog,
}

impl Cluster {
    fn new(servers: u16, seed: u64) -> Self {
        let (network, config) = (Network::new(seed), Config::local(servers));
        Self { network, config, _watchdog: Watchdog::of_this_test() }
    }

    fn builder(&self, pid: Pid) -> Builder<'_> {
        Server::builder(&self.config, pid).idle_timeout(None).network(&self.network)
    }

    fn start(&self, pid: Pid) -> (Mailbox, Server) {
        self.builder(pid).start().unwrap()
    }

    /// Starts all of them with these options.
    fn start_with(&self, options: impl Fn(Builder<'_>) -> Builder<'_>) -> Vec<(Mailbox, Server)> {
        let start = |pid: &Pid| options(self.builder(*pid)).start().unwrap();
        self.config.pids().iter().map(start).collect()
    }

    /// Starts two that have heard each other.
    fn start_two(&self) -> [(Mailbox, Server); 2] {
        let both = [ONE, TWO].map(|pid| self.start(pid));
        both.iter().for_each(|(_, server)| await_all_up(server));
        both
    }
}

fn send(mailbox: &Mailbox, to: Pid, msg: &'static str) {
    mailbox.outbox.send_timeout(Envelope::to(to, msg), BOUND).unwrap();
}

#[test]
fn a_hundred_servers_start_and_all_greet_each_other() {
    let cluster = Cluster::new(100, 1);
    let started = Instant::now();
    let servers = cluster.start_with(|builder| builder.outbox_capacity(64).inbox_capacity(256));
    let start = started.elapsed();
    for (mailbox, _) in &servers {
        mailbox.outbox.send_timeout(Envelope::broadcast("hello"), BOUND).unwrap();
    }
    for (mailbox, server) in &servers {
        let mut greeted: Vec<_> = (1..100).map(|_| receive(mailbox).from).collect();
        greeted.sort();
        let mut peers = server.peers();
        peers.sort();
        assert_eq!(greeted, peers);
    }
    let all = started.elapsed();
    println!("100 servers started in {start:?} and have greeted each other after {all:?}");
    // Generous: a busy machine is no slow network.
    assert!(all < Duration::from_secs(20), "{all:?}");
}

#[test]
fn what_is_sent_over_a_line_that_is_cut_waits_until_it_is_healed() {
    let cluster = Cluster::new(3, 2);
    let servers = cluster.start_with(|builder| builder);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    let [(one, _), (two, _), (three, _)] = &servers[..] else { unreachable!() };
    cluster.network.cut(ONE, TWO);
    send(one, TWO, "held");
    send(two, ONE, "held too");
    // Round by the third, so that both had the time to arrive.
    for (from, to, at) in [(one, Pid::new(3), three), (three, TWO, two), (two, Pid::new(3), three)]
    {
        send(from, to, "round");
        assert_eq!(receive(at).msg, "round");
    }
    send(three, ONE, "round");
    assert_eq!(receive(one).msg, "round");
    cluster.network.heal();
    assert_eq!((receive(two).msg, receive(one).msg), ("held".into(), "held too".into()));
}

#[test]
fn a_line_that_is_cut_for_long_brings_both_ends_down_and_up_again() {
    let cluster = Cluster::new(2, 3);
    let servers = cluster.start_with(impatient);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    cluster.network.cut(ONE, TWO);
    await_event(servers[0].1.events(), &Event::Down(TWO));
    await_event(servers[1].1.events(), &Event::Down(ONE));
    send(&servers[0].0, TWO, "meanwhile");
    cluster.network.heal();
    await_event(servers[0].1.events(), &Event::Up(TWO));
    await_event(servers[1].1.events(), &Event::Up(ONE));
    assert_eq!(receive(&servers[1].0).msg, "meanwhile");
}

/// Timeouts that are short enough to wait for.
fn impatient(builder: Builder<'_>) -> Builder<'_> {
    builder.heartbeat(Duration::from_millis(50)).peer_timeout(Duration::from_millis(400))
}

#[test]
fn a_line_that_is_cut_one_way_still_carries_the_other_way() {
    let cluster = Cluster::new(2, 4);
    let servers = cluster.start_with(impatient);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    cluster.network.cut_one_way(ONE, TWO);
    send(&servers[1].0, ONE, "still heard");
    assert_eq!(receive(&servers[0].0).msg, "still heard");
    await_event(servers[1].1.events(), &Event::Down(ONE));
    await_event(servers[0].1.events(), &Event::OneWay(TWO));
    cluster.network.heal();
    await_event(servers[1].1.events(), &Event::Up(ONE));
    await_event(servers[0].1.events(), &Event::Up(TWO));
}

#[test]
fn a_reset_loses_what_is_on_its_way_and_the_link_makes_up_for_it() {
    let cluster = Cluster::new(2, 5);
    let [(one, server_one), (two, _server_two)] = cluster.start_two();
    // A day: without the reset it would not come.
    let day = Duration::from_secs(86_400);
    cluster.network.delay(ONE, TWO, day..day);
    send(&one, TWO, "lost at first");
    await_stats(&server_one, 2, |stats| stats.in_flight == 1);
    cluster.network.delay(ONE, TWO, Duration::ZERO..Duration::ZERO);
    cluster.network.reset(ONE, TWO);
    assert_eq!(receive(&two).msg, "lost at first");
    await_stats(&server_one, 2, |stats| stats.resent > 0);
}

#[test]
fn a_delay_holds_each_frame_up_and_keeps_the_order() {
    let cluster = Cluster::new(2, 6);
    let [(one, _server_one), (two, _server_two)] = cluster.start_two();
    let (least, most) = (Duration::from_millis(20), Duration::from_millis(60));
    cluster.network.delay(ONE, TWO, least..most);
    for id in 0..20 {
        let sent = Instant::now();
        one.outbox.send_timeout(Envelope::to(TWO, "late").with_id(id), BOUND).unwrap();
        assert_eq!(receive(&two).msg_id, id);
        assert!(sent.elapsed() >= least);
    }
    (0..200).for_each(|id| one.outbox.send(Envelope::to(TWO, "many").with_id(id)).unwrap());
    (0..200).for_each(|id| assert_eq!(receive(&two).msg_id, id));
}

#[test]
fn frames_that_are_lost_are_sent_again_and_a_line_that_loses_all_carries_nothing() {
    let cluster = Cluster::new(2, 7);
    let servers = cluster.start_with(impatient);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    let [(one, server_one), (two, _)] = &servers[..] else { unreachable!() };
    cluster.network.lose(ONE, TWO, 0.3);
    for id in 0..50 {
        one.outbox.send_timeout(Envelope::to(TWO, "x").with_id(id), BOUND).unwrap();
        assert_eq!(receive(two).msg_id, id);
    }
    await_stats(server_one, 2, |stats| stats.resent > 0);
    cluster.network.lose(ONE, TWO, 1.0);
    await_stats(server_one, 2, |stats| stats.state == PeerState::Down);
    cluster.network.heal();
    await_stats(server_one, 2, |stats| stats.state == PeerState::Up);
}

#[test]
fn a_server_that_is_aborted_says_no_goodbye_and_sends_nothing_more() {
    let cluster = Cluster::new(2, 8);
    // No silence makes anybody down, but that connections are refused does.
    let servers = cluster.start_with(|builder| builder.peer_timeout(Duration::from_secs(3_600)));
    servers.iter().for_each(|(_, server)| await_all_up(server));
    let [(one, server_one), (two, server_two)] = servers.try_into().ok().unwrap();
    cluster.network.cut(ONE, TWO);
    send(&two, ONE, "never flushed");
    await_stats(&server_two, 1, |stats| stats.in_flight == 1);
    cluster.network.reset(ONE, TWO);
    server_two.abort();
    cluster.network.heal();
    let before = await_event(server_one.events(), &Event::Down(TWO));
    assert!(!before.contains(&Event::Left(TWO)), "{before:?}");
    assert!(one.inbox.is_empty());
    // The ends that the application holds have ended.
    assert!(two.outbox.send(Envelope::to(ONE, "too late")).is_err());
    assert_eq!(until_end(&two.inbox).count(), 0);
}

#[test]
fn a_server_that_was_killed_and_starts_again_is_another_process() {
    let cluster = Cluster::new(2, 9);
    let [(one, server_one), (two, server_two)] = cluster.start_two();
    let killed = server_two.session();
    send(&two, ONE, "first");
    assert_eq!(receive(&one).session, killed);
    server_two.abort();
    let (two, server_two) = cluster.start(TWO);
    assert_ne!(server_two.session(), killed);
    await_event(server_one.events(), &Event::Restarted(TWO));
    send(&two, ONE, "second");
    let second = receive(&one);
    assert_eq!((second.msg, second.session), ("second".into(), server_two.session()));
    // And what is for the one that was killed comes back.
    one.outbox.send(Envelope::to(TWO, "too late").for_session(killed)).unwrap();
    let returned = |event: &Event| matches!(event, Event::Undeliverable { peer: TWO, .. });
    assert!(until_end(server_one.events()).any(|event| returned(&event)));
}

#[test]
fn a_server_is_killed_over_libzmq_too() {
    let config = Config::local(2);
    let _watchdog = Watchdog::of_this_test();
    let start = |pid| {
        let builder = Server::builder(&config, pid).idle_timeout(None).linger(Duration::ZERO);
        builder.peer_timeout(Duration::from_secs(3_600)).start().unwrap()
    };
    let [(_one, server_one), (_two, server_two)] = [ONE, TWO].map(start);
    await_all_up(&server_one);
    await_all_up(&server_two);
    server_two.abort();
    let before = await_event(server_one.events(), &Event::Down(TWO));
    assert!(!before.contains(&Event::Left(TWO)), "{before:?}");
    let (_two, _server_two) = start(TWO);
    await_event(server_one.events(), &Event::Up(TWO));
}

#[test]
fn a_goodbye_is_a_goodbye_here_too() {
    let cluster = Cluster::new(2, 10);
    let [(_one, server_one), (two, server_two)] = cluster.start_two();
    send(&two, ONE, "last");
    assert!(shut_down(server_two).all_acknowledged());
    let before = await_event(server_one.events(), &Event::Left(TWO));
    assert!(!before.contains(&Event::Down(TWO)), "{before:?}");
}

#[test]
fn the_list_of_servers_changes_over_it() {
    let cluster = Cluster::new(3, 11);
    let url = |pid| cluster.config.url(pid).unwrap();
    let of_two = Config::builder().server(ONE, url(ONE)).server(TWO, url(TWO)).build().unwrap();
    let start = |config, pid| {
        let builder = Server::builder(config, pid).idle_timeout(None).linger(Duration::ZERO);
        builder.network(&cluster.network).start().unwrap()
    };
    let (one, server_one) = start(&of_two, ONE);
    let (_two, _server_two) = start(&of_two, TWO);
    let three = Pid::new(3);
    let (mailbox, _server_three) = start(&cluster.config, three);
    assert_eq!(server_one.reconfigure(&cluster.config).unwrap().added, [three]);
    send(&one, three, "welcome");
    assert_eq!(receive(&mailbox).msg, "welcome");
    // It moves, and another process takes its place.
    let moved = Config::builder().server(ONE, url(ONE)).server(TWO, "elsewhere:1").build().unwrap();
    let changes = server_one.reconfigure(&moved).unwrap();
    assert_eq!((changes.changed, changes.removed), (vec![TWO], vec![three]));
    let (elsewhere, _server) = start(&moved, TWO);
    send(&one, TWO, "found");
    assert_eq!(receive(&elsewhere).msg, "found");
}

#[test]
fn one_server_at_a_time_listens_at_a_url() {
    let cluster = Cluster::new(1, 12);
    let (_mailbox, server) = cluster.start(ONE);
    let again = cluster.network.start(&cluster.config, ONE);
    assert!(matches!(again, Err(StartError::Bind { .. })));
    shut_down(server);
    drop(cluster.network.start(&cluster.config, ONE).unwrap());
}

#[test]
fn two_clusters_share_a_network() {
    let network = Network::new(13);
    let orders = Config::local(2);
    let builder = Config::builder().cluster("stock").server(ONE, "a:1");
    let stock = builder.server(TWO, "b:1").build().unwrap();
    for config in [&orders, &stock] {
        let [(one, _server_one), (two, _server_two)] =
            [ONE, TWO].map(|pid| network.start(config, pid).unwrap());
        send(&one, TWO, "hello");
        assert_eq!(receive(&two).msg, "hello");
    }
}

/// Has four servers send as much as they can while one fault after the other strikes, as the seed
/// decides.
fn play(seed: u64, faults: u32) -> Outcome {
    const SERVERS: u16 = 4;
    let cluster = Cluster::new(SERVERS, seed);
    let network = &cluster.network;
    let servers = cluster.start_with(|builder| builder.window(256 * 1024).outbox_capacity(64));
    let mut random = fastrand::Rng::with_seed(seed);
    under_load(servers, 256, |_| {
        for _ in 0..faults {
            let from = random.u32(1..=u32::from(SERVERS));
            let to = from % u32::from(SERVERS) + 1;
            let (a, b) = (Pid::new(from), Pid::new(to));
            let millis = Duration::from_millis(random.u64(..20));
            match random.u32(..6) {
                0 => network.cut(a, b),
                1 => network.cut_one_way(a, b),
                2 => network.delay(a, b, millis..2 * millis),
                3 => network.lose(a, b, random.f64() / 10.0),
                4 => network.reset(a, b),
                _ => network.heal(),
            }
            // When the next one strikes is a part of the plan.
            after(millis).recv().unwrap();
        }
        network.heal();
    })
}

#[test]
fn whatever_the_seed_decides_all_arrives_once_and_in_order() {
    for seed in 1..=5 {
        let outcome = play(seed, 100);
        outcome.assert_clean();
        assert_eq!(outcome.count(|event| matches!(event, Event::Down(_))), 0);
        assert!(outcome.resent() > 0);
    }
}

/// The counter of the course, which does not know what it has counted before. Of the messages that it gets
/// before it is killed, the seed decides after which no acknowledgement goes back. Returns how many it has
/// counted, how many one that goes by the ids, and how long it took.
fn count_to_ten(seed: u64) -> (u64, u64, Duration) {
    let started = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let cluster = Cluster::new(2, seed);
    let [(counting, server_1), (keeping, server_2)] = cluster.start_two();
    let (mut counted, mut last, mut counted_once) = (0, None, 0);
    let mut apply = |envelope: &Envelope| {
        counted += 1;
        if last.is_none_or(|last| envelope.msg_id > last) {
            (last, counted_once) = (Some(envelope.msg_id), counted_once + 1);
        }
    };
    let before_the_crash = random.i64(1..10);
    let unheard = random.i64(0..before_the_crash);
    for id in 0..10 {
        if id == unheard {
            cluster.network.cut_one_way(TWO, ONE);
        }
        counting.outbox.send_timeout(Envelope::to(TWO, "+1").with_id(id), BOUND).unwrap();
        if id < before_the_crash {
            apply(&receive(&keeping));
        }
    }
    server_2.abort();
    // The acknowledgements that wait on the line are lost.
    cluster.network.reset(ONE, TWO);
    cluster.network.heal();
    let (keeping, server_2) = cluster.start(TWO);
    drop((counting, keeping.outbox));
    until_end(&keeping.inbox).for_each(|envelope| apply(&envelope));
    let took = started.elapsed();
    drop((server_1, server_2));
    (counted, counted_once, took)
}

#[test]
fn a_counter_that_is_replicated_wrongly_is_found_by_each_seed_that_has_the_fault() {
    const THREADS: u64 = 10;
    let _watchdog = Watchdog::of_this_test();
    let longest = std::thread::scope(|scope| {
        let play = |first: u64| {
            let seeds = (first..=100).step_by(THREADS as usize).map(|seed| {
                let (counted, counted_once, took) = count_to_ten(seed);
                assert!(counted > 10, "seed {seed}: {counted}");
                assert_eq!(counted_once, 10, "seed {seed}");
                took
            });
            seeds.max().unwrap_or_default()
        };
        let threads: Vec<_> = (1..=THREADS).map(|first| scope.spawn(move || play(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    });
    println!("each of 100 seeds finds it, after {longest:?} at most");
}
