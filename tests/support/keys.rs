//! Clusters that have keys.

use std::collections::BTreeMap;

use raft_cluster::{Builder, Config, Pid, PublicKey, SecretKey, Server, libzmq};
use serde_json::Value;

use super::skips::skip;
use super::{Cluster, Transport};

/// Set where a test of keys that is skipped is one that has failed.
const EXPECT_CURVE: &str = "RAFT_CLUSTER_EXPECT_CURVE";

/// Whether servers with keys can run here. If not it says so.
pub fn can_use_keys() -> bool {
    let can = libzmq().curve;
    if !can {
        skip(format!("{} is linked", libzmq()), EXPECT_CURVE);
    }
    can
}

/// A cluster of servers with keys, and their secrets.
pub struct KeyedCluster {
    pub cluster: Cluster,
    secrets: BTreeMap<u32, SecretKey>,
}

impl KeyedCluster {
    pub fn new(total: u32, transport: Transport) -> Self {
        let secrets = (1..=total).map(|pid| (pid, SecretKey::generate().unwrap())).collect();
        let mut keyed = Self { cluster: Cluster::new(total, transport), secrets };
        keyed.cluster.config = keyed.config_with(&[]);
        keyed
    }

    pub fn secret(&self, pid: u32) -> SecretKey {
        self.secrets[&pid].clone()
    }

    pub fn public(&self, pid: u32) -> PublicKey {
        self.secret(pid).public_key()
    }

    /// The configuration, but with these public keys for some servers.
    pub fn config_with(&self, other: &[(u32, PublicKey)]) -> Config {
        let key = |pid| other.iter().find(|(other, _)| *other == pid).map(|(_, key)| *key);
        self.config(|pid, server| {
            let key = key(pid).unwrap_or_else(|| self.public(pid));
            server["public_key"] = key.to_string().into();
        })
    }

    /// The configuration, but one server may have any of these keys.
    pub fn config_with_list(&self, pid: u32, keys: &[PublicKey]) -> Config {
        self.config(|listed, server| {
            server["public_key"] = if listed == pid {
                keys.iter().map(PublicKey::to_string).collect()
            } else {
                self.public(listed).to_string().into()
            };
        })
    }

    /// The configuration with keys and another url of one server.
    pub fn config_with_url(&self, pid: u32, url: &str) -> Config {
        self.config(|listed, server| {
            server["public_key"] = self.public(listed).to_string().into();
            if listed == pid {
                server["url"] = url.into();
            }
        })
    }

    /// The configuration without keys.
    pub fn plain_config(&self) -> Config {
        self.config(|_, _| {})
    }

    fn config(&self, change: impl Fn(u32, &mut Value)) -> Config {
        let mut text: Value = serde_json::from_str(&self.cluster.text).unwrap();
        let servers = text["object"]["Servers"].as_array_mut().unwrap();
        for (pid, server) in (1..).zip(servers) {
            change(pid, server);
        }
        text.to_string().parse().unwrap()
    }

    /// A server with its own key.
    pub fn builder(&self, pid: u32) -> Builder<'_> {
        Server::builder(&self.cluster.config, Pid::new(pid))
            .secret_key(self.secret(pid))
            .idle_timeout(None)
    }
}
