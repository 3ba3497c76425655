//! What the statistics tell of a peer besides the accounts: which process speaks for it and when it
//! was heard last, how long an answer takes and what waits for how long, and how many bytes cross the
//! network.
//!
//! Servers of this process, over real sockets. What is told of a moment is looked at until it is so.

mod support;

use std::time::Duration;

use raft_cluster::{Envelope, Mailbox, PeerStats, Pid, Server};
use support::waits::poll;
use support::{Cluster, Transport, await_all_up, receive, shut_down};

const HEARTBEAT: Duration = Duration::from_millis(50);
const PEER_TIMEOUT: Duration = Duration::from_secs(5);
const WINDOW: usize = 1 << 20;
const HEADER: u64 = 124;

fn start(cluster: &Cluster, pid: u32) -> (Mailbox, Server) {
    Server::builder(&cluster.config, Pid::new(pid))
        .idle_timeout(None)
        .heartbeat(HEARTBEAT)
        .peer_timeout(PEER_TIMEOUT)
        .window(WINDOW)
        .start()
        .unwrap()
}

fn start_two(cluster: &Cluster) -> [(Mailbox, Server); 2] {
    let servers = [1, 2].map(|pid| start(cluster, pid));
    servers.iter().for_each(|(_, server)| await_all_up(server));
    servers
}

fn stats(server: &Server, peer: u32) -> PeerStats {
    server.stats_of(Pid::new(peer)).unwrap()
}

fn await_peer(
    server: &Server,
    peer: u32,
    what: &str,
    wanted: impl Fn(&PeerStats) -> bool,
) -> PeerStats {
    poll(what, || stats(server, peer), wanted)
}

#[test]
fn a_peer_that_was_never_heard_has_no_session_and_the_whole_window() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (_one, server) = start(&cluster, 1);
    let alone = stats(&server, 2);
    assert_eq!((alone.session, alone.last_heard, alone.rtt), (None, None, None));
    assert_eq!((alone.oldest_unacknowledged, alone.bytes_received), (None, 0));
    assert_eq!(alone.window_limit, WINDOW as u64);
    // It is spoken to all the same.
    await_peer(&server, 2, "a sign of life to be sent", |peer| peer.bytes_sent >= HEADER);
    shut_down(server);
}

#[test]
fn it_tells_the_process_that_speaks_for_a_peer_also_after_a_restart() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let [(_one, one), (_two, two)] = start_two(&cluster);
    assert_eq!(stats(&one, 2).session, Some(two.session()));
    assert_eq!(stats(&two, 1).session, Some(one.session()));
    let first = two.session();
    shut_down(two);
    assert_eq!(stats(&one, 2).session, Some(first), "the last one is told on");
    let (_two, two) = start(&cluster, 2);
    let second = Some(two.session());
    await_peer(&one, 2, "the next process to be heard", |peer| peer.session == second);
    for server in [one, two] {
        shut_down(server);
    }
}

#[test]
fn how_long_ago_a_peer_was_heard_is_right_although_nothing_happens() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let [(_one, one), (_two, two)] = start_two(&cluster);
    let monitor = one.monitor();
    assert!(stats(&one, 2).last_heard.is_some());
    shut_down(two);
    let first = stats(&one, 2).last_heard.unwrap();
    let silent = await_peer(&one, 2, "its silence", |peer| {
        peer.last_heard.is_some_and(|age| age > first + HEARTBEAT * 4)
    });
    let later = monitor.stats_of(Pid::new(2)).unwrap();
    assert!(later.last_heard >= silent.last_heard, "{later:?} {silent:?}");
    shut_down(one);
    let ended = monitor.stats_of(Pid::new(2)).unwrap();
    assert!(ended.last_heard > silent.last_heard, "{ended:?} {silent:?}");
}

#[test]
fn the_round_trip_is_known_however_little_is_sent() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let [(one, server_one), (two, server_two)] = start_two(&cluster);
    let look = || {
        one.outbox.send(Envelope::to(Pid::new(2), "there?")).unwrap();
        receive(&two);
        stats(&server_one, 2).rtt
    };
    let rtt = poll("a round trip", look, Option::is_some).unwrap();
    assert!(Duration::ZERO < rtt && rtt < PEER_TIMEOUT, "{rtt:?}");
    assert_eq!(stats(&server_two, 1).rtt, None, "nothing was sent that way");
    for server in [server_one, server_two] {
        shut_down(server);
    }
}

#[test]
fn the_oldest_message_ages_until_the_peer_acknowledges_it() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = start(&cluster, 1);
    one.outbox.send(Envelope::to(Pid::new(2), "first")).unwrap();
    let is_old = |peer: &PeerStats| peer.oldest_unacknowledged > Some(HEARTBEAT * 2);
    await_peer(&server_one, 2, "the first to be old", is_old);
    one.outbox.send(Envelope::to(Pid::new(2), "second")).unwrap();
    let both = await_peer(&server_one, 2, "both to be queued", |peer| peer.queued == 2);
    assert!(is_old(&both), "{both:?}");
    let (two, server_two) = start(&cluster, 2);
    assert_eq!([receive(&two).msg, receive(&two).msg], ["first", "second"]);
    let done = await_peer(&server_one, 2, "both to be acknowledged", |peer| {
        peer.oldest_unacknowledged.is_none()
    });
    assert_eq!((done.acknowledged, done.queued, done.in_flight), (2, 0, 0));
    for server in [server_one, server_two] {
        shut_down(server);
    }
}

#[test]
fn what_one_sends_in_bytes_the_other_receives() {
    const BYTES: u64 = 300_000;
    let cluster = Cluster::new(2, Transport::Tcp);
    let [(one, server_one), (two, server_two)] = start_two(&cluster);
    let before = stats(&server_one, 2);
    one.outbox.send(Envelope::to(Pid::new(2), vec![0; BYTES as usize])).unwrap();
    assert_eq!(receive(&two).msg.len() as u64, BYTES);
    let received = stats(&server_two, 1).bytes_received;
    assert!(received >= BYTES + HEADER, "{received}");
    // The frame may be there before it is counted.
    let after = await_peer(&server_one, 2, "as much to be sent as was received", |peer| {
        peer.bytes_sent >= received
    });
    assert!(after.bytes_sent >= before.bytes_sent + BYTES + HEADER, "{before:?} {after:?}");
    assert!(after.window_limit <= WINDOW as u64, "{after:?}");
    for server in [server_one, server_two] {
        shut_down(server);
    }
}
