//! What a server counts, for Prometheus. It takes the feature `prometheus`.
//!
//! A [`Collector`] is registered with a registry of [`prometheus_client`], and takes a snapshot of the
//! statistics each time that the registry is encoded. How that reaches Prometheus is the application's
//! affair; the `node` program serves it over HTTP.
//!
//! All names begin with `raft_cluster_`. What is told of a peer has the label `peer`, its pid, and a
//! peer that is taken out of the configuration takes its series along. A time that is not known yet
//! (`last_heard`, `rtt`) has no series. `docs/operations.md` in the repository has the table, and rules
//! for alerts.
//!
//! ```
//! use raft_cluster::prometheus::Collector;
//! use raft_cluster::prometheus::prometheus_client::encoding::text;
//! use raft_cluster::prometheus::prometheus_client::registry::Registry;
//! use raft_cluster::{Config, Pid, Server};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("one");
//! # let json_text = format!(
//! #     r#"{{"object": {{"total": 1, "Servers": [{{"mypid": 1, "url": "ipc://{}"}}]}}}}"#,
//! #     path.display());
//! let config: Config = json_text.parse()?;
//! let (mailbox, server) = Server::start(&config, Pid::new(1))?;
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(Collector::new(server.monitor())));
//! let mut answer = String::new();
//! text::encode(&mut answer, &registry)?;
//! assert!(answer.contains("raft_cluster_no_such_peer_messages_total 0"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Of the crates that speak Prometheus' formats this is the one that the Prometheus project keeps itself.
// Its collectors read numbers that are counted elsewhere, so that nothing is counted twice, and it
// needs no global registry.
pub use prometheus_client;

mod metrics;

use std::fmt;

use prometheus_client::collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

use crate::envelope::Pid;
use crate::server::Monitor;
use crate::stats::{PeerStats, Stats};
use metrics::{
    CAUSES, DROPPED, FAILED, PEER_COUNTS, PEER_GAUGES, PEER_TIMES, REASONS, REJECTED, REJECTIONS,
    SERVER_COUNTS, SERVER_TIMES, STATE, STATES,
};

/// Tells the statistics of one server to a registry.
///
/// A registry takes one of them: two would have the same series.
#[derive(Clone, Debug)]
pub struct Collector {
    monitor: Monitor,
}

impl Collector {
    /// For the server that the monitor looks at, also once that has ended.
    pub fn new(monitor: Monitor) -> Self {
        Self { monitor }
    }
}

impl collector::Collector for Collector {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        Scrape { encoder, stats: self.monitor.stats() }.encode(self.monitor.pid())
    }
}

/// A metric: its name without the suffix of its type, what it says, and what it is.
struct Metric<V> {
    name: &'static str,
    help: &'static str,
    value: V,
}

/// The statistics on their way to Prometheus.
struct Scrape<'a> {
    encoder: DescriptorEncoder<'a>,
    stats: Stats,
}

impl Scrape<'_> {
    fn encode(mut self, pid: Pid) -> fmt::Result {
        self.info(pid)?;
        self.server()?;
        self.states()?;
        self.counts()?;
        self.dropped()?;
        self.failed()?;
        self.gauges()?;
        self.times()
    }

    fn info(&mut self, pid: Pid) -> fmt::Result {
        let (name, help) = ("raft_cluster_server", "The server that is scraped.");
        let labels = [("pid", pid.to_string()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
        let mut encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Info)?;
        encoder.encode_info(&labels)
    }

    fn server(&mut self) -> fmt::Result {
        for Metric { name, help, value } in SERVER_COUNTS {
            let counter = MetricType::Counter;
            let mut encoder = self.encoder.encode_descriptor(name, help, None, counter)?;
            encoder.encode_counter::<Labels, _, u64>(&value(&self.stats), None)?;
        }
        for metric in SERVER_TIMES {
            let time = (metric.value)(&self.stats).as_secs_f64();
            counters(&mut self.encoder, metric, [(Labels::new(), time)].into_iter())?;
        }
        let rejected = REJECTIONS.iter().map(|(reason, count)| {
            (vec![("reason", (*reason).to_owned())], count(&self.stats.rejections))
        });
        counters(&mut self.encoder, &REJECTED, rejected)
    }

    /// For each peer and each state, whether it is that.
    fn states(&mut self) -> fmt::Result {
        let samples = self.stats.peers.iter().flat_map(|peer| {
            let is = move |state| i64::from(peer.state == state);
            STATES.map(|state| (labels_with(peer, "state", state.to_string()), is(state)))
        });
        gauges(&mut self.encoder, &STATE, samples)
    }

    fn counts(&mut self) -> fmt::Result {
        for metric in PEER_COUNTS {
            let peers = self.stats.peers.iter();
            let samples = peers.map(|peer| (labels(peer), (metric.value)(peer)));
            counters(&mut self.encoder, metric, samples)?;
        }
        let metric = metrics::BLOCKED;
        let peers = self.stats.peers.iter();
        let samples = peers.map(|peer| (labels(peer), (metric.value)(peer).as_secs_f64()));
        counters(&mut self.encoder, &metric, samples)
    }

    fn dropped(&mut self) -> fmt::Result {
        let samples = self.stats.peers.iter().flat_map(|peer| {
            REASONS.iter().map(|(reason, count)| {
                (labels_with(peer, "reason", (*reason).to_owned()), count(&peer.dropped))
            })
        });
        counters(&mut self.encoder, &DROPPED, samples)
    }

    fn failed(&mut self) -> fmt::Result {
        let samples = self.stats.peers.iter().flat_map(|peer| {
            CAUSES.iter().map(|(cause, count)| {
                let labels = labels_with(peer, "cause", (*cause).to_owned());
                (labels, count(&peer.connection_failures))
            })
        });
        counters(&mut self.encoder, &FAILED, samples)
    }

    fn gauges(&mut self) -> fmt::Result {
        for metric in PEER_GAUGES {
            let peers = self.stats.peers.iter();
            let samples = peers.map(|peer| (labels(peer), (metric.value)(peer)));
            gauges(&mut self.encoder, metric, samples)?;
        }
        Ok(())
    }

    fn times(&mut self) -> fmt::Result {
        for metric in PEER_TIMES {
            let known = self.stats.peers.iter();
            let known = known.filter_map(|peer| Some((labels(peer), (metric.value)(peer)?)));
            let samples = known.map(|(labels, time)| (labels, time.as_secs_f64()));
            gauges(&mut self.encoder, metric, samples)?;
        }
        Ok(())
    }
}

type Labels = Vec<(&'static str, String)>;

fn labels(peer: &PeerStats) -> Labels {
    vec![("peer", peer.pid.to_string())]
}

fn labels_with(peer: &PeerStats, name: &'static str, value: String) -> Labels {
    vec![("peer", peer.pid.to_string()), (name, value)]
}

fn counters<V, N: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric<V>,
    samples: impl Iterator<Item = (Labels, N)>,
) -> fmt::Result {
    let (name, help) = (metric.name, metric.help);
    let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in samples {
        encoder.encode_family(&labels)?.encode_counter::<Labels, N, u64>(&value, None)?;
    }
    Ok(())
}

fn gauges<V, N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric<V>,
    samples: impl Iterator<Item = (Labels, N)>,
) -> fmt::Result {
    let (name, help) = (metric.name, metric.help);
    let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        encoder.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::stats::{ConnectionFailures, Dropped, PeerState, Rejections};

    /// The same of statistics that are made up.
    #[derive(Debug)]
    struct Fixed(Stats);

    impl collector::Collector for Fixed {
        fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
            Scrape { encoder, stats: self.0.clone() }.encode(Pid::new(1))
        }
    }

    fn told_of(stats: Stats) -> Vec<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Fixed(stats)));
        let mut told = String::new();
        text::encode(&mut told, &registry).unwrap();
        let samples = told.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.trim_start_matches("raft_cluster_").to_owned()).collect()
    }

    fn peer(pid: u32) -> PeerStats {
        PeerStats { pid: Pid::new(pid), ..PeerStats::default() }
    }

    fn stats(peers: Vec<PeerStats>) -> Stats {
        Stats { peers, ..Stats::default() }
    }

    /// Statistics in which each number is another one.
    fn stats_of_different_numbers() -> Stats {
        let dropped =
            Dropped { too_large: 11, peer_down: 12, window_full: 13, ..Dropped::default() };
        let dropped = Dropped { restarted: 14, inbox_closed: 15, removed: 16, ..dropped };
        let (accepted, queued, in_flight, window_bytes) = (21, 22, 23, 24);
        let (window_limit, sent, acknowledged, resent) = (25, 26, 27, 28);
        let (accepted_bytes, acknowledged_bytes) = (31, 32);
        let (bytes_sent, bytes_received, received, missed) = (33, 34, 35, 36);
        let connection_failures =
            ConnectionFailures { name: 51, refused: 52, unanswered: 53, handshake: 54 };
        let seconds = Duration::from_secs;
        Stats {
            messages_sent: 1,
            messages_received: 2,
            no_such_peer: 3,
            discarded: 4,
            removed: 5,
            rejected: 91,
            rejections: rejections_from(61),
            events_missed: 7,
            inbox_blocked: seconds(8),
            paused: seconds(9),
            peers: vec![PeerStats {
                pid: Pid::new(2),
                state: PeerState::OneWay,
                session: None,
                last_heard: Some(seconds(41)),
                rtt: Some(seconds(42)),
                oldest_unacknowledged: Some(seconds(43)),
                blocked: seconds(44),
                accepted,
                queued,
                in_flight,
                window_bytes,
                window_limit,
                sent,
                acknowledged,
                resent,
                accepted_bytes,
                acknowledged_bytes,
                bytes_sent,
                bytes_received,
                dropped,
                connection_failures,
                received,
                missed,
            }],
        }
    }

    #[test]
    fn each_number_of_the_statistics_has_a_series() {
        let told = told_of(stats_of_different_numbers());
        let values: Vec<_> =
            told.iter().map(|line| line.rsplit_once(' ').unwrap().1.to_owned()).collect();
        let server = (3..=5).chain(7..=9).chain(61..=73);
        let peer = (11..=16).chain(21..=28).chain(31..=36).chain(41..=44).chain(51..=54);
        let expected = server.chain(peer);
        for number in expected {
            let found = |value: &&String| value.parse() == Ok(f64::from(number));
            assert_eq!(values.iter().filter(found).count(), 1, "{number} in {told:#?}");
        }
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(told[0], format!(r#"server_info{{pid="1",version="{version}"}} 1"#));
        assert!(told.contains(&r#"peer_sent_messages_total{peer="2"} 26"#.to_owned()), "{told:#?}");
        let too_large = r#"peer_dropped_messages_total{peer="2",reason="too_large"} 11"#;
        assert!(told.contains(&too_large.to_owned()), "{told:#?}");
    }

    /// Each reason with a number of its own, from this one on.
    fn rejections_from(first: u64) -> Rejections {
        Rejections {
            malformed: first,
            version: first + 1,
            other_cluster: first + 2,
            other_recipient: first + 3,
            unknown_sender: first + 4,
            conflict: first + 5,
            too_large: first + 6,
            false_acknowledgement: first + 7,
            stranger: first + 8,
            impostor: first + 9,
            other_security: first + 10,
            wrong_server_key: first + 11,
            handshake: first + 12,
        }
    }

    #[test]
    fn the_reasons_for_refusals_add_up_and_each_has_its_name() {
        let all = rejections_from(1);
        assert_eq!(all.total(), (1..=13).sum::<u64>());
        let told = told_of(Stats { rejections: all, ..Stats::default() });
        for line in [
            r#"rejected_total{reason="other_cluster"} 3"#,
            r#"rejected_total{reason="handshake"} 13"#,
        ] {
            assert!(told.contains(&line.to_owned()), "{told:#?}");
        }
    }

    #[test]
    fn a_peer_is_in_one_state_of_all_there_are() {
        for state in STATES {
            let told = told_of(stats(vec![PeerStats { state, ..peer(2) }]));
            let told: Vec<_> = told.iter().filter(|line| line.starts_with("peer_state")).collect();
            let is = format!(r#"peer_state{{peer="2",state="{state}"}} 1"#);
            assert_eq!(told.iter().filter(|line| line.ends_with(" 1")).count(), 1, "{told:#?}");
            assert!(told.len() == 5 && told.contains(&&is), "{told:#?}");
        }
    }

    #[test]
    fn what_is_not_known_yet_has_no_series_and_what_does_not_wait_is_of_age_zero() {
        let told = told_of(stats(vec![peer(2), peer(3)]));
        let of = |name: &str| told.iter().filter(|line| line.starts_with(name)).count();
        assert_eq!((of("peer_last_heard"), of("peer_rtt")), (0, 0));
        let ages =
            [2, 3].map(|pid| format!(r#"peer_oldest_unacknowledged_seconds{{peer="{pid}"}} 0.0"#));
        assert!(ages.iter().all(|line| told.contains(line)), "{told:#?}");
    }

    #[test]
    fn a_server_without_peers_has_its_own_series_only() {
        let told = told_of(stats(Vec::new()));
        assert_eq!(told.len(), 20, "{told:#?}");
    }
}
