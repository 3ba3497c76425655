//! `--all`: the whole cluster by one command.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, wait_until_nobody_listens};
use crate::process::{Finished, Process, untimed};

const FIVE: [u32; 5] = [1, 2, 3, 4, 5];

#[test]
fn five_servers_each_receive_four_broadcasts() {
    let Finished { code, stdout, stderr } = Cluster::of(&FIVE).node(&["--all"]).finish();
    assert_eq!((code, &stderr), (Some(0), &vec![]), "{stdout:#?}");
    for pid in FIVE {
        let label = format!("[{pid}] ");
        let said: Vec<_> = stdout.iter().filter_map(|line| line.strip_prefix(&label)).collect();
        let mut messages: Vec<_> =
            said.iter().filter_map(|line| line.strip_suffix(" to all: hello there")).collect();
        messages.sort_unstable();
        let others = FIVE.iter().filter(|&&other| other != pid);
        assert_eq!(messages, others.map(|other| format!("peer {other}")).collect::<Vec<_>>());
        assert_eq!(
            said.last(),
            Some(&&*format!("server {pid} has stopped: 4 sent, 4 received, 0 undelivered"))
        );
    }
}

#[test]
fn as_json_each_line_is_an_object_that_says_whose_it_is() {
    let Finished { code, stdout, stderr } = Cluster::of(&FIVE).node(&["--all", "--json"]).finish();
    assert_eq!((code, &stderr), (Some(0), &vec![]), "{stdout:#?}");
    let mut said: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for line in &stdout {
        let object: Value = serde_json::from_str(line).unwrap();
        said.entry(object["pid"].as_u64().unwrap()).or_default().push(untimed(line));
    }
    for (pid, lines) in said {
        let place = |line: &str| lines.iter().position(|said| said == line);
        for other in FIVE.map(u64::from).into_iter().filter(|&other| other != pid) {
            let up = place(&format!(r#"{{"event":"up","pid":{pid},"peer":{other}}}"#));
            let message = place(&format!(
                r#"{{"event":"message","pid":{pid},"from":{other},"to":"broadcast","msg_id":0,"msg":"hello there"}}"#
            ));
            assert!(up.is_some() && up < message, "server {pid}, peer {other}: {lines:#?}");
        }
        let messages = lines.iter().filter(|line| line.contains(r#""event":"message""#));
        assert_eq!(messages.count(), 4, "{lines:#?}");
        let last =
            format!(r#"{{"event":"stopped","pid":{pid},"sent":4,"received":4,"undelivered":0}}"#);
        assert!(lines[0].starts_with(&format!(r#"{{"event":"listening","pid":{pid},"url":"#)));
        assert_eq!(lines.last(), Some(&last));
    }
}

#[test]
fn the_arguments_reach_every_server_and_labels_have_one_width() {
    let cluster = Cluster::of(&[9, 10]);
    let config = cluster.config();
    let node =
        Cluster::empty().node(&["--all", "--message=--all", "--config", config.to_str().unwrap()]);
    let Finished { code, stdout, .. } = node.finish();
    assert_eq!(code, Some(0), "{stdout:#?}");
    for line in ["[ 9] peer 10 to all: --all", "[10] peer 9 to all: --all"] {
        assert!(stdout.iter().any(|said| said == line), "{line} is not in {stdout:#?}");
    }
}

#[test]
fn a_server_that_cannot_start_ends_the_others_in_order() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let cluster = Cluster::empty();
    let url = taken.local_addr().unwrap().to_string();
    cluster.configure(&[(1, cluster.ipc(1)), (2, url.clone()), (3, cluster.ipc(3))]);
    let Finished { code, stdout, stderr } = cluster.node(&["--all", "--linger=0.2"]).finish();
    assert_eq!(code, Some(2), "{stdout:#?} {stderr:#?}");
    assert_eq!(stderr.len(), 1, "{stderr:#?}");
    assert!(stderr[0].starts_with("[2] node: ") && stderr[0].contains(&url), "{stderr:#?}");
    for pid in [1, 3] {
        let stopped = format!("[{pid}] server {pid} has stopped: ");
        assert!(stdout.iter().any(|line| line.starts_with(&stopped)), "{stdout:#?}");
    }
}

#[test]
fn an_interrupt_makes_all_leave_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (_cluster, node) = Cluster::that_waits_for_good(&["--linger=0.2"]);
        node.signal(signal);
        let Finished { code, stdout, stderr } = node.finish();
        assert_eq!(code, Some(1), "{stdout:#?} {stderr:#?}");
        assert_eq!(stderr, ["node: leaving; interrupt again to end at once"]);
        let stopped = stdout.iter().filter(|line| line.contains("has stopped: "));
        assert_eq!(stopped.count(), 3, "{stdout:#?}");
    }
}

#[test]
fn a_second_interrupt_ends_all_at_once() {
    let (cluster, node) = Cluster::that_waits_for_good(&["--linger=3600"]);
    node.signal(Signal::SIGINT);
    node.stderr.until("interrupt again");
    node.signal(Signal::SIGINT);
    assert_eq!(node.status().code(), Some(130));
    [1, 2, 3].into_iter().for_each(|pid| wait_until_nobody_listens(&cluster.socket(pid)));
}

#[test]
fn killing_the_parent_leaves_no_child_behind() {
    let (cluster, node) = Cluster::that_waits_for_good(&["--linger=3600"]);
    UnixStream::connect(cluster.socket(1)).expect("server 1 still listens");
    node.signal(Signal::SIGKILL);
    node.status();
    [1, 2, 3].into_iter().for_each(|pid| wait_until_nobody_listens(&cluster.socket(pid)));
}

#[test]
fn a_reader_that_has_enough_ends_all_in_order() {
    let cluster = Cluster::of(&FIVE);
    let (reader, writer) = UnixStream::pair().unwrap();
    let mut command = cluster.command(&["--all"]);
    let node = Process::spawn(command.stdout(OwnedFd::from(writer)));
    let mut first = String::new();
    BufReader::new(reader).read_line(&mut first).unwrap();
    assert!(first.starts_with('['), "{first}");
    let Finished { code, stderr, .. } = node.finish();
    assert!(code == Some(0) || code == Some(1), "{code:?}");
    assert_eq!(stderr, [""; 0]);
}
