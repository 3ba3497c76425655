//! Connections that break in every way a proxy can break them, under full load: nothing is lost,
//! repeated or out of order, and the link works again afterwards. Every test audits each pair of
//! sender and receiver, and holds the accounts of every server against each other all the while.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{Builder, Event, PeerState, Pid, Server};
use support::load::{Outcome, await_stats, under_load};
use support::mesh::Mesh;
use support::proxy::{BOTH, Campaign, Cut, Mode, Proxy, Way};
use support::{BOUND, Transport, await_event, within};

const SERVERS: u32 = 3;

/// Waits until the proxy has made all the cuts of a campaign. Over the network for tests all connections
/// are reset, again and again, with something on its way.
fn carry_out(mesh: &Mesh, servers: &[Server], campaign: Campaign) {
    let total = campaign.total;
    if !mesh.has_proxy() {
        let pids = 1..=servers.len() as u32;
        let links = pids.clone().flat_map(|from| pids.clone().map(move |to| (from, to)));
        let links: Vec<_> = links.filter(|(from, to)| from != to).collect();
        let late = Mode::Delay(Duration::ZERO..Duration::from_millis(2));
        links.iter().for_each(|(from, to)| mesh.set(*from, *to, &late));
        for _ in 0..total / links.len() {
            links.iter().for_each(|(from, to)| mesh.cut(*from, *to, Cut::Reset));
            await_progress_of(servers, links.iter().copied());
        }
        return;
    }
    let progress = mesh.proxy().begin(campaign);
    let mut made = 0;
    while made < total {
        made = progress.recv_timeout(BOUND).expect("the next connection is cut");
    }
}

/// Waits until something has been acknowledged that is sent from now on, on each of these links.
fn await_progress_of(servers: &[Server], links: impl Iterator<Item = (u32, u32)> + Clone) {
    let server = |pid: u32| &servers[pid as usize - 1];
    let sent = |(from, to)| server(from).stats().peer(Pid::new(to)).unwrap().sent;
    let before: Vec<_> = links.clone().map(sent).collect();
    for ((from, to), before) in links.zip(before) {
        await_stats(server(from), to, |stats| stats.acknowledged > before);
    }
}

/// The same, on one link.
fn await_progress(servers: &[Server], from: u32, to: u32) {
    await_progress_of(servers, std::iter::once((from, to)));
}

/// Waits until half a window of what a server sends to a peer is on its way. That way is to be
/// stalled already: then it is stuck.
fn await_stuck(servers: &[Server], from: u32, to: u32) {
    let server = &servers[from as usize - 1];
    await_stats(server, to, |stats| stats.window_bytes > WINDOW as u64 / 2);
}

const WINDOW: usize = 256 * 1024;

/// A window and an outbox that are soon full, so that a stalled link holds its senders up.
fn small_window(builder: Builder<'_>) -> Builder<'_> {
    builder.window(WINDOW).outbox_capacity(64)
}

/// All pairs of different servers, as (from, to).
fn links() -> impl Iterator<Item = (u32, u32)> + Clone {
    let others = |from| (1..=SERVERS).filter(move |to| *to != from).map(move |to| (from, to));
    (1..=SERVERS).flat_map(others)
}

fn assert_never_down(outcome: &Outcome) {
    assert_eq!(outcome.count(|event| matches!(event, Event::Down(_))), 0);
}

#[test]
fn a_thousand_resets_lose_nothing() {
    let mesh = Mesh::new(5, Transport::Tcp, 1);
    let servers = mesh.start_all(|builder| builder);
    let outcome = under_load(servers, 256, |servers| {
        carry_out(&mesh, servers, Campaign { bytes: 1..256 * 1024, total: 1_000, closes: 4 });
    });
    outcome.assert_clean();
    assert_never_down(&outcome);
    assert!(outcome.resent() > 0);
}

#[test]
fn two_hundred_cuts_lose_nothing_over_ipc() {
    let mesh = Mesh::new(5, Transport::Ipc, 2);
    let servers = mesh.start_all(|builder| builder);
    let outcome = under_load(servers, 256, |servers| {
        carry_out(&mesh, servers, Campaign { bytes: 1..256 * 1024, total: 200, closes: 2 });
    });
    outcome.assert_clean();
    assert_never_down(&outcome);
}

#[test]
fn cuts_in_the_middle_of_large_messages_lose_nothing() {
    let mesh = Mesh::new(SERVERS, Transport::Tcp, 3);
    let servers = mesh.start_all(|builder| builder.outbox_capacity(8));
    let outcome = under_load(servers, 300_000, |servers| {
        carry_out(&mesh, servers, Campaign { bytes: 1..4 << 20, total: 60, closes: 4 });
    });
    outcome.assert_clean();
}

#[test]
fn a_stall_followed_by_a_reset_loses_nothing() {
    for transport in [Transport::Tcp, Transport::Ipc] {
        let mesh = Mesh::new(SERVERS, transport, 4);
        let outcome = under_load(mesh.start_all(small_window), 1_024, |servers| {
            for (from, to) in links().cycle().take(20) {
                mesh.hinder(from, to, &BOTH, &Mode::Stall);
                await_stuck(servers, from, to);
                mesh.cut(from, to, Cut::Reset);
                mesh.set(from, to, &Mode::Pass);
                await_progress(servers, from, to);
            }
        });
        outcome.assert_clean();
        assert_never_down(&outcome);
        assert!(outcome.resent() > 0);
    }
}

#[test]
fn a_connection_that_swallows_everything_is_replaced() {
    let mesh = Mesh::new(SERVERS, Transport::Tcp, 5);
    // Both ways; only what is sent; only what comes back, which a link does not need.
    let cases = [&[Way::Forth, Way::Back][..], &[Way::Forth]];
    let servers = mesh.start_all(|b| small_window(b).peer_timeout(Duration::from_secs(3)));
    let outcome = under_load(servers, 1_024, |servers| {
        for ((from, to), ways) in links().zip(cases) {
            // First a connection that works.
            await_progress(servers, from, to);
            mesh.hinder(from, to, ways, &Mode::Swallow);
            // New connections pass again, before the torn one is replaced; that one never does.
            mesh.set(from, to, &Mode::Pass);
            await_progress(servers, from, to);
        }
    });
    outcome.assert_clean();
    assert!(outcome.resent() > 0);
}

#[test]
fn bytes_that_come_back_from_a_peer_are_not_needed() {
    let mesh = Mesh::new(SERVERS, Transport::Tcp, 6);
    let outcome = under_load(mesh.start_all(small_window), 1_024, |servers| {
        await_progress_of(servers, links());
        links().for_each(|(from, to)| mesh.set_one_way(from, to, Way::Back, &Mode::Swallow));
        await_progress_of(servers, links());
        links().for_each(|(from, to)| mesh.set(from, to, &Mode::Pass));
    });
    outcome.assert_clean();
    assert_eq!(outcome.resent(), 0);
}

#[test]
fn delays_lose_and_repeat_nothing() {
    let mesh = Mesh::new(SERVERS, Transport::Tcp, 7);
    let delay = Mode::Delay(Duration::from_millis(30)..Duration::from_millis(70));
    links().for_each(|(from, to)| mesh.set(from, to, &delay));
    let outcome = under_load(mesh.start_all(small_window), 1_024, |servers| {
        for _ in 0..3 {
            await_progress_of(servers, links());
        }
    });
    outcome.assert_clean();
    assert_never_down(&outcome);
    assert_eq!(outcome.resent(), 0);
}

/// How a peer stands with a server, as its counts say.
fn await_state(servers: &[Server], own: u32, peer: u32, state: PeerState) {
    await_stats(&servers[own as usize - 1], peer, |stats| stats.state == state);
}

/// What was lost on a link is what its receiver was told it missed, and its sender got back.
fn assert_all_told(outcome: &Outcome, from: u32, to: u32) {
    let (sender, receiver) = (from as usize - 1, to as usize - 1);
    let lost = outcome.audits[receiver][sender].verdict(outcome.sent[sender]);
    assert_eq!((lost.repeated, lost.reordered), (0, 0));
    let sending = outcome.reports[sender].stats.peer(Pid::new(to)).unwrap();
    let receiving = outcome.reports[receiver].stats.peer(Pid::new(from)).unwrap();
    assert_eq!(sending.dropped.peer_down, lost.lost, "{sending:?}");
    assert_eq!(receiving.missed, lost.lost, "{receiving:?}");
}

#[test]
fn a_link_that_is_cut_one_way_is_noticed_at_both_ends_and_heals() {
    for (deaf, mute) in [(1, 2), (2, 1)] {
        let mesh = Mesh::new(SERVERS, Transport::Tcp, 8);
        let servers = mesh.start_all(|b| small_window(b).peer_timeout(Duration::from_secs(1)));
        let outcome = under_load(servers, 1_024, |servers| {
            await_progress_of(servers, links());
            mesh.set(mute, deaf, &Mode::Stall);
            await_state(servers, deaf, mute, PeerState::Down);
            await_state(servers, mute, deaf, PeerState::OneWay);
            // Neither holds up the third.
            await_progress(servers, deaf, 3);
            await_progress(servers, mute, 3);
            mesh.set(mute, deaf, &Mode::Pass);
            await_state(servers, deaf, mute, PeerState::Up);
            await_state(servers, mute, deaf, PeerState::Up);
            await_progress(servers, mute, deaf);
            await_progress(servers, deaf, mute);
        });
        links().for_each(|(from, to)| assert_all_told(&outcome, from, to));
        let told = outcome.audits[deaf as usize - 1][mute as usize - 1].gaps();
        assert!(told > 0, "the load goes on without a peer that is gone");
    }
}

#[test]
fn who_is_heard_and_does_not_hear_and_who_is_not_heard_at_all_is_told() {
    let mesh = Mesh::new(SERVERS, Transport::Tcp, 9);
    let [one, two, three] = [1, 2, 3].map(Pid::new);
    // The third never starts.
    let start = |pid| {
        let builder = mesh.builder(pid).heartbeat(Duration::from_millis(100)).idle_timeout(None);
        builder.peer_timeout(Duration::from_millis(500)).linger(Duration::ZERO).start().unwrap()
    };
    let [(_mailbox_one, server_one), (_mailbox_two, server_two)] = [1, 2].map(start);
    await_event(server_one.events(), &Event::Up(two));
    await_event(server_two.events(), &Event::Up(one));
    await_event(server_one.events(), &Event::Absent(three));
    await_event(server_two.events(), &Event::Absent(three));
    mesh.set(1, 2, &Mode::Stall);
    await_event(server_one.events(), &Event::OneWay(two));
    await_event(server_two.events(), &Event::Down(one));
    mesh.set(1, 2, &Mode::Pass);
    await_event(server_one.events(), &Event::Up(two));
    await_event(server_two.events(), &Event::Up(one));
}

#[test]
fn a_line_that_slows_down_under_load_loses_nothing() {
    let mesh = Mesh::new(SERVERS, Transport::Tcp, 9);
    let outcome = under_load(mesh.start_all(small_window), 256, |servers| {
        await_progress_of(servers, links());
        // What is on its way then takes longer than a heartbeat, and less than the peer timeout.
        mesh.set(1, 2, &Mode::Limit(2_000_000));
        for _ in 0..3 {
            await_progress(servers, 1, 2);
            await_progress(servers, 2, 1);
        }
        mesh.set(1, 2, &Mode::Pass);
        await_progress_of(servers, links());
    });
    outcome.assert_clean();
    assert_never_down(&outcome);
}

#[test]
fn a_slow_line_of_the_proxy_carries_its_rate_and_no_more() {
    const BYTES: usize = 400_000;
    const RATE: u64 = 8_000_000;
    let back = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(10, &[format!("tcp://{}", back.local_addr().unwrap())]).unwrap();
    proxy.set(0, &BOTH, &Mode::Limit(RATE));
    let front = proxy.fronts()[0].trim_start_matches("tcp://").to_owned();
    let mut client = TcpStream::connect(front).unwrap();
    let (mut server, _) =
        within(BOUND, "a connection through the proxy", || back.accept()).unwrap();
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| client.write_all(&[7; BYTES]).unwrap());
        let mut bytes = vec![0; BYTES];
        within(BOUND, "what was sent to arrive", || server.read_exact(&mut bytes)).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 7));
    });
    // It may be used some milliseconds ahead.
    let least = Duration::from_secs_f64(BYTES as f64 * 8.0 / RATE as f64 * 0.9);
    let took = started.elapsed();
    assert!(took > least && took < least * 20, "{took:?} instead of {least:?}");
}
