//! The configuration, through the public loader: any bytes, and JSON that is nearly right, which an input
//! asks for with [`NEARLY_RIGHT`] as its first byte.
//!
//! Nothing panics, every error can be shown, and a configuration that loads keeps what its type promises.

#![no_main]

mod draft;

use std::collections::{BTreeSet, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, process};

use arbitrary::{Arbitrary, Unstructured};
use draft::Draft;
use libfuzzer_sys::fuzz_target;
use raft_cluster::{Config, ConfigError, PublicKey};
use serde_json::{Value, json};

const NEARLY_RIGHT: u8 = 0;

/// The bytes of the longest path of a socket.
const LONGEST_PATH: usize = 107;

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((&NEARLY_RIGHT, rest)) => {
            let Ok(draft) = Draft::arbitrary_take_rest(Unstructured::new(rest)) else { return };
            check(draft.text().parse());
        }
        _ => match std::str::from_utf8(data) {
            Ok(text) => check(text.parse()),
            Err(_) => check(load(data)),
        },
    }
});

fn load(data: &[u8]) -> Result<Config, ConfigError> {
    static FILE: LazyLock<PathBuf> =
        LazyLock::new(|| env::temp_dir().join(format!("raft-cluster-fuzz-{}", process::id())));
    fs::write(&*FILE, data).expect("the temporary folder can be written");
    let loaded = Config::load(&*FILE);
    assert!(matches!(loaded, Err(ConfigError::NotUtf8 { .. })), "{loaded:?}");
    loaded
}

fn check(loaded: Result<Config, ConfigError>) {
    match loaded {
        Ok(config) => check_config(&config),
        Err(error) => assert!(!format!("{error} {error:?}").is_empty()),
    }
}

/// What the type promises, and that the same servers written down anew are the same configuration.
fn check_config(config: &Config) {
    let pids = config.pids();
    assert!(!pids.is_empty(), "there is a server");
    assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), pids.len(), "pids are unique");
    let urls: Vec<&str> =
        pids.iter().map(|pid| config.url(*pid).expect("each has a url")).collect();
    assert_eq!(urls.iter().collect::<BTreeSet<_>>().len(), urls.len(), "addresses are unique");
    urls.iter().for_each(|url| check_url(url));
    check_keys(config);
    assert!(config.cluster().is_none_or(|name| !name.trim().is_empty()), "a name says something");
    config.warnings().iter().for_each(|warning| assert!(!warning.to_string().is_empty()));

    let again: Config = written(config).parse().expect("what was loaded loads again");
    assert_eq!(written(&again), written(config));
    assert!(again.warnings().is_empty(), "nothing is left to warn of");
}

/// All servers have one key or two, or none has any, and no key is there twice.
fn check_keys(config: &Config) {
    let lists: Vec<&[PublicKey]> =
        config.pids().iter().map(|pid| config.public_keys(*pid)).collect();
    let without = lists.iter().filter(|keys| keys.is_empty()).count();
    assert!([0, lists.len()].contains(&without), "all have keys or none");
    assert!(lists.iter().all(|keys| keys.len() <= 2), "nobody has more than an old and a new one");
    let keys = lists.concat();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "keys are unique");
    for (pid, keys) in config.pids().iter().zip(lists) {
        assert_eq!(config.public_key(*pid), keys.first().copied());
    }
}

fn written(config: &Config) -> String {
    let servers = config.pids().iter().map(|pid| {
        let mut server = json!({"mypid": pid, "url": config.url(*pid)});
        let keys = config.public_keys(*pid);
        if !keys.is_empty() {
            server["public_key"] = keys.iter().map(PublicKey::to_string).collect();
        }
        if let Some(info) = config.info(*pid) {
            server["info"] = info.clone();
        }
        server
    });
    let servers: Vec<Value> = servers.collect();
    let mut object = json!({"total": servers.len(), "Servers": servers});
    if let Some(name) = config.cluster() {
        object["cluster"] = name.into();
    }
    json!({"object": object}).to_string()
}

/// The url is one that libzmq can be given.
fn check_url(url: &str) {
    if let Some(path) = url.strip_prefix("ipc://") {
        assert!(path.starts_with('/') && path.len() <= LONGEST_PATH, "{url:?}");
        assert!(!path.ends_with('/') && !path.contains(char::is_control), "{url:?}");
        return;
    }
    let authority = url.strip_prefix("tcp://").expect("there is no third scheme");
    let (host, port) = authority.rsplit_once(':').expect("there is a port");
    assert_ne!(port.parse::<u16>(), Ok(0), "{url:?}");
    assert!(port.parse::<u16>().is_ok() && !port.starts_with(['+', '0']), "{url:?}");
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = address.split('%').next().unwrap_or_default();
        let address: Ipv6Addr = address.parse().expect("an IPv6 address in brackets");
        assert!(!address.is_unspecified(), "{url:?}");
    } else {
        let allowed =
            |c: char| c.is_ascii_alphanumeric() && !c.is_ascii_uppercase() || "-_.".contains(c);
        assert!(!host.is_empty() && host.chars().all(allowed), "{url:?}");
        assert_ne!(host.parse(), Ok(Ipv4Addr::UNSPECIFIED), "{url:?}");
    }
}
