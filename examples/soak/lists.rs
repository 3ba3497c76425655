//! By which list of the others each server goes.

use std::collections::BTreeSet;

use crate::SERVERS;

/// By how many ways a server can be found.
pub(crate) const WAYS: usize = 2;

/// The list of one server.
pub(crate) struct List {
    /// Where each server is, by each way.
    urls: Vec<[String; WAYS]>,
    own: usize,
    /// Which way is listed.
    ways: [usize; SERVERS],
    out: BTreeSet<usize>,
    /// How often each server was taken out since the process started.
    pub(crate) removals: [u32; SERVERS],
}

impl List {
    pub(crate) fn new(urls: Vec<[String; WAYS]>, own: usize) -> Self {
        Self { urls, own, ways: [0; SERVERS], out: BTreeSet::new(), removals: [0; SERVERS] }
    }

    /// All are in it, for a process that starts.
    pub(crate) fn begin(&mut self) {
        self.out.clear();
        self.removals = [0; SERVERS];
    }

    /// Takes one out. Says whether it was in it.
    pub(crate) fn take_out(&mut self, peer: usize) -> bool {
        let takes_out = peer != self.own && self.out.insert(peer);
        self.removals[peer] += u32::from(takes_out);
        takes_out
    }

    /// Puts one back. Says whether it was out.
    pub(crate) fn put_back(&mut self, peer: usize) -> bool {
        self.out.remove(&peer)
    }

    /// One is found by the other way from now on.
    pub(crate) fn turn(&mut self, peer: usize) {
        self.ways[peer] = (self.ways[peer] + 1) % WAYS;
    }

    pub(crate) fn way(&self, peer: usize) -> usize {
        self.ways[peer]
    }

    /// As a configuration.
    pub(crate) fn text(&self) -> String {
        let listed = (0..SERVERS).filter(|at| !self.out.contains(at));
        let server = |at: usize| {
            let url = &self.urls[at][self.ways[at]];
            serde_json::json!({"mypid": at + 1, "url": url})
        };
        let servers: Vec<_> = listed.map(server).collect();
        let object = serde_json::json!({"total": servers.len(), "Servers": servers});
        serde_json::json!({ "object": object }).to_string()
    }
}
