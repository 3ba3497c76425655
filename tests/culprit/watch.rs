//! What the rules of the page say of a cluster, by what its servers serve and nothing else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use crate::support::BOUND;
use crate::support::addresses::free_addresses;
use crate::support::prometheus::{Alerts, Job, Labels, Prometheus, rules};

/// The group of the page that names who is at fault.
const GROUP: &str = "name: raft-cluster-culprit\n";

/// The times of the page are for a scrape every 15 s and a heartbeat every second. Here all is quicker.
const TIMES: [(&str, &str); 2] = [("[1m]", "[2s]"), ("for: 30s", "for: 1s")];

/// Says that all is well: five servers, of which each hears each other, and has for longer than any
/// range of the rules.
const HEALTH: &str = r#"
groups:
  - name: health
    rules:
      - alert: AllUp
        expr: sum by (job) (raft_cluster_peer_state{state="up"}) == 20
      - alert: AllUpForLong
        expr: sum by (job) (raft_cluster_peer_state{state="up"}) == 20
        for: 4s
"#;

/// How many clusters one Prometheus has room for: one for each test that does not have its own.
const CLUSTERS: usize = 12;

/// How often a culprit is to be named without a change.
const TIMES_NAMED: usize = 3;

/// What a rule says: a fault, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnosis {
    fault: String,
    pid: String,
    peer: String,
}

impl Diagnosis {
    pub fn of(fault: &str, pid: u32) -> Self {
        Self { fault: fault.to_owned(), pid: pid.to_string(), peer: String::new() }
    }

    pub fn of_line(fault: &str, pid: u32, peer: u32) -> Self {
        Self { peer: peer.to_string(), ..Self::of(fault, pid) }
    }

    fn in_alert(alert: &Labels) -> Self {
        let label = |name: &str| alert.get(name).cloned().unwrap_or_default();
        Self { fault: label("fault"), pid: label("pid"), peer: label("peer") }
    }
}

/// Watches a cluster.
pub struct Watch {
    prometheus: Arc<Prometheus>,
    job: String,
    /// Where its servers are to serve what they count.
    pub targets: Vec<SocketAddr>,
    alerts: Alerts,
}

/// What is said of a cluster at a moment.
#[derive(Debug, Default)]
struct Said {
    all_up: bool,
    all_up_for_long: bool,
    culprits: BTreeSet<Diagnosis>,
}

impl Watch {
    /// One of those that share a Prometheus, which takes some seconds to start.
    pub fn shared() -> Self {
        static SHARED: LazyLock<Mutex<Vec<Watch>>> =
            LazyLock::new(|| Mutex::new(Watch::start(CLUSTERS)));
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.pop().expect("each test takes one")
    }

    /// One with a Prometheus of its own, where this thread is.
    pub fn own() -> Self {
        Self::start(1).remove(0)
    }

    fn start(clusters: usize) -> Vec<Self> {
        let rules = rules().into_iter().find(|block| block.contains(GROUP)).unwrap();
        let quick = TIMES.iter().fold(rules.to_owned(), |text, (slow, quick)| {
            assert!(text.contains(slow), "{slow}");
            text.replace(slow, quick)
        });
        let job =
            |number| Job { name: format!("cluster-{number}"), targets: free_addresses(5).unwrap() };
        let jobs: Vec<_> = (0..clusters).map(job).collect();
        let (prometheus, alerts) = Prometheus::start(&jobs, &[&quick, HEALTH]);
        let prometheus = Arc::new(prometheus);
        let watch = |(Job { name: job, targets }, alerts)| {
            let prometheus = Arc::clone(&prometheus);
            Self { prometheus, job, targets, alerts }
        };
        jobs.into_iter().zip(alerts).map(watch).collect()
    }

    /// Waits until all servers hear each other, and nobody is at fault.
    pub fn await_health(&self) {
        self.look_until("health", |said| said.all_up && said.culprits.is_empty());
    }

    /// That nobody is at fault while all servers hear each other for long.
    pub fn assert_healthy(&self) {
        self.await_health();
        self.look_until("lasting health", |said| {
            assert!(said.culprits.is_empty(), "{said:?}");
            said.all_up_for_long
        });
    }

    /// That this is found at fault, and goes on to be, and nothing else.
    pub fn assert_finds(&self, wanted: &Diagnosis) {
        let mut times = 0;
        self.look_until(&format!("{wanted:?}"), |said| {
            assert!(said.culprits.iter().all(|found| found == wanted), "{said:?}");
            times += said.culprits.len();
            times == TIMES_NAMED
        });
        self.prometheus.assert_rules_hold();
    }

    /// Looks at what is said each time that there is news.
    fn look_until(&self, what: &str, mut is_it: impl FnMut(&Said) -> bool) {
        let deadline = Instant::now() + BOUND;
        while self.alerts.recv_deadline(deadline).is_ok() {
            if is_it(&self.said()) {
                return;
            }
        }
        self.prometheus.assert_rules_hold();
        let served = format!(r#"{{job="{}",__name__=~"raft_cluster.+"}}"#, self.job);
        let served = self.prometheus.query(&served);
        panic!("waited in vain for {what}: {:?} {served:#?}", self.said());
    }

    fn said(&self) -> Said {
        let mut firing = self.prometheus.firing();
        firing.retain(|alert| alert.get("job") == Some(&self.job));
        let mut said = Said::default();
        for alert in firing {
            match alert["alertname"].as_str() {
                "AllUp" => said.all_up = true,
                "AllUpForLong" => said.all_up_for_long = true,
                _ => drop(said.culprits.insert(Diagnosis::in_alert(&alert))),
            }
        }
        said
    }
}
