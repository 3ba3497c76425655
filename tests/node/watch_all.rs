//! `node --all --watch`: all servers in one table.

#[cfg(target_os = "linux")]
use nix::sys::signal::{self, Signal};

#[cfg(target_os = "linux")]
use crate::children::child;
use crate::cluster::Cluster;
use crate::watcher::Watcher;

const WIDE: (u16, u16) = (160, 40);

#[test]
fn all_servers_are_in_one_table_and_leave_together() {
    let cluster = Cluster::of(&[1, 2, 3, 4, 5]);
    let watcher = Watcher::of(&cluster, &["--all", "--linger=20"], WIDE);
    for pid in ["1", "2", "3", "4", "5"] {
        watcher.sees(&[&format!("{pid}     up "), " ok "]);
    }
    watcher.sees(&["5 servers | 5 fine"]);
    watcher.sees(&["[3] peer 5 is up"]);
    watcher.presses("t");
    watcher.sees(&["[5] message 1 has entered the inbox of peer 2"]);
    watcher.presses("d");
    watcher.sees(&["2>4   up", "ok"]);
    watcher.presses("q");
    let lines = watcher.ends_with(0);
    for pid in 1..=5 {
        // The greeting and the test message.
        let last = format!("[{pid}] server {pid} has stopped: 8 sent, 8 received, 0 undelivered");
        assert!(lines.contains(&last), "{lines:#?}");
    }
}

#[test]
fn many_rows_scroll() {
    let cluster = Cluster::of(&[1, 2, 3, 4, 5]);
    let watcher = Watcher::of(&cluster, &["--all", "--linger=20"], (80, 12));
    watcher.sees(&["5     up"]);
    watcher.presses("d");
    watcher.sees(&["rows 1 to ", " scroll"]);
    watcher.sees(&["1>2   up"]);
    watcher.presses("\x1b[F");
    watcher.sees(&["5>4   up"]);
    watcher.presses("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A");
    watcher.sees(&["4>5   up"]);
    watcher.presses("\x1b[H");
    watcher.sees(&["1>2   up"]);
    watcher.presses("q");
    watcher.ends_with(0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_that_stands_still_and_one_that_dies_are_told() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let watcher = Watcher::of(&cluster, &["--all", "--linger=0.2"], WIDE);
    watcher.sees(&["3 servers | 3 fine"]);
    watcher.sees(&["3     up"]);
    let third = child(watcher.node(), 3);
    signal::kill(third, Signal::SIGSTOP).unwrap();
    watcher.sees(&["3     ", "! no report "]);
    watcher.sees(&["1 of 3 in trouble"]);
    signal::kill(third, Signal::SIGCONT).unwrap();
    watcher.sees(&["3 servers | 3 fine"]);
    signal::kill(third, Signal::SIGKILL).unwrap();
    watcher.sees(&["3     ended", "! died"]);
    watcher.sees(&["server 3 has ended by signal: 9 (SIGKILL)"]);
    watcher.sees(&["1     up"]);
    watcher.presses("q");
    let lines = watcher.ends_with(1);
    assert!(
        lines.contains(&"node: server 3 has ended by signal: 9 (SIGKILL)".into()),
        "{lines:#?}"
    );
    let stopped = lines.iter().filter(|line| line.contains("has stopped: ")).count();
    assert_eq!(stopped, 2, "{lines:#?}");
}
