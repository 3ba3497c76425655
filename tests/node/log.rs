//! The log on stderr: as text by `RUST_LOG`, as JSON by `--log json`, and none unless asked for.

use std::fs::File;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::process::{Finished, Process};

#[test]
fn the_variable_switches_the_log_on_and_says_what_is_in_it() {
    let cluster = Cluster::of(&[1]);
    let run = |filter: &str| {
        let mut command = cluster.command(&["--pid", "1", "--idle-timeout", "0"]);
        let finished = Process::spawn(command.env("RUST_LOG", filter)).finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stderr
    };
    let log = run("raft_cluster=info");
    assert!(log.iter().all(|line| line.contains("INFO server{pid=1 session=")), "{log:#?}");
    assert!(log.iter().all(|line| !line.contains('\x1b')), "no terminal, no color: {log:#?}");
    assert!(log.iter().any(|line| line.contains("the server starts")), "{log:#?}");
    assert!(log.last().unwrap().contains("the server has ended"), "{log:#?}");
    for silent in ["", "off", "raft_cluster=error", "somebody_else=trace"] {
        assert_eq!(run(silent), [""; 0], "{silent}");
    }
}

#[test]
fn as_json_each_line_is_an_object_also_of_all_servers() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let Finished { code, stderr, .. } = cluster.node(&["--all", "--log=json"]).finish();
    assert_eq!(code, Some(0), "{stderr:#?}");
    let lines: Vec<Value> =
        stderr.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    for pid in 1..=3 {
        let told = |message: &str| {
            lines.iter().any(|line| line["span"]["pid"] == pid && line["message"] == message)
        };
        assert!(told("the server starts") && told("the peer has left"), "{pid}: {lines:#?}");
        assert!(told("the server has ended"), "{pid}: {lines:#?}");
    }
}

#[test]
fn a_filter_that_is_none_is_refused() {
    let cluster = Cluster::of(&[1]);
    for filter in ["raft_cluster=loud", "raft_cluster=info=debug"] {
        let mut command = cluster.command(&["--pid", "1"]);
        let finished = Process::spawn(command.env("RUST_LOG", filter)).finish();
        assert_eq!((finished.code, finished.stdout), (Some(2), vec![]), "{filter}");
        let words = "node: RUST_LOG is no filter, such as raft_cluster=debug: ";
        assert!(finished.stderr[0].starts_with(words), "{filter}: {:?}", finished.stderr);
    }
}

/// Nothing is lost but the log.
#[cfg(target_os = "linux")]
#[test]
fn a_log_that_nobody_takes_stops_nothing() {
    let cluster = Cluster::of(&[1, 2]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = cluster.command(&["--pid", "1", "--log=text", "--linger=0.1"]);
    // Unlike the others, it is not to be read.
    let mut child = command.stderr(Stdio::from(full)).spawn().unwrap();
    let other = cluster.server(2, &[]);
    other.stdout.until("peer 1 to all: hello there");
    other.signal(Signal::SIGTERM);
    assert_eq!(other.finish().code, Some(0));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
