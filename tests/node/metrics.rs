//! `--metrics`: what is served is what Prometheus takes, and a server that cannot serve does not start.
//!
//! `promtool` reads it too where there is one (`apt-get install prometheus`). Elsewhere that is skipped,
//! unless the environment has `RAFT_CLUSTER_EXPECT_PROMTOOL`: then it fails.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::process::{Finished, PATIENCE, Process};
use crate::support::addresses::free_addresses;
use crate::support::prometheus::{EXPECT_PROMTOOL, rules};
use crate::support::skips::skip;

pub(crate) fn address() -> SocketAddr {
    free_addresses(1).unwrap()[0]
}

/// A server that waits for a third that never starts, and the other one there is.
pub(crate) fn serve(cluster: &Cluster, address: SocketAddr) -> [Process; 2] {
    let first = cluster.server(1, &["--metrics", &address.to_string(), "--linger=0.1"]);
    let second = cluster.server(2, &["--linger=0.1"]);
    first.stdout.until("peer 2 to all");
    [first, second]
}

/// The head and the body of the answer to a request.
fn ask(address: SocketAddr, request: &[u8]) -> (String, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(request).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (head.to_owned(), body.to_owned())
}

pub(crate) fn scrape(address: SocketAddr) -> String {
    let (head, body) = ask(address, b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    body
}

/// The samples by their names and labels. Each has a type and a help, and stands once.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let (mut helped, mut typed) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] if !help.is_empty() => helped.push(name),
            ["#", "TYPE", name, "counter" | "gauge"] => typed.push(name),
            _ => {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
                let name = series.split('{').next().unwrap();
                assert_eq!((helped.last(), typed.last()), (Some(&name), Some(&name)), "{line}");
                let before = samples.insert(series.to_owned(), value.parse().unwrap());
                assert_eq!(before, None, "{line}");
            }
        }
    }
    let all: std::collections::BTreeSet<_> = typed.iter().collect();
    assert!(helped == typed && all.len() == typed.len(), "{typed:?}");
    samples
}

#[test]
fn what_is_served_are_the_statistics_of_each_peer() {
    let (cluster, address) = (Cluster::of(&[1, 2, 3]), address());
    let [first, _second] = serve(&cluster, address);
    let text = scrape(address);
    let samples = parse(&text);
    let is = |series: &str, wanted: &dyn Fn(f64) -> bool| {
        let value = samples.get(&format!("raft_cluster_{series}"));
        assert!(value.is_some_and(|value| wanted(*value)), "{series} is {value:?} in:\n{text}");
    };
    // It has nothing more to say, and may have said goodbye.
    let there = ["up", "left"]
        .map(|state| samples[&format!(r#"raft_cluster_peer_state{{peer="2",state="{state}"}}"#)]);
    assert_eq!(there.iter().sum::<f64>(), 1.0, "{text}");
    is(r#"peer_state{peer="2",state="down"}"#, &|value| value == 0.0);
    is(r#"peer_state{peer="3",state="awaited"}"#, &|value| value == 1.0);
    is(r#"peer_received_messages_total{peer="2"}"#, &|value| value == 1.0);
    is(r#"peer_received_bytes_total{peer="2"}"#, &|value| value > 124.0);
    is(r#"peer_last_heard_seconds{peer="2"}"#, &|value| value < 20.0);
    is(r#"peer_queued_messages{peer="3"}"#, &|value| value == 1.0);
    is(r#"peer_oldest_unacknowledged_seconds{peer="3"}"#, &|value| value > 0.0);
    is(r#"peer_window_limit_bytes{peer="3"}"#, &|value| value == f64::from(8 << 20));
    is(r#"rejected_total{reason="malformed"}"#, &|value| value == 0.0);
    is("inbox_blocked_seconds_total", &|value| value == 0.0);
    is(r#"peer_connection_failures_total{peer="3",cause="name"}"#, &|value| value == 0.0);
    assert!(!text.contains(r#"last_heard_seconds{peer="3"}"#), "it was never heard:\n{text}");
    // It goes on while the server does, and ends with it.
    first.signal(Signal::SIGTERM);
    assert_eq!(first.status().code(), Some(1));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn promtool_has_nothing_to_say_against_it() {
    let (cluster, address) = (Cluster::of(&[1, 2, 3]), address());
    let _servers = serve(&cluster, address);
    promtool(&["check", "metrics"], &scrape(address));
}

#[test]
fn promtool_takes_the_rules_that_are_recommended() {
    let cluster = Cluster::empty();
    let file = cluster.path("rules.yml");
    for rules in rules() {
        std::fs::write(&file, rules).unwrap();
        promtool(&["check", "rules", file.to_str().unwrap()], "");
    }
}

/// Every metric that a rule or the table of the page names is served, and the other way round.
#[test]
fn the_page_names_all_that_is_served_and_nothing_else() {
    let (cluster, address) = (Cluster::of(&[1, 2, 3]), address());
    let _servers = serve(&cluster, address);
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let names = |text: &str| -> std::collections::BTreeSet<String> {
        let starts = text.match_indices("raft_cluster_");
        let name = |(at, _): (usize, &str)| text[at..].chars().take_while(|it| is_part(*it));
        starts.map(|start| name(start).collect()).collect()
    };
    let mut served = names(&scrape(address));
    // It is measured a heartbeat after the first message at the earliest.
    served.insert("raft_cluster_peer_rtt_seconds".to_owned());
    assert_eq!(names(include_str!("../../docs/operations.md")), served);
}

/// Has promtool read a text, and find no fault with it.
fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return skip(format_args!("there is no promtool: {error}"), EXPECT_PROMTOOL),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?} of:\n{input}");
}

#[test]
fn whoever_asks_for_something_else_learns_so_and_nobody_waits_for_a_silent_one() {
    let (cluster, address) = (Cluster::of(&[1, 2]), address());
    let _server = cluster.server(1, &["--metrics", &address.to_string()]);
    let status = |request: &str| {
        let (head, _) = ask(address, request.as_bytes());
        head.split_once("\r\n").unwrap().0.trim_start_matches("HTTP/1.1 ").to_owned()
    };
    let _silent = TcpStream::connect(address).unwrap();
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404 Not Found");
    assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
    assert_eq!(status("GET /metrics?a=b HTTP/1.0\r\n\r\n"), "200 OK");
    assert_eq!(status("\u{1}\u{2}\r\n\r\n"), "400 Bad Request");
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat((8 << 10) - 26));
    assert_eq!(status(&endless), "431 Request Header Fields Too Large");
    let (head, body) = ask(address, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && body.is_empty(), "{head} {body}");
}

#[test]
fn an_address_that_is_taken_is_an_error_before_anything_starts() {
    let cluster = Cluster::of(&[1]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let node = cluster.node(&["--pid=1", "--metrics", &address]);
    let Finished { code, stdout, stderr } = node.finish();
    assert_eq!((code, stdout.len(), stderr.len()), (Some(2), 0, 1), "{stdout:?} {stderr:?}");
    assert!(stderr[0].starts_with(&format!("node: cannot serve metrics on {address}: ")));
}
