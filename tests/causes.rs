//! What the statistics tell of why something does not work: how attempts to connect fail, for which
//! reasons a server refuses what comes in, and how long it waits for its application.
//!
//! Servers of this process, over real sockets. What is told is looked at until it is so.

mod support;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use raft_cluster::{Builder, Config, ConnectionFailures, Envelope, Mailbox, Pid, Server, Stats};
use support::addresses::free_addresses;
use support::waits::{Watchdog, poll};
use support::{Cluster, Transport, await_all_up, config_text, shut_down};

const TWO: Pid = Pid::new(2);

fn builder(config: &Config, pid: u32) -> Builder<'_> {
    Server::builder(config, Pid::new(pid))
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(50))
        .peer_timeout(Duration::from_millis(500))
        .linger(Duration::ZERO)
}

fn start(config: &Config, pid: u32) -> (Mailbox, Server) {
    builder(config, pid).start().unwrap()
}

/// Waits until attempts of server 1 to connect to a peer at this url have failed in the way that is
/// counted there, and returns how they failed in all.
fn failures_at(url: &str, count: fn(&ConnectionFailures) -> u64) -> ConnectionFailures {
    let _watchdog = Watchdog::of_this_test();
    let own = free_addresses(1).unwrap()[0].to_string();
    let config = config_text(&[own, url.to_owned()]).parse().unwrap();
    let (_one, server) = start(&config, 1);
    let look = || server.stats_of(TWO).unwrap().connection_failures;
    let failures = poll("an attempt to connect to fail", look, |failures| count(failures) > 0);
    shut_down(server);
    failures
}

#[test]
fn where_nobody_listens_connections_are_refused() {
    let url = free_addresses(1).unwrap()[0].to_string();
    let failures = failures_at(&url, |failures| failures.refused);
    assert_eq!((failures.name, failures.unanswered, failures.handshake), (0, 0, 0));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("ipc://{}", folder.path().join("nobody").display());
    let failures = failures_at(&url, |failures| failures.refused);
    assert_eq!((failures.name, failures.unanswered, failures.handshake), (0, 0, 0));
}

#[test]
fn a_listener_that_says_nothing_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = silent.local_addr().unwrap().to_string();
    let failures = failures_at(&url, |failures| failures.unanswered);
    assert_eq!((failures.name, failures.refused, failures.handshake), (0, 0, 0));
}

#[test]
fn another_program_does_not_shake_hands() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = other.local_addr().unwrap().to_string();
    let turn_away = |guest: io::Result<TcpStream>| {
        let mut guest = guest?;
        guest.read_exact(&mut [0; 10])?;
        guest.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    };
    // It lives as long as the program: nobody else is to have its port.
    thread::spawn(move || other.incoming().for_each(|guest| drop(turn_away(guest))));
    let failures = failures_at(&url, |failures| failures.handshake);
    assert_eq!((failures.name, failures.refused), (0, 0));
}

#[test]
fn a_name_without_an_address_is_looked_up_in_vain() {
    // No DNS server is asked for a label of more than 63 letters.
    let name = "a".repeat(64);
    let failures = failures_at(&format!("{name}.invalid:1"), |failures| failures.name);
    assert_eq!((failures.refused, failures.unanswered, failures.handshake), (0, 0, 0));
}

#[test]
fn a_peer_that_is_there_fails_nobody() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let (_two, server_two) = start(&cluster.config, 2);
    let (_one, server_one) = start(&cluster.config, 1);
    await_all_up(&server_one);
    let failures = server_one.stats_of(TWO).unwrap().connection_failures;
    assert_eq!(failures, ConnectionFailures::default());
    for server in [server_one, server_two] {
        shut_down(server);
    }
}

#[test]
fn what_is_refused_is_counted_by_its_reason() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let named = |name: &str| -> Config {
        let mut text: serde_json::Value = serde_json::from_str(&cluster.text).unwrap();
        text["object"]["cluster"] = name.into();
        text.to_string().parse().unwrap()
    };
    let (_one, server_one) = start(&named("ours"), 1);
    let (_two, server_two) = start(&named("theirs"), 2);
    for server in [&server_one, &server_two] {
        let is_refused = |stats: &Stats| stats.rejections.other_cluster > 0;
        let stats = poll("frames to be refused", || server.stats(), is_refused);
        assert_eq!(stats.rejected, stats.rejections.total());
        assert_eq!(stats.rejected, stats.rejections.other_cluster, "{stats:?}");
    }
    for server in [server_one, server_two] {
        shut_down(server);
    }
}

#[test]
fn the_time_that_the_application_lets_messages_wait_is_counted() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = start(&cluster.config, 1);
    let (two, server_two) = builder(&cluster.config, 2).inbox_capacity(1).start().unwrap();
    [&server_one, &server_two].into_iter().for_each(await_all_up);
    (0..2).for_each(|_| one.outbox.send(Envelope::to(TWO, "read me")).unwrap());
    let blocked = || server_two.stats().inbox_blocked;
    poll("a message to wait", blocked, |blocked| *blocked > Duration::from_millis(100));
    assert_eq!(server_one.stats().inbox_blocked, Duration::ZERO);
    (0..2).for_each(|_| assert_eq!(support::receive(&two).msg, "read me"));
    for server in [server_one, server_two] {
        shut_down(server);
    }
}
