//! SIGHUP: a server reads its files again, says what has changed, and goes by it. Where something
//! is wrong, it says so and goes on as before.

use std::fs;
use std::net::TcpListener;

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, configuration};
use crate::process::{Finished, untimed};
use crate::support::keys::can_use_keys;
use crate::typist::{Typist, leave, talk};

#[test]
fn a_server_that_is_added_talks_with_those_that_run() {
    let cluster = Cluster::of(&[1, 2]);
    let mut typists = Typist::all_of(&cluster, &[1, 2], &[]);
    cluster.list(&[1, 2, 3]);
    typists.iter().for_each(|typist| typist.rereads("added 3"));
    let third = Typist::of(&cluster, 3, &["--message=here I am"]);
    for typist in &typists {
        typist.server.stdout.until("peer 3 to all: here I am");
    }
    typists[0].types("@3 welcome");
    typists[1].types("good morning");
    typists[0].server.stdout.until("peer 2 to all: good morning");
    third.server.stdout.until_all(&["peer 1 to 3: welcome", "peer 2 to all: good morning"]);
    typists.push(third);
    leave(typists);
}

#[test]
fn a_server_that_is_removed_is_told_goodbye_and_is_no_address_any_more() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let mut typists = Typist::all_of(&cluster, &[1, 2, 3], &[]);
    let mut third = typists.pop().unwrap();
    cluster.list(&[1, 2]);
    for (typist, goodbye) in typists.iter().zip(["peer 1 has left", "peer 2 has left"]) {
        typist.rereads("removed 3");
        third.server.stdout.until(goodbye);
    }
    typists[0].types("@3 are you there?");
    let complaint = typists[0].server.stderr.until("");
    assert_eq!(complaint, ["node: server 3 is not a peer: the peers are 2"]);

    third.server.signal(Signal::SIGHUP);
    third.complains("server 3 is not listed in the configuration, which lists 1, 2");
    third.ends_input();
    let stdout = third.server.finish().stdout;
    assert!(stdout.last().unwrap().starts_with("server 3 has stopped: "), "{stdout:#?}");
    typists[0].types("we are two");
    typists[1].server.stdout.until("peer 1 to all: we are two");
    typists.iter_mut().for_each(Typist::ends_input);
    for typist in typists {
        // Server 3 may have been removed before it had acknowledged the greeting.
        let Finished { code, stdout, stderr } = typist.server.finish();
        assert!(matches!(code, Some(0 | 1)) && stderr.is_empty(), "{code:?} {stdout:#?}");
    }
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_changed() {
    let cluster = Cluster::of(&[1, 2]);
    let mut typists = Typist::all_of(&cluster, &[1, 2], &[]);
    let good = fs::read_to_string(cluster.config()).unwrap();
    let elsewhere = configuration(&[(1, cluster.ipc(9)), (2, cluster.ipc(2)), (3, cluster.ipc(3))]);
    let table = [
        ("".into(), "./config.json is empty"),
        (good[..good.len() / 2].into(), "./config.json is not JSON: "),
        (good.replace("total", "sum"), "unknown field \"sum\""),
        (elsewhere, "to move a server, start it again"),
        (good.replace("\"total\"", "\"cluster\": \"another\", \"total\""), "cluster \"another\""),
    ];
    for (text, fault) in table {
        cluster.replace(&text);
        typists[0].server.signal(Signal::SIGHUP);
        typists[0].complains(fault);
    }
    fs::remove_file(cluster.config()).unwrap();
    typists[0].server.signal(Signal::SIGHUP);
    typists[0].complains("config.json: No such file");

    typists[1].types("@1 all well?");
    typists[0].server.stdout.until("peer 2 to 1: all well?");
    cluster.replace(&good);
    typists.iter().for_each(|typist| typist.rereads("nothing has changed"));
    leave(typists);
}

#[test]
fn a_port_that_wraps_is_warned_of_again() {
    let cluster = Cluster::of(&[1]);
    let server = Typist::of(&cluster, 1, &[]);
    // Nobody else's while it is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let wrapping = format!("127.0.0.1:{}", u32::from(port) + 65536);
    cluster.replace(&configuration(&[(1, cluster.ipc(1)), (2, wrapping)]));
    for changes in ["added 2", "nothing has changed"] {
        server.rereads(changes);
        let warning = server.server.stderr.until("");
        assert!(warning[0].ends_with(&format!(" wraps to {port}")), "{warning:#?}");
    }
}

#[test]
fn as_json_a_reading_is_an_event() {
    let cluster = Cluster::of(&[1, 2]);
    let typist = Typist::of(&cluster, 1, &["--json"]);
    cluster.list(&[3, 1, 4]);
    typist.server.signal(Signal::SIGHUP);
    let line = typist.server.stdout.until("configured").pop().unwrap();
    assert_eq!(
        untimed(&line),
        r#"{"event":"reconfigured","pid":1,"added":[3,4],"removed":[2],"changed":[]}"#
    );
    cluster.list(&[3, 4]);
    typist.server.signal(Signal::SIGHUP);
    typist.complains("server 1 is not listed");
    let line = typist.server.stdout.until("configured").pop().unwrap();
    let error = "server 1 is not listed in the configuration, which lists 3, 4: it goes on with \
                 the one it has; to take it out of the cluster, shut it down";
    assert_eq!(
        untimed(&line),
        format!(r#"{{"event":"not_reconfigured","pid":1,"error":"{error}"}}"#)
    );
}

#[test]
fn however_many_ask_at_once_what_was_written_before_the_last_is_read() {
    let cluster = Cluster::of(&[1, 2]);
    let mut typists = Typist::all_of(&cluster, &[1, 2], &[]);
    let first = &typists[0].server;
    let mut readings = 0;
    for _ in 0..10 {
        for (pids, change) in [(&[1, 2, 3][..], ": added 3"), (&[1, 2], ": removed 3")] {
            (0..20).for_each(|_| first.signal(Signal::SIGHUP));
            cluster.list(pids);
            first.signal(Signal::SIGHUP);
            readings += first.stdout.until(change).len();
        }
    }
    assert!((20..=20 * 21).contains(&readings), "{readings} readings");
    talk(&mut typists, "still there?");
    leave(typists);
}

#[test]
fn a_server_that_is_leaving_reads_nothing_more() {
    let cluster = Cluster::of(&[1, 2]);
    let first = cluster.server(1, &["--linger=3600"]);
    first.signal(Signal::SIGINT);
    first.stderr.until("interrupt again");
    cluster.list(&[1]);
    first.signal(Signal::SIGHUP);
    cluster.list(&[1, 2]);
    // Only now is there somebody to acknowledge what the first one waits for.
    let _second = cluster.server(2, &[]);
    let Finished { code, stdout, stderr } = first.finish();
    assert_eq!((code, stderr), (Some(0), vec![]), "{stdout:#?}");
    assert!(!stdout.iter().any(|line| line.contains("again")), "{stdout:#?}");
}

#[test]
fn a_server_whose_terminal_goes_away_leaves_all_the_same() {
    let cluster = Cluster::of(&[1, 2]);
    let server = Typist::at(&mut cluster.command(&["--pid=1", "--linger=0.2"]));
    server.rereads("nothing has changed");
    let Finished { code, stdout, stderr } = server.hangs_up().finish();
    assert_eq!((code, stderr), (Some(1), vec![]));
    let last = stdout.last().unwrap();
    assert!(last.starts_with("server 1 has stopped: "), "{stdout:#?}");
}

#[test]
fn a_server_that_waits_for_a_peer_ends_when_that_is_removed() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let servers = [1, 2].map(|pid| (pid, cluster.server(pid, &["--linger=20"])));
    for (pid, server) in &servers {
        server.stdout.until(&format!("peer {} has left", 3 - pid));
    }
    cluster.list(&[1, 2]);
    for (pid, server) in servers {
        server.signal(Signal::SIGHUP);
        let Finished { code, stdout, stderr } = server.finish();
        // The greeting of server 3 has come back.
        assert_eq!((code, stderr), (Some(1), vec![]), "{stdout:#?}");
        let read = format!("server {pid} has read its configuration again: removed 3");
        assert!(stdout.contains(&read), "{stdout:#?}");
    }
}

#[test]
fn a_new_key_is_taken_up_by_all_without_a_pause() {
    if !can_use_keys() {
        return;
    }
    let cluster = Cluster::of(&[1, 2]);
    let keygen = |arguments: &[&str]| {
        let Finished { code, stderr, .. } =
            cluster.node(&[&["keygen"], arguments].concat()).finish();
        assert_eq!((code, stderr), (Some(0), vec![]), "{arguments:?}");
    };
    keygen(&["--all"]);
    let mut typists = Typist::all_of(&cluster, &[1, 2], &["--secret-key=."]);

    keygen(&["--pid=2", "--replace"]);
    typists.iter().for_each(|typist| typist.rereads("changed 2"));
    talk(&mut typists, "both keys are listed");
    fs::rename(cluster.path("server-2.new.key"), cluster.path("server-2.key")).unwrap();
    typists[1].rereads("changed 2");
    talk(&mut typists, "the new one is used");
    keygen(&["--pid=2", "--retire"]);
    typists.iter().for_each(|typist| typist.rereads("changed 2"));
    talk(&mut typists, "the old one is gone");

    // The key of another server is none.
    fs::copy(cluster.path("server-1.key"), cluster.path("server-2.key")).unwrap();
    typists[1].server.signal(Signal::SIGHUP);
    typists[1].complains("which is listed for server 1");
    talk(&mut typists, "and nothing was changed");
    leave(typists);
}

#[test]
fn with_all_each_server_reads_for_itself_and_none_is_started_or_ended() {
    let (cluster, node) = Cluster::that_waits_for_good(&["--linger=0.2"]);
    cluster.list(&[1, 2, 5]);
    node.signal(Signal::SIGHUP);
    let complaint = node.stderr.until("");
    assert!(complaint[0].starts_with("[3] node: server 3 is not listed"), "{complaint:#?}");
    node.stdout.until_all(&[
        "[1] server 1 has read its configuration again: added 5; removed 3, 4",
        "[2] server 2 has read its configuration again: added 5; removed 3, 4",
    ]);

    node.signal(Signal::SIGINT);
    let Finished { code, stdout, stderr } = node.finish();
    assert_eq!((code, stderr.len()), (Some(1), 1), "{stdout:#?} {stderr:#?}");
    let stopped = stdout.iter().filter(|line| line.contains("has stopped: "));
    assert_eq!(stopped.count(), 3, "{stdout:#?}");
    assert!(!cluster.socket(5).exists());
}
