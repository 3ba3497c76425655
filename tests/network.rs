//! The same on a real network, as far as one machine has one: the kernel resets connections,
//! packets get lost, and the line is cut one way or both. Two network namespaces stand for two
//! machines, which takes root on Linux; elsewhere these tests say why they are skipped, unless the
//! environment has `RAFT_CLUSTER_EXPECT_ROOT`: then they fail.
#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};

use crossbeam_channel::tick;
use raft_cluster::{Builder, Event, Mailbox, PeerState, Pid, Server};
use support::audit::Verdict;
use support::load::{await_stats, under_load};
use support::netns::{Impairment, Machines};
use support::skips::skip;
use support::{await_all_up, shut_down};

/// Set where a test that is skipped for want of rights, tools or a feature of the kernel is one
/// that has failed.
const EXPECT_ROOT: &str = "RAFT_CLUSTER_EXPECT_ROOT";

/// Two machines, unless the test is to be skipped.
fn machines() -> Option<Machines> {
    Machines::new().inspect_err(|reason| skip(reason, EXPECT_ROOT)).ok()
}

/// A server on each machine.
fn start(
    machines: &Machines,
    options: impl for<'a> Fn(Builder<'a>) -> Builder<'a> + Sync,
) -> Vec<(Mailbox, Server)> {
    let config = machines.config();
    let start = |pid| options(Server::builder(&config, Pid::new(pid)).idle_timeout(None)).start();
    vec![machines.on(0, || start(1).unwrap()), machines.on(1, || start(2).unwrap())]
}

fn small(builder: Builder<'_>) -> Builder<'_> {
    builder.window(1 << 20).outbox_capacity(64)
}

/// Waits until so many more messages have been acknowledged each way.
fn await_progress(servers: &[Server], messages: u64) {
    for (server, peer) in servers.iter().zip([2, 1]) {
        let before = server.stats().peer(Pid::new(peer)).unwrap().acknowledged;
        await_stats(server, peer, |stats| stats.acknowledged >= before + messages);
    }
}

#[test]
fn resets_by_the_kernel_lose_nothing() {
    const ROUNDS: usize = 50;
    let Some(machines) = machines() else { return };
    let servers = start(&machines, |builder| small(builder).heartbeat(Duration::from_millis(100)));
    let mut resets = 0;
    let outcome = under_load(servers, 256, |servers| {
        for round in 0..ROUNDS {
            await_progress(servers, 1);
            resets += machines.reset_connections(round % 2);
        }
        await_progress(servers, 1);
    });
    outcome.assert_clean();
    if resets == 0 {
        skip("this kernel cannot reset connections", EXPECT_ROOT);
    }
    outcome.verdict().show("connections reset by the kernel, `ss -K`", resets);
    assert_eq!(outcome.count(|event| matches!(event, Event::Down(_))), 0);
}

#[test]
fn a_connection_that_breaks_and_is_made_again_says_nothing_of_the_peer() {
    const ROUNDS: usize = 25;
    let Some(machines) = machines() else { return };
    let servers = start(&machines, |builder| builder);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    // The wait is the fault's own rhythm: as often as a connection that is refused is tried again.
    let ticks = tick(Duration::from_millis(200));
    let resets: usize = (0..ROUNDS)
        .map(|round| {
            let _ = ticks.recv();
            machines.reset_connections(round % 2)
        })
        .sum();
    if resets == 0 {
        return skip("this kernel cannot reset connections", EXPECT_ROOT);
    }
    println!("{resets} connections reset");
    for (mailbox, server) in servers {
        let downs = server.events().try_iter().filter(|event| matches!(event, Event::Down(_)));
        assert_eq!(downs.count(), 0);
        drop(mailbox);
        shut_down(server);
    }
}

#[test]
fn a_network_that_loses_and_delays_packets_loses_no_messages() {
    let Some(machines) = machines() else { return };
    let impairment = match machines.impair() {
        Ok(Impairment::LossAndDelay) => "5 % of the packets lost, delay of 50 ms ± 20 ms",
        Ok(Impairment::Loss) => "5 % of the packets lost",
        Err(reason) => return skip(reason, EXPECT_ROOT),
    };
    let servers = start(&machines, small);
    let outcome = under_load(servers, 256, |servers| await_progress(servers, 10_000));
    outcome.assert_clean();
    outcome.verdict().show(impairment, 1);
    assert_eq!(outcome.count(|event| matches!(event, Event::Down(_))), 0);
}

/// Cuts the line from these machines until the peer timeout has passed, and checks how soon all is
/// well once it is joined again.
fn assert_recovers_from_partition(cut: &[usize]) {
    /// Once a connection is possible again.
    const RECOVERY: Duration = Duration::from_secs(2);
    let Some(machines) = machines() else { return };
    let servers = start(&machines, small);
    let mut took = Duration::ZERO;
    let outcome = under_load(servers, 256, |servers| {
        await_progress(servers, 1_000);
        cut.iter().for_each(|from| machines.cut(*from));
        for (server, peer) in servers.iter().zip([2, 1]) {
            // The one who hears the other is not heard, and in the end hears nothing either, since
            // TCP sends nothing more to somebody who does not answer.
            let hears = !cut.contains(&(peer as usize - 1));
            await_stats(server, peer, |stats| match stats.state {
                PeerState::OneWay => hears,
                state => state == PeerState::Down,
            });
        }
        cut.iter().for_each(|from| machines.join(*from));
        let joined = Instant::now();
        await_progress(servers, 1);
        took = joined.elapsed();
    });
    println!("cut from {cut:?}: recovered in {took:?}");
    assert!(took < RECOVERY, "{took:?}");
    let mut unreported = Verdict::default();
    for (sender, receiver) in [(0, 1), (1, 0)] {
        let verdict = outcome.audits[receiver][sender].verdict(outcome.sent[sender]);
        let sending = &outcome.reports[sender].stats.peers[0];
        let receiving = &outcome.reports[receiver].stats.peers[0];
        assert_eq!((verdict.repeated, verdict.reordered), (0, 0));
        assert_eq!(verdict.lost, sending.dropped.peer_down);
        assert_eq!(verdict.lost, receiving.missed);
        unreported += Verdict { lost: verdict.lost - sending.dropped.peer_down, ..verdict };
    }
    let ways = if cut.len() == 2 { "both ways" } else { "one way" };
    unreported.show(&format!("line cut {ways} beyond the peer timeout, and joined again"), 1);
}

#[test]
fn a_partition_one_way_heals_soon() {
    assert_recovers_from_partition(&[0]);
}

#[test]
fn a_partition_the_other_way_heals_soon() {
    assert_recovers_from_partition(&[1]);
}

#[test]
fn a_partition_both_ways_heals_soon() {
    assert_recovers_from_partition(&[0, 1]);
}
