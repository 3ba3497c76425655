//! `--all` when somebody else ends its children: the exit status stays one of the promised ones.
//! Only on Linux, where `/proc` tells which processes they are.

use std::fs;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::cluster::Cluster;
use crate::process::Finished;

#[test]
fn a_child_that_somebody_kills_is_named_and_the_others_leave() {
    for (signal, named) in [
        (Signal::SIGKILL, "node: server 2 has ended by signal: 9 (SIGKILL)"),
        (Signal::SIGUSR1, "node: server 2 has ended by signal: 10 (SIGUSR1)"),
    ] {
        let (_cluster, node) = Cluster::that_waits_for_good(&["--linger=0.2"]);
        signal::kill(child(node.id(), 2), signal).unwrap();
        let Finished { code, stdout, stderr } = node.finish();
        assert_eq!(code, Some(1), "{stdout:#?} {stderr:#?}");
        assert_eq!(stderr, [named]);
        for pid in [1, 3] {
            let stopped = format!("[{pid}] server {pid} has stopped: ");
            assert!(stdout.iter().any(|line| line.starts_with(&stopped)), "{stdout:#?}");
        }
    }
}

#[test]
fn a_child_that_ends_with_a_status_of_its_own_gives_a_promised_one() {
    let (_cluster, node) = Cluster::that_waits_for_good(&["--linger=3600"]);
    // The second interrupt ends it at once, with 130; the others linger until they are killed.
    signal::kill(child(node.id(), 2), Signal::SIGTERM).unwrap();
    assert_eq!(
        node.stderr.until("interrupt again"),
        ["[2] node: leaving; interrupt again to end at once"]
    );
    signal::kill(child(node.id(), 2), Signal::SIGTERM).unwrap();
    let named = node.stderr.until("server 2");
    assert_eq!(named, ["node: server 2 has ended with exit status: 130"]);
    for pid in [1, 3] {
        signal::kill(child(node.id(), pid), Signal::SIGKILL).unwrap();
    }
    let Finished { code, stdout, stderr } = node.finish();
    assert_eq!((code, stderr.len()), (Some(1), 2), "{stdout:#?} {stderr:#?}");
}

#[test]
fn a_child_that_somebody_asks_to_leave_leaves_in_order() {
    let (_cluster, node) = Cluster::that_waits_for_good(&["--linger=0.2"]);
    for pid in [1, 2, 3] {
        signal::kill(child(node.id(), pid), Signal::SIGTERM).unwrap();
        node.stdout.until(&format!("server {pid} has stopped: "));
    }
    let Finished { code, stderr, .. } = node.finish();
    assert_eq!(code, Some(1), "{stderr:#?}");
    let told =
        stderr.iter().filter(|line| line.ends_with("leaving; interrupt again to end at once"));
    assert_eq!((told.count(), stderr.len()), (3, 3), "{stderr:#?}");
}

/// The process of a server that `--all` has started.
pub(crate) fn child(node: Pid, pid: u32) -> Pid {
    let children = children(node);
    let is_it = |child: &&str| {
        // Meanwhile another one may have ended.
        let command = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        command.ends_with(&format!("--pid\0{pid}\0"))
    };
    let child = children.split_whitespace().find(is_it).expect("a child for each server");
    Pid::from_raw(child.parse().unwrap())
}

/// The processes that this one has started, each followed by a space.
pub(crate) fn children(process: Pid) -> String {
    fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap()
}
