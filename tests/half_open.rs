//! Connections of which one end knows nothing any more: a firewall forgets them without a word, or
//! the peer's host vanishes and comes back. TCP itself would take minutes to notice, or hours. Both
//! servers find each other again within seconds, and nothing is lost or comes twice.
//!
//! Two network namespaces stand for two machines, which takes root on Linux; elsewhere these tests
//! say why they are skipped, unless the environment has `RAFT_CLUSTER_EXPECT_ROOT`: then they fail.
#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};

use raft_cluster::{Builder, Envelope, Event, Mailbox, PeerState, Pid, Server};
use support::load::{await_stats, under_load};
use support::netns::Machines;
use support::skips::skip;
use support::{await_all_up, join, receive};

/// Set where a test that is skipped for want of rights, tools or a feature of the kernel is one
/// that has failed.
const EXPECT_ROOT: &str = "RAFT_CLUSTER_EXPECT_ROOT";

/// The defaults, on which the bounds depend.
const HEARTBEAT: Duration = Duration::from_secs(1);
const PEER_TIMEOUT: Duration = Duration::from_secs(5);

/// Two machines, unless the test is to be skipped.
fn machines() -> Option<Machines> {
    Machines::new().inspect_err(|reason| skip(reason, EXPECT_ROOT)).ok()
}

/// A server on each machine.
fn start(machines: &Machines) -> Vec<(Mailbox, Server)> {
    let config = machines.config();
    let options = |builder: Builder<'_>| {
        let builder = builder.idle_timeout(None).heartbeat(HEARTBEAT).peer_timeout(PEER_TIMEOUT);
        builder.window(1 << 20).outbox_capacity(64).start().unwrap()
    };
    let start = |pid| options(Server::builder(&config, Pid::new(pid)));
    vec![machines.on(0, || start(1)), machines.on(1, || start(2))]
}

/// Waits until so many more messages have been acknowledged each way.
fn await_progress(servers: &[Server], messages: u64) {
    for (server, peer) in servers.iter().zip([2, 1]) {
        let before = server.stats().peer(Pid::new(peer)).unwrap().acknowledged;
        await_stats(server, peer, |stats| stats.acknowledged >= before + messages);
    }
}

/// Has a firewall forget all connections, or says why the test is to be skipped.
fn forget_connections(machines: &Machines) -> Option<usize> {
    let forgotten = machines.forget_connections();
    let forgotten = forgotten.inspect_err(|reason| skip(reason, EXPECT_ROOT)).ok()?;
    assert_eq!(forgotten, 2, "there is one connection each way");
    Some(forgotten)
}

#[test]
fn connections_that_a_firewall_forgets_under_load_are_replaced_before_a_peer_is_down() {
    let Some(machines) = machines() else { return };
    let (mut forgotten, mut took) = (None, Duration::ZERO);
    let outcome = under_load(start(&machines), 256, |servers| {
        await_progress(servers, 1_000);
        forgotten = forget_connections(&machines);
        let started = Instant::now();
        await_progress(servers, 1_000);
        took = started.elapsed();
    });
    let Some(forgotten) = forgotten else { return };
    println!("recovered in {took:?}");
    assert!(took < PEER_TIMEOUT, "{took:?}");
    outcome.assert_clean();
    assert_eq!(outcome.count(|event| matches!(event, Event::Down(_))), 0);
    outcome.verdict().show("a firewall forgets the connections", forgotten);
}

#[test]
fn a_message_after_a_silence_arrives_although_a_firewall_has_forgotten_the_connections() {
    let Some(machines) = machines() else { return };
    let servers = start(&machines);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    if forget_connections(&machines).is_none() {
        return;
    }
    let [(one, server_one), (two, server_two)] = servers.try_into().ok().unwrap();
    let started = Instant::now();
    one.outbox.send(Envelope::to(Pid::new(2), "there?")).unwrap();
    assert_eq!(receive(&two).msg, "there?");
    two.outbox.send(Envelope::to(Pid::new(1), "here")).unwrap();
    assert_eq!(receive(&one).msg, "here");
    let took = started.elapsed();
    println!("there and back in {took:?}");
    assert!(took < PEER_TIMEOUT, "{took:?}");
    drop((one, two));
    for server in [server_one, server_two] {
        let is_down = |event: Event| matches!(event, Event::Down(_));
        assert!(!server.events().try_iter().any(is_down));
        let report = join(server);
        assert!(report.all_acknowledged(), "{report:?}");
    }
}

#[test]
fn a_host_that_vanishes_and_comes_back_is_found_within_seconds() {
    /// The longest wait for another connection: four times the patience with one that brings
    /// nothing, which is three fifths of the peer timeout; and the handshake.
    const RECOVERY: Duration = Duration::from_secs(5 * 3 / 5 * 4 + 1);
    let Some(machines) = machines() else { return };
    let mut took = Duration::ZERO;
    let outcome = under_load(start(&machines), 256, |servers| {
        await_progress(servers, 1_000);
        machines.vanish(1);
        for (server, peer) in servers.iter().zip([2, 1]) {
            await_stats(server, peer, |stats| stats.state == PeerState::Down);
        }
        let started = machines.come_back(1);
        await_progress(servers, 1);
        took = started.elapsed();
    });
    println!("recovered in {took:?}");
    assert!(took < RECOVERY, "{took:?}");
    let unreported = outcome.assert_nothing_unreported();
    unreported.show("a host vanishes for longer than the peer timeout, and comes back", 1);
}
