//! Configurations made in code: they say what a file would, and are refused as a file is.

use std::collections::BTreeSet;

use raft_cluster::{Config, ConfigError, Pid, SecretKey, ServerEntry};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

#[test]
fn a_configuration_made_in_code_is_that_of_a_file_that_says_the_same() {
    let [old, new] = [(); 2].map(|()| SecretKey::generate().unwrap().public_key());
    let entry = ServerEntry::new(ONE, "LOCALHOST:100001").public_key(old).public_key(new);
    let other = SecretKey::generate().unwrap().public_key();
    let config = Config::builder()
        .cluster("orders")
        .entry(entry.info("first"))
        .entry(ServerEntry::new(TWO, "ipc:///run//2").public_key(other))
        .build()
        .unwrap();
    let file = serde_json::json!({"object": {"total": 2, "cluster": "orders", "Servers": [
        {"mypid": 1, "url": "LOCALHOST:100001", "info": "first",
         "public_key": [old.to_string(), new.to_string()]},
        {"mypid": 2, "url": "ipc:///run//2", "public_key": other.to_string()}]}});
    assert_eq!(config, file.to_string().parse().unwrap());
    assert_eq!(config.url(ONE), Some("tcp://localhost:34465"));
    assert_eq!(config.warnings().len(), 1);
}

#[test]
fn what_is_wrong_is_told_as_of_a_file() {
    let of = |urls: &[(Pid, &str)]| {
        let add = |builder, (pid, url): &(Pid, &str)| {
            raft_cluster::ConfigBuilder::server(builder, *pid, *url)
        };
        urls.iter().fold(Config::builder(), add).build().unwrap_err()
    };
    assert!(matches!(of(&[]), ConfigError::NoServers { .. }));
    assert!(matches!(of(&[(ONE, "a:1"), (ONE, "a:2")]), ConfigError::RepeatedPid { .. }));
    assert!(matches!(of(&[(ONE, "a:1"), (TWO, "a:1")]), ConfigError::RepeatedAddress { .. }));
    assert_eq!(
        of(&[(ONE, "a:1"), (Pid::new(7), "a:0")]).to_string(),
        "the configuration, server 2 (pid 7): field `url` is \"a:0\": port 0 is none that a peer can \
         connect to; use 1 to 65535"
    );
}

#[test]
fn servers_of_this_host_are_numbered_from_1_and_each_has_a_port_of_its_own() {
    let config = Config::local(20);
    assert_eq!(config.pids(), (1..=20).map(Pid::new).collect::<Vec<_>>());
    let urls: BTreeSet<_> = config.pids().iter().map(|pid| config.url(*pid).unwrap()).collect();
    assert_eq!(urls.len(), 20);
    assert!(urls.iter().all(|url| url.starts_with("tcp://127.0.0.1:")));
    assert_eq!(Config::local(0).pids(), [ONE]);
}
