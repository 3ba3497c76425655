//! `--demo`: its story comes true, and whatever happens to it leaves nothing behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::cluster::{Cluster, wait_for_the_end_of};
use crate::process::{Finished, Process};

/// A demo whose temporary folder is a folder of the test's own.
struct Demo {
    place: Cluster,
    node: Process,
}

impl Demo {
    fn start() -> Self {
        let place = Cluster::empty();
        let node = Process::spawn(place.command(&["--demo"]).env("TMPDIR", place.path("")));
        Self { place, node }
    }

    /// What the demo has put in its temporary folder.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.place.path("")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A connection to each server that listens. It ends with the server's process.
    fn connections(&self) -> Vec<UnixStream> {
        let [folder] = &self.left()[..] else { panic!("{:?}", self.left()) };
        let sockets = (1..=5).map(|pid| folder.join(pid.to_string()));
        sockets.filter_map(|socket| UnixStream::connect(socket).ok()).collect()
    }
}

#[test]
fn the_story_comes_true_within_ten_seconds_and_its_table_is_balanced() {
    // That a machine stood still meanwhile says nothing of the program, and is not so each time.
    let time = |_| {
        let started = Instant::now();
        the_story_comes_true();
        started.elapsed()
    };
    assert!((0..3).map(time).any(|time| time < Duration::from_secs(10)));
}

fn the_story_comes_true() {
    let demo = Demo::start();
    let status = demo.node.status();
    let (stdout, stderr) = (demo.node.stdout.rest(), demo.node.stderr.rest());
    assert_eq!((status.code(), &stderr), (Some(0), &vec![]), "{stdout:#?}");
    assert_eq!(demo.left(), [""; 0].map(PathBuf::from));

    let chapters = stdout.iter().filter_map(|line| line.strip_prefix("── "));
    let numbers: Vec<_> = chapters.filter_map(|title| title.split_once(". ")).collect();
    assert_eq!(
        numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        ["1", "2", "3", "4", "5"]
    );
    let table = Table::of(&stdout);
    table.is_balanced(&stdout);

    // What the lines have told is in the table.
    let column = |name: &str, column: usize| table.rows[name][column];
    assert_eq!(column("server 5", 0), 1004);
    for pid in 1..=5 {
        let others: Vec<_> = (1..=5).filter(|&other| other != pid).collect();
        let greetings = format!(
            "server {pid} has received the greetings of {}, {}, {} and {}",
            others[0], others[1], others[2], others[3]
        );
        assert!(stdout.iter().any(|line| line.ends_with(&greetings)), "{stdout:#?}");
    }
    let waiting = stdout.iter().find(|line| line.contains(" messages wait for server 3"));
    assert!(waiting.unwrap().contains("  1002 messages"), "{stdout:#?}");
    assert!(column("server 3, back", 1) >= 1002, "{stdout:#?}");
}

/// The table at the end: for each row, what the process sent and received, and from whom.
struct Table {
    rows: BTreeMap<String, Vec<u64>>,
}

impl Table {
    fn of(stdout: &[String]) -> Self {
        let begin = stdout.iter().position(|line| line.contains("from 1   from 2")).unwrap();
        let lines = stdout[begin + 1..].iter().take_while(|line| !line.starts_with('*'));
        let row = |line: &String| {
            let (name, cells) = line.split_at(17);
            let number = |cell: &str| if cell == "·" { 0 } else { cell.parse().unwrap() };
            (name.trim().to_owned(), cells.split_whitespace().map(number).collect())
        };
        Self { rows: lines.map(row).collect() }
    }

    /// What was sent is what was received, in all and from each server; and that many arrived.
    fn is_balanced(&self, stdout: &[String]) {
        let mut rows = self.rows.clone();
        let all = rows.remove("all").unwrap();
        assert_eq!(rows.len(), 6, "{stdout:#?}");
        for column in 0..7 {
            assert_eq!(
                rows.values().map(|row| row[column]).sum::<u64>(),
                all[column],
                "{stdout:#?}"
            );
        }
        for row in rows.values() {
            assert_eq!(row[2..].iter().sum::<u64>(), row[1], "{stdout:#?}");
        }
        let verdict = stdout.iter().find_map(|line| line.strip_prefix("All ")).unwrap();
        let numbers: Vec<u64> = verdict.split(' ').filter_map(|word| word.parse().ok()).collect();
        let repeated = numbers.get(1).copied().unwrap_or(0);
        assert_eq!((all[0], all[1]), (numbers[0], numbers[0] + repeated), "{stdout:#?}");
        let mut beyond = 0;
        for pid in 1..=5 {
            let name = format!("server {pid}");
            let its = rows.iter().filter(|(row, _)| row.split(',').next() == Some(&name));
            let sent: u64 = its.map(|(_, row)| row[0]).sum();
            beyond += all[pid + 1].checked_sub(sent).expect("as much arrives as was sent");
        }
        assert_eq!(beyond, repeated, "{stdout:#?}");
    }
}

#[test]
fn two_demos_do_not_disturb_each_other() {
    let place = Cluster::empty();
    let start = || Process::spawn(place.command(&["--demo"]).env("TMPDIR", place.path("")));
    for node in [start(), start()] {
        let Finished { code, stdout, stderr } = node.finish();
        assert_eq!((code, stderr), (Some(0), vec![]), "{stdout:#?}");
    }
}

#[test]
fn an_interrupt_leaves_neither_a_process_nor_a_file_behind() {
    for (signal, chapter) in [(Signal::SIGINT, "── 2"), (Signal::SIGTERM, "── 4")] {
        let demo = Demo::start();
        demo.node.stdout.until(chapter);
        let connections = demo.connections();
        assert!(connections.len() >= 4, "{connections:?}");
        demo.node.signal(signal);
        assert_eq!(demo.node.status().code(), Some(1));
        connections.into_iter().for_each(wait_for_the_end_of);
        assert_eq!(demo.left(), [""; 0].map(PathBuf::from));
        assert_eq!(
            demo.node.stderr.rest(),
            [
                "node: leaving; interrupt again to end at once",
                "node: the story breaks off: it was interrupted"
            ]
        );
    }
}

#[test]
fn a_demo_whose_terminal_goes_away_leaves_nothing_behind() {
    let demo = Demo::start();
    demo.node.stdout.until("── 2");
    let connections = demo.connections();
    demo.node.signal(Signal::SIGHUP);
    assert_eq!(demo.node.status().code(), Some(1));
    connections.into_iter().for_each(wait_for_the_end_of);
    assert_eq!(demo.left(), [""; 0].map(PathBuf::from));
    assert_eq!(demo.node.stderr.rest(), ["node: the story breaks off: it was interrupted"]);
}

#[test]
fn killing_the_demo_leaves_no_process_behind() {
    let demo = Demo::start();
    demo.node.stdout.until("── 2");
    let connections = demo.connections();
    assert!(connections.len() >= 4, "{connections:?}");
    demo.node.signal(Signal::SIGKILL);
    demo.node.status();
    connections.into_iter().for_each(wait_for_the_end_of);
}

#[test]
fn a_server_that_somebody_else_kills_breaks_the_story_off() {
    let demo = Demo::start();
    let run = demo.node.stdout.until("run as processes");
    let ids = run.last().unwrap().split("processes ").last().unwrap();
    let ids: Vec<i32> =
        ids.replace(" and", ",").split(", ").map(|id| id.parse().unwrap()).collect();
    demo.node.stdout.until("── 2");
    let connections = demo.connections();
    signal::kill(Pid::from_raw(ids[1]), Signal::SIGKILL).unwrap();
    assert_eq!(demo.node.status().code(), Some(1));
    connections.into_iter().for_each(wait_for_the_end_of);
    assert_eq!(
        demo.node.stderr.rest(),
        [
            "node: the story breaks off: server 2 has ended by signal: 9 (SIGKILL), which is no part of it"
        ]
    );
    assert_eq!(demo.left(), [""; 0].map(PathBuf::from));
}

#[test]
fn a_reader_that_has_enough_ends_the_demo_quietly() {
    let place = Cluster::empty();
    let (reader, writer) = UnixStream::pair().unwrap();
    let mut command = place.command(&["--demo"]);
    let node = Process::spawn(command.stdout(OwnedFd::from(writer)));
    let mut first = String::new();
    BufReader::new(reader).read_line(&mut first).unwrap();
    assert!(first.starts_with("Five servers"), "{first}");
    let Finished { code, stderr, .. } = node.finish();
    assert_eq!((code, stderr), (Some(1), vec![]));
}
