//! A cluster whose servers reach each other through the proxy alone; or over the network for tests, whose
//! faults stand for those of the proxy.

use std::time::Duration;

use raft_cluster::{Builder, Config, Mailbox, Pid, Server};

use super::proxy::{BOTH, Cut, Mode, Proxy, Way};
use super::{BOUND, Cluster, Transport, config_text};

/// Servers 1 to `total`, and a route of the proxy from each to each other.
pub struct Mesh {
    /// None over the network for tests.
    proxy: Option<Proxy>,
    /// As each server sees it: its own url is real, the others are fronts.
    configs: Vec<Config>,
    /// Keeps the folder of the sockets, or has the network.
    cluster: Cluster,
}

impl Mesh {
    pub fn new(total: u32, transport: Transport, seed: u64) -> Self {
        println!("seed {seed}");
        let cluster = Cluster::new(total, transport);
        let url = |pid: &Pid| cluster.config.url(*pid).unwrap().to_owned();
        let urls: Vec<String> = cluster.config.pids().iter().map(url).collect();
        let others = |own: usize| (0..urls.len()).filter(move |other| *other != own);
        let backs: Vec<_> =
            (0..urls.len()).flat_map(others).map(|other| urls[other].clone()).collect();
        if cluster.is_over_memory() {
            let configs = vec![cluster.config.clone(); urls.len()];
            return Self { proxy: None, configs, cluster };
        }
        let proxy = Proxy::start(seed, &backs).unwrap();
        let mut fronts = proxy.fronts().iter();
        let config = |own: usize| {
            let mut seen = urls.clone();
            for other in others(own) {
                seen[other].clone_from(fronts.next().unwrap());
            }
            config_text(&seen).parse().unwrap()
        };
        let configs = (0..urls.len()).map(config).collect();
        Self { proxy: Some(proxy), configs, cluster }
    }

    pub fn config(&self, pid: u32) -> &Config {
        &self.configs[pid as usize - 1]
    }

    /// One server with a quick heartbeat and no idle timeout.
    pub fn builder(&self, pid: u32) -> Builder<'_> {
        self.cluster
            .over_network(Server::builder(self.config(pid), Pid::new(pid)))
            .idle_timeout(None)
            .heartbeat(Duration::from_millis(100))
    }

    /// Starts them all, with what else is to be set.
    pub fn start_all(
        &self,
        options: impl for<'a> Fn(Builder<'a>) -> Builder<'a>,
    ) -> Vec<(Mailbox, Server)> {
        let pids = 1..=self.configs.len() as u32;
        pids.map(|pid| options(self.builder(pid)).start().unwrap()).collect()
    }

    /// The route from one server to another.
    pub fn route(&self, from: u32, to: u32) -> usize {
        let others = self.configs.len() - 1;
        let place = if to > from { to - 2 } else { to - 1 };
        (from as usize - 1) * others + place as usize
    }

    /// What becomes of all that goes from one server to another, in either way of the connection.
    pub fn set(&self, from: u32, to: u32, mode: &Mode) {
        match &self.proxy {
            Some(proxy) => proxy.set(self.route(from, to), &BOTH, mode),
            None => self.cluster.set((from, to), mode),
        }
    }

    /// The same, in one way of the connection: with or against the envelopes.
    pub fn set_one_way(&self, from: u32, to: u32, way: Way, mode: &Mode) {
        self.proxy().set(self.route(from, to), &[way], mode);
    }

    /// Stalls or swallows what goes from one server to another in these ways of the connection, and
    /// returns when the first bytes are held up, or lost.
    pub fn hinder(&self, from: u32, to: u32, ways: &[Way], mode: &Mode) {
        let Some(proxy) = &self.proxy else { return self.cluster.set((from, to), mode) };
        let struck = proxy.hinder(self.route(from, to), ways, mode);
        struck.recv_timeout(BOUND).expect("something comes that way");
    }

    pub fn cut(&self, from: u32, to: u32, cut: Cut) {
        match &self.proxy {
            Some(proxy) => drop(proxy.cut(self.route(from, to), cut)),
            None => self.cluster.reset((from, to)),
        }
    }

    /// The proxy, for what only that can do.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a proxy between them")
    }

    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }
}
