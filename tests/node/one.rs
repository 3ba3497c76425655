//! Servers started each by itself, with nothing on stdin.

use crate::cluster::Cluster;
use crate::process::{Finished, Process};

#[test]
fn five_processes_started_one_after_another_hear_each_other() {
    let cluster = Cluster::of(&[1, 2, 3, 4, 5]);
    let servers: Vec<(u32, Process)> = (1..=5).map(|pid| (pid, cluster.server(pid, &[]))).collect();
    for (pid, server) in servers {
        let Finished { code, stdout, stderr } = server.finish();
        assert_eq!((code, &stderr), (Some(0), &vec![]), "server {pid}: {stdout:#?}");
        let mut heard: Vec<_> =
            stdout.iter().filter(|line| line.ends_with(" to all: hello there")).collect();
        heard.sort();
        let others = (1..=5).filter(|&other| other != pid);
        let expected: Vec<_> =
            others.map(|other| format!("peer {other} to all: hello there")).collect();
        assert_eq!(heard, expected.iter().collect::<Vec<_>>(), "server {pid}");
        assert_eq!(
            stdout.last(),
            Some(&format!("server {pid} has stopped: 4 sent, 4 received, 0 undelivered"))
        );
    }
}

#[test]
fn a_cluster_of_one_ends_by_itself() {
    let Finished { code, stdout, stderr } = Cluster::of(&[7]).node(&["--pid=7", "--json"]).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    assert_eq!(stdout, [r#"{"event":"stopped","pid":7,"sent":0,"received":0,"undelivered":0}"#]);
}

#[test]
fn the_idle_timeout_ends_a_server_whose_peers_do_not_come() {
    let cluster = Cluster::of(&[1, 2]);
    let arguments = ["--pid=1", "--idle-timeout=0.1", "--linger=0.1", "--json"];
    let Finished { code, stdout, .. } = cluster.node(&arguments).finish();
    assert_eq!(code, Some(1), "{stdout:#?}");
    assert!(stdout.last().unwrap().ends_with(r#""received":0,"undelivered":1}"#), "{stdout:#?}");
}

#[test]
fn a_message_stays_on_one_line_of_text() {
    let cluster = Cluster::of(&[1, 2]);
    let first = cluster.server(1, &["--message", "two\nlines \u{1b}[2J"]);
    let second = cluster.node(&["--pid=2", "--message", "über"]);
    let stdout = second.finish().stdout;
    assert!(
        stdout.iter().any(|line| line == r"peer 1 to all: two\nlines \u{1b}[2J"),
        "{stdout:#?}"
    );
    let stdout = first.finish().stdout;
    assert!(stdout.iter().any(|line| line == "peer 2 to all: über"), "{stdout:#?}");
}
