//! A Prometheus of a test's own: it scrapes servers, has the rules of `docs/operations.md`, and sends
//! its alerts to the test.
//!
//! It takes the program `prometheus` (`apt-get install prometheus`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Deserialize;
use serde_json::{Value, json};

use super::addresses::free_addresses;
use super::skips::skip;
use super::waits::{BOUND, within};

/// Set where a test that is skipped for want of Prometheus' programs is one that has failed.
pub const EXPECT_PROMTOOL: &str = "RAFT_CLUSTER_EXPECT_PROMTOOL";

const PAGE: &str = include_str!("../../docs/operations.md");

/// How often a Prometheus scrapes, and how often it looks at its rules.
const SCRAPE: &str = "300ms";
const EVALUATE: &str = "200ms";

/// How often an alert that goes on is sent.
const RESEND: &str = "400ms";

/// The blocks of rules of the page, in their order.
pub fn rules() -> Vec<&'static str> {
    let blocks = PAGE.split("```yaml\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0).collect()
}

/// Whether there is a Prometheus here. If not it says so.
pub fn can_run() -> bool {
    let version = Command::new("prometheus").arg("--version").output();
    if let Err(error) = &version {
        skip(format_args!("there is no prometheus: {error}"), EXPECT_PROMTOOL);
    }
    version.is_ok()
}

/// A running Prometheus. It ends when it goes out of scope, or else with the test program.
pub struct Prometheus {
    address: SocketAddr,
    process: Child,
    folder: PathBuf,
}

/// The servers of a cluster, by the name of their job.
pub struct Job {
    pub name: String,
    pub targets: Vec<SocketAddr>,
}

/// Tells when alerts of a job are sent: when they begin, go on or have ended.
pub type Alerts = Receiver<()>;

/// An alert or a rule's, as the API tells of it: what it is called, and the like.
pub type Labels = BTreeMap<String, String>;

/// Starts Prometheus, and ends it when nobody holds the other end of standard input any more, however
/// that came.
const KEEPER: &str = r#"prometheus "$@" 2>log & read -r _; kill $!; wait; rm -r "$PWD""#;

impl Prometheus {
    /// One that scrapes these servers and has these files of rules. Whatever it has to say about a
    /// job makes itself heard on the channel in its place.
    pub fn start(jobs: &[Job], rules: &[&str]) -> (Self, Vec<Alerts>) {
        let folder = tempfile::tempdir().unwrap().keep();
        let manager = TcpListener::bind(free_addresses(1).unwrap()[0]).unwrap();
        let names: Vec<_> = (0..rules.len()).map(|number| format!("rules-{number}.yml")).collect();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        names.iter().zip(rules).for_each(|(name, text)| write(name, text));
        write("prometheus.yml", &config(jobs, &names, manager.local_addr().unwrap()).to_string());
        let (tell, alerts): (Vec<_>, Vec<_>) = jobs.iter().map(|_| bounded(1)).unzip();
        let tell: BTreeMap<_, _> = jobs.iter().map(|job| job.name.clone()).zip(tell).collect();
        thread::spawn(move || take_alerts(&manager, &tell));
        let address = free_addresses(1).unwrap()[0];
        let process = Command::new("sh")
            .args(["-c", KEEPER, "sh", "--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--rules.alert.resend-delay={RESEND}"))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        (Self { address, process, folder }, alerts)
    }

    /// The labels of the alerts that fire now.
    pub fn firing(&self) -> Vec<Labels> {
        #[derive(Deserialize)]
        struct Alert {
            labels: Labels,
            state: String,
        }
        let alerts: Vec<Alert> =
            serde_json::from_value(self.ask("alerts")["alerts"].take()).unwrap();
        let firing = alerts.into_iter().filter(|alert| alert.state == "firing");
        firing.map(|alert| alert.labels).collect()
    }

    /// The samples that an expression has now.
    pub fn query(&self, expression: &str) -> Vec<(Labels, f64)> {
        #[derive(Deserialize)]
        struct Sample {
            metric: Labels,
            value: (f64, String),
        }
        let found = self.ask(&format!("query?query={}", escaped(expression)))["result"].take();
        let samples: Vec<Sample> = serde_json::from_value(found).unwrap();
        samples.into_iter().map(|it| (it.metric, it.value.1.parse().unwrap())).collect()
    }

    /// That all rules could be evaluated.
    pub fn assert_rules_hold(&self) {
        let groups = self.ask("rules");
        for rule in groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap())
        {
            assert!(rule["health"] != "err", "{rule:#}");
        }
    }

    /// What the API says to a question.
    pub fn ask(&self, what: &str) -> Value {
        let host = self.address;
        let request = format!("GET /api/v1/{what} HTTP/1.0\r\nHost: {host}\r\n\r\n");
        let answer = exchange(host, request.as_bytes());
        let (head, body) = answer.unwrap_or_else(|error| panic!("{error}: {}", self.log()));
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "success", "{what}: {head} {answer}");
        answer["data"].take()
    }

    /// What it had to say last.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().rev().take(3).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.stdin = None;
        let _ = within(BOUND, "Prometheus to end", || self.process.wait());
    }
}

fn config(jobs: &[Job], rules: &[String], manager: SocketAddr) -> Value {
    let scrape = |Job { name, targets }: &Job| json!({"job_name": name, "static_configs": [{"targets": targets}]});
    // JSON is YAML too.
    json!({
        "global": {
            "scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": EVALUATE
        },
        "rule_files": rules,
        "scrape_configs": jobs.iter().map(scrape).collect::<Vec<_>>(),
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
    })
}

/// An expression as it can stand in a url.
fn escaped(expression: &str) -> String {
    expression.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The head and the body of the answer to a request.
fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<(String, String)> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(BOUND))?;
    connection.write_all(request)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Is the Alertmanager, for as long as the program runs.
fn take_alerts(listener: &TcpListener, tell: &BTreeMap<String, Sender<()>>) {
    for connection in listener.incoming() {
        // A Prometheus that is ended breaks off.
        let Ok(jobs) = connection.and_then(|connection| read_alerts(&connection)) else { continue };
        for job in jobs {
            // Whoever has not looked since the last one will, or wants to know no more.
            let _ = tell.get(&job).map(|tell| tell.try_send(()));
        }
    }
}

/// Reads the one request of a connection, which has alerts, and tells the jobs that they are of.
fn read_alerts(mut connection: &TcpStream) -> io::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Alert {
        labels: Labels,
    }
    connection.set_read_timeout(Some(BOUND))?;
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let alerts: Vec<Alert> = serde_json::from_slice(&body).map_err(io::Error::other)?;
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(alerts.into_iter().filter_map(|alert| alert.labels.get("job").cloned()).collect())
}
