//! Nothing is left behind: after any number of clusters, one after another and side by side, the
//! process has the threads, the files and sockets and the ports it had before.
//!
//! The one test is alone in its process, so that what it counts is its own.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use raft_cluster::{Envelope, Mailbox, Server};
use support::addresses::free_addresses;
use support::waits::{Watchdog, poll};
use support::{BOUND, Cluster, Transport, join, shut_down, until_end, within};

/// How many entries a folder of `/proc/self` has.
fn count(folder: &str) -> usize {
    fs::read_dir(format!("/proc/self/{folder}")).unwrap().count()
}

/// Five servers, each of which broadcasts and hears all others, until all have left.
fn one_cluster(transport: Transport) {
    let cluster = Cluster::new(5, transport);
    let servers = cluster.start_all();
    let mut handles = Vec::new();
    for (mailbox, server) in servers {
        for id in 0..100 {
            mailbox.outbox.send(Envelope::broadcast("hello").with_id(id)).unwrap();
        }
        let Mailbox { inbox, .. } = mailbox;
        handles.push((thread::spawn(move || until_end(&inbox).count()), server));
    }
    for (heard, server) in handles {
        assert!(join(server).all_acknowledged());
        assert_eq!(heard.join().unwrap(), 400);
    }
}

/// A server that is dropped with everything still on its way.
fn one_that_is_dropped() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let linger = Duration::from_millis(10);
    let builder = Server::builder(&cluster.config, cluster.config.pids()[0]).linger(linger);
    let (mailbox, server) = builder.start().unwrap();
    mailbox.outbox.send_timeout(Envelope::broadcast(vec![0; 100_000]), BOUND).unwrap();
    within(BOUND, "the drop of a server", || drop(server));
}

/// A port that was used can be used again at once.
fn one_after_the_other_on_one_port() {
    let address = free_addresses(1).unwrap()[0];
    let text = support::config_text(&[address.to_string()]);
    let config = text.parse().unwrap();
    for _ in 0..5 {
        let (mailbox, server) = Server::start(&config, raft_cluster::Pid::new(1)).unwrap();
        drop(mailbox);
        shut_down(server);
    }
    TcpListener::bind(address).unwrap();
}

#[test]
fn nothing_is_left_behind() {
    let _watchdog = Watchdog::of_this_test();
    one_cluster(Transport::Tcp);
    let (threads, files) = (count("task"), count("fd"));
    for transport in [Transport::Tcp, Transport::Ipc, Transport::Tcp] {
        one_cluster(transport);
    }
    thread::scope(|scope| {
        for transport in [Transport::Tcp, Transport::Ipc, Transport::Tcp, Transport::Ipc] {
            scope.spawn(move || one_cluster(transport));
        }
        scope.spawn(one_that_is_dropped);
        scope.spawn(one_after_the_other_on_one_port);
    });
    // The kernel shows a thread for a moment after it was joined.
    poll("threads to be gone", || count("task"), |left| *left <= threads);
    assert_eq!(count("fd"), files, "files or sockets are left");
}
