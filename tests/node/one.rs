//! Servers started each by itself, with nothing on stdin.

use std::time::Instant;

use crate::cluster::Cluster;
use crate::process::{Finished, Process, time, untimed};

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
    let cluster = Cluster::of(&[7]);
    let Finished { code, stdout, stderr } = cluster.node(&["--pid=7", "--json"]).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    let [listening, stopped] = &stdout[..] else { panic!("{stdout:#?}") };
    let url = cluster.ipc(7);
    assert_eq!(untimed(listening), format!(r#"{{"event":"listening","pid":7,"url":"{url}"}}"#));
    assert_eq!(
        untimed(stopped),
        r#"{"event":"stopped","pid":7,"sent":0,"received":0,"undelivered":0}"#
    );
}

#[test]
fn the_idle_timeout_ends_a_server_whose_peers_do_not_come() {
    let cluster = Cluster::of(&[1, 2]);
    let arguments = ["--pid=1", "--idle-timeout=0.1", "--linger=0.1", "--json"];
    let Finished { code, stdout, .. } = cluster.node(&arguments).finish();
    assert_eq!(code, Some(1), "{stdout:#?}");
    let last = untimed(stdout.last().unwrap());
    assert!(last.ends_with(r#""received":0,"undelivered":1}"#), "{stdout:#?}");
}

#[test]
fn a_line_of_json_tells_how_long_after_the_start_it_happened() {
    let cluster = Cluster::of(&[1, 2]);
    let started = Instant::now();
    let first = cluster.node(&["--pid=1", "--json"]);
    first.stdout.until("listening");
    let stdout = cluster.node(&["--pid=2", "--json"]).finish().stdout;
    let passed = started.elapsed().as_secs_f64();
    assert!(stdout[0].starts_with(r#"{"event":"listening","pid":2,"#), "{stdout:#?}");
    let times: Vec<_> = stdout.iter().map(|line| time(line)).collect();
    assert!(times.is_sorted() && times[0] >= 0.0 && times[times.len() - 1] < passed, "{stdout:#?}");
    assert_eq!(first.finish().code, Some(0));
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
