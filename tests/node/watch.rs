//! `node --watch` at a terminal: what the table shows, what the keys do, and that the terminal is
//! given back as it was, however it ends.

use std::thread;

use nix::sys::signal::Signal;
use raft_cluster::{Config, Pid, Server};

use crate::cluster::Cluster;
use crate::typist::Typist;
use crate::watcher::Watcher;

const WIDE: (u16, u16) = (140, 24);

#[test]
fn each_peer_shows_how_it_stands() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let watcher = Watcher::of(&cluster, &["--pid=1", "--linger=0.2"], WIDE);
    watcher.sees(&["server 1 on ipc://", "2 fine"]);
    watcher.sees(&["2     awaited", "not heard yet"]);
    let second = Typist::of(&cluster, 2, &[]);
    watcher.sees(&["2     up", "ok"]);
    watcher.sees(&["3     awaited", "not heard yet"]);
    watcher.sees(&[" ago  peer 2 is up"]);
    watcher.sees(&["lately: peer 2 to all: hello there"]);
    second.server.signal(Signal::SIGKILL);
    watcher.sees(&["2     down", "! down"]);
    watcher.sees(&["1 of 2 in trouble"]);
    watcher.sees(&[" ago  peer 2 is down"]);
    watcher.presses("q");
    // Nobody is there to acknowledge the greeting.
    let lines = watcher.ends_with(1);
    assert!(lines.iter().any(|line| line.starts_with("server 1 has stopped: ")), "{lines:#?}");
}

#[test]
fn a_test_message_reaches_the_others_and_its_receipt_shows() {
    let cluster = Cluster::of(&[1, 2]);
    let watcher = Watcher::of(&cluster, &["--pid=1"], WIDE);
    let second = Typist::of(&cluster, 2, &[]);
    second.server.stdout.until("peer 1 to all: hello there");
    watcher.presses("t");
    watcher.sees(&["test message 1 is on its way to all peers"]);
    second.server.stdout.until("peer 1 to all: test message 1 of server 1");
    watcher.sees(&["message 1 has entered the inbox of peer 2"]);
    watcher.presses("tt");
    watcher.sees(&["message 3 has entered the inbox of peer 2"]);
    watcher.presses("q");
    watcher.ends_with(0);
}

#[test]
fn a_peer_that_does_not_read_is_told_by_a_word() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let config = Config::load(cluster.config()).unwrap();
    let builder = |pid| Server::builder(&config, Pid::new(pid)).idle_timeout(None);
    let (_unread, _second) = builder(2).inbox_capacity(1).start().unwrap();
    let (read, third) = builder(3).start().unwrap();
    let reader = thread::spawn(move || read.inbox.iter().count());
    let watcher = Watcher::of(&cluster, &["--pid=1", "--linger=0.2"], WIDE);
    watcher.sees(&["3     up", "ok"]);
    watcher.presses("ttttt");
    watcher.sees(&["2     up", "! no ack for "]);
    let lines = watcher.sees(&["1 of 2 in trouble"]);
    assert!(
        lines.iter().any(|line| line.contains("3     up") && line.contains("ok")),
        "{lines:#?}"
    );
    watcher.presses("q");
    watcher.ends_with(1);
    drop(third);
    reader.join().unwrap();
}

#[test]
fn a_pause_is_of_the_display_alone() {
    let cluster = Cluster::of(&[1, 2]);
    let watcher = Watcher::of(&cluster, &["--pid=1"], WIDE);
    watcher.sees(&["2     awaited"]);
    watcher.presses("p");
    watcher.sees(&["PAUSED"]);
    let second = Typist::of(&cluster, 2, &[]);
    second.server.stdout.until("peer 1 to all: hello there");
    // What is drawn anew after that still shows what was before.
    watcher.resizes(40, 12);
    let lines = watcher.until("a table of few columns", |lines| {
        lines
            .iter()
            .any(|line| line.starts_with("PEER") && line.ends_with("HINT                WAITS"))
    });
    assert!(lines[0].starts_with("PAUSED"), "{lines:#?}");
    watcher.sees(&["2     awaited"]);
    watcher.presses(" ");
    watcher.sees(&["2     up"]);
    watcher.presses("q");
    watcher.ends_with(0);
}

#[test]
fn no_size_of_the_terminal_is_too_small() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let watcher = Watcher::of(&cluster, &["--pid=1", "--linger=0.2"], WIDE);
    watcher.sees(&["RESENT", "TREND"]);
    for (width, height) in [(40, 12), (10, 3), (1, 1), (2, 40), (200, 2)] {
        watcher.resizes(width, height);
        watcher.until("what there is room for", |lines| {
            lines.len() == usize::from(height) && lines.iter().any(|line| line.starts_with('2'))
        });
    }
    watcher.resizes(80, 24);
    watcher.sees(&["HINT", "WINDOW", "WAITS"]);
    watcher.presses("q");
    watcher.ends_with(1);
}

#[test]
fn there_are_colours_unless_nobody_wants_them() {
    for (variables, is_coloured) in
        [(&[][..], true), (&[("NO_COLOR", "")], true), (&[("NO_COLOR", "1")], false)]
    {
        let cluster = Cluster::of(&[1, 2]);
        let second = Typist::of(&cluster, 2, &[]);
        let arguments = ["--watch", "--pid=1", "--linger=0.2"];
        let watcher = Watcher::with(&cluster, &arguments, WIDE, variables);
        watcher.sees(&["2     up", "ok"]);
        second.server.signal(Signal::SIGKILL);
        watcher.sees(&["2     down", "! down"]);
        watcher.presses("q");
        watcher.sees(&["exit status "]);
        let coloured = colours(&watcher.bytes());
        assert_eq!(!coloured.is_empty(), is_coloured, "{variables:?}: {coloured:?}");
    }
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let cluster = Cluster::of(&[1, 2]);
    type Ending = (&'static str, fn(&Watcher));
    let endings: [Ending; 5] = [
        ("q", |watcher| watcher.presses("q")),
        ("Ctrl-C", |watcher| watcher.presses("\x03")),
        ("Ctrl-D", |watcher| watcher.presses("\x04")),
        ("SIGTERM", |watcher| watcher.signals(Signal::SIGTERM)),
        ("SIGINT", |watcher| watcher.signals(Signal::SIGINT)),
    ];
    for (name, end) in endings {
        let watcher = Watcher::of(&cluster, &["--pid=1", "--linger=0.2"], WIDE);
        watcher.sees(&["2     awaited"]);
        end(&watcher);
        let lines = watcher.ends_with(1);
        let stopped = lines.iter().any(|line| line.starts_with("server 1 has stopped: "));
        assert!(stopped, "{name}: {lines:#?}");
    }
}

#[test]
fn a_second_interrupt_ends_the_watch_at_once() {
    let cluster = Cluster::of(&[1, 2]);
    for first in ["q", "\x03"] {
        let watcher = Watcher::of(&cluster, &["--pid=1", "--linger=3600"], WIDE);
        watcher.sees(&["2     awaited"]);
        watcher.presses(first);
        watcher.sees(&["leaving; Ctrl-C ends at once"]);
        // It was asked to leave in order, and goes on doing so.
        watcher.presses("qp");
        watcher.sees(&["PAUSED"]);
        watcher.presses("\x03");
        watcher.ends_with(130);
    }
}

#[test]
fn a_terminal_that_is_gone_ends_the_watch_in_order() {
    let cluster = Cluster::of(&[1, 2]);
    let second = Typist::of(&cluster, 2, &[]);
    let mut watcher = Watcher::of(&cluster, &["--pid=1"], WIDE);
    watcher.sees(&["2     up"]);
    watcher.hangs_up();
    second.server.stdout.until("peer 1 has left");
}

#[test]
fn complaints_show_and_are_said_again_at_the_end() {
    let cluster = Cluster::of(&[1, 2]);
    let _second = Typist::of(&cluster, 2, &[]);
    let watcher = Watcher::of(&cluster, &["--pid=1"], WIDE);
    watcher.sees(&["2     up"]);
    cluster.replace("{");
    watcher.signals(Signal::SIGHUP);
    watcher.sees(&[" ago  node: ", "config.json", "nothing was changed"]);
    watcher.presses("q");
    let lines = watcher.ends_with(0);
    let complaint = lines.iter().any(|line| line.starts_with("node: ./config.json"));
    assert!(complaint, "{lines:#?}");
}

#[test]
fn what_is_no_terminal_for_it_is_refused() {
    let cluster = Cluster::of(&[1, 2]);
    let arguments = ["--watch", "--pid=1"];
    let dumb = Watcher::with(&cluster, &arguments, WIDE, &[("TERM", "dumb")]);
    let lines = dumb.ends_with(2);
    assert!(lines[0].contains("TERM=dumb") && !lines.concat().contains("listens"), "{lines:#?}");
    let silent = Watcher::without_keys(&cluster, &arguments, WIDE);
    let lines = silent.ends_with(2);
    assert!(lines[0].contains("stdin is none"), "{lines:#?}");
}

/// The colours that the bytes ask a terminal for.
fn colours(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let rest = |part: &str| part.split_once('m').map(|(parameters, _)| parameters.to_owned());
    let rendition = text.split("\x1b[").skip(1).filter_map(rest);
    let is_colour = |number: &str| {
        let number = number.parse().unwrap_or(0);
        matches!(number, 30..=38 | 40..=48 | 90..=107)
    };
    rendition.filter(|parameters| parameters.split(';').any(is_colour)).collect()
}
