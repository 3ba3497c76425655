//! `--metrics` and what `docs/` says of it, tried with Prometheus itself: it scrapes a server without a
//! complaint, and takes all rules and every expression of the dashboard.
//!
//! It takes the program `prometheus` (`apt-get install prometheus`). Elsewhere that is skipped, unless
//! the environment has `RAFT_CLUSTER_EXPECT_PROMTOOL`: then it fails.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::metrics::{address, scrape, serve};
use crate::process::PATIENCE;
use crate::support::prometheus::{Job, Prometheus, can_run, rules};

const DASHBOARD: &str = include_str!("../../docs/grafana.json");

/// What an expression of the dashboard holds that Grafana fills in.
const FILLED_IN: [(&str, &str); 4] =
    [("$__rate_interval", "1m"), ("$job", "node"), ("$instance", ".*"), ("$peer", ".*")];

/// Fires when the server has been scraped.
const SCRAPED: &str = r#"
groups:
  - name: test
    rules:
      - alert: Scraped
        expr: up == 1
"#;

/// The expressions of the dashboard: those of its panels, and those that list what can be chosen.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let drawn = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let lists = dashboard["templating"]["list"].as_array().unwrap().iter();
    let chosen = lists.map(|list| {
        let query = list["query"]["query"].as_str().unwrap();
        let labels = query.strip_prefix("label_values(").unwrap();
        labels.rsplit_once(',').unwrap().0.to_owned()
    });
    drawn.chain(chosen).collect()
}

/// The names of the metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |letter: &char| letter.is_ascii_lowercase() || *letter == '_';
    let starts = text.match_indices("raft_cluster_");
    starts.map(|(at, _)| text[at..].chars().take_while(is_part).collect()).collect()
}

#[test]
fn prometheus_scrapes_a_server_and_takes_the_rules_and_the_dashboard() {
    if !can_run() {
        return;
    }
    let (cluster, address) = (Cluster::of(&[1, 2, 3]), address());
    let _servers = serve(&cluster, address);
    let job = Job { name: "node".to_owned(), targets: vec![address] };
    let (prometheus, news) = Prometheus::start(&[job], &[&rules()[..], &[SCRAPED]].concat());
    news[0].recv_timeout(PATIENCE).expect("the server is scraped");
    let target = &prometheus.ask("targets")["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{target}");
    let found = prometheus.query(r#"raft_cluster_peer_state{peer="3",state="awaited"}"#);
    assert!(matches!(&found[..], [(labels, 1.0)] if labels["job"] == "node"), "{found:?}");
    for expression in expressions() {
        let filled =
            FILLED_IN.iter().fold(expression, |text, (name, value)| text.replace(name, value));
        assert!(!filled.contains('$'), "{filled}");
        // Whether there are samples depends on the moment; what is no expression is an error.
        prometheus.query(&filled);
    }
    prometheus.assert_rules_hold();
}

#[test]
fn the_dashboard_draws_all_that_is_served_and_nothing_else() {
    let (cluster, address) = (Cluster::of(&[1, 2, 3]), address());
    let _servers = serve(&cluster, address);
    let mut served = names(&scrape(address));
    // It is measured a heartbeat after the first message at the earliest.
    served.insert("raft_cluster_peer_rtt_seconds".to_owned());
    let drawn: BTreeSet<_> = expressions().iter().flat_map(|text| names(text)).collect();
    assert_eq!(drawn, served);
}

/// As Grafana asks for it: an import fills in the data source wherever one is named.
#[test]
fn the_dashboard_can_be_imported_for_any_data_source() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert_eq!(dashboard["__inputs"][0]["name"], "DS_PROMETHEUS");
    let panels = dashboard["panels"].as_array().unwrap();
    let drawing = || panels.iter().filter(|panel| panel["type"] != "row");
    let targets = drawing().flat_map(|panel| panel["targets"].as_array().unwrap());
    let lists = dashboard["templating"]["list"].as_array().unwrap();
    for place in drawing().chain(targets).chain(lists) {
        assert_eq!(place["datasource"]["uid"], "${DS_PROMETHEUS}", "{place}");
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").collect();
    assert_eq!(rows.len(), 9, "{rows:#?}");
}
