//! Five servers in processes of their own, and what befalls them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use raft_cluster::SecretKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Process, Role};
use crate::support::addresses::free_addresses;
use crate::support::proxy::Proxy;
use crate::support::turns::Turn;
use crate::support::waits::Watchdog;

pub const PIDS: [u32; 5] = [1, 2, 3, 4, 5];

/// A cluster whose servers run, or are to.
pub struct Cluster {
    processes: BTreeMap<u32, Process>,
    /// Where each server listens, as all others know it.
    urls: BTreeMap<u32, String>,
    metrics: BTreeMap<u32, SocketAddr>,
    keys: BTreeMap<u32, SecretKey>,
    folder: TempDir,
    _turn: Turn,
    _watchdog: Watchdog,
}

impl Cluster {
    /// One that does not run yet, and will serve what it counts there.
    pub fn new(metrics: &[SocketAddr]) -> Self {
        let urls = free_addresses(5).unwrap().into_iter().map(|address| address.to_string());
        Self {
            processes: BTreeMap::new(),
            urls: PIDS.into_iter().zip(urls).collect(),
            metrics: PIDS.into_iter().zip(metrics.iter().copied()).collect(),
            keys: BTreeMap::new(),
            folder: tempfile::tempdir().unwrap(),
            _turn: Turn::take(),
            _watchdog: Watchdog::of_this_test(),
        }
    }

    /// One whose servers have keys.
    pub fn with_keys(metrics: &[SocketAddr]) -> Self {
        let keys = PIDS.map(|pid| (pid, SecretKey::generate().unwrap()));
        Self { keys: keys.into(), ..Self::new(metrics) }
    }

    /// Starts all servers.
    pub fn start(&mut self) {
        PIDS.into_iter().for_each(|pid| self.start_one(pid, |_| {}));
    }

    /// Starts a server whose configuration is another one than that of the others.
    pub fn start_one(&mut self, pid: u32, change: impl FnOnce(&mut Value)) {
        let mut config = self.config();
        change(&mut config);
        let (config, metrics, secret_key) =
            (config.to_string(), self.metrics[&pid], self.save(pid));
        let role = Role { config, pid, metrics, secret_key };
        self.processes.insert(pid, Process::start(&role));
    }

    /// Starts all servers, one of which reaches another by a proxy, its route 0.
    pub fn start_with_line(&mut self, from: u32, to: u32) -> Proxy {
        println!("seed 1");
        let proxy = Proxy::start(1, &[format!("tcp://{}", self.urls[&to])]).unwrap();
        for pid in PIDS {
            self.start_one(pid, |config| {
                if pid == from {
                    list(config, to, &proxy.fronts()[0]);
                }
            });
        }
        proxy
    }

    pub fn process(&mut self, pid: u32) -> &mut Process {
        self.processes.get_mut(&pid).unwrap()
    }

    /// Kills a server.
    pub fn kill(&mut self, pid: u32) {
        self.processes.remove(&pid).unwrap();
    }

    /// The process of a server, which is to end by itself.
    pub fn take(&mut self, pid: u32) -> Process {
        self.processes.remove(&pid).unwrap()
    }

    /// A server has another key from now on, of which the others do not know.
    pub fn replace_key(&mut self, pid: u32) {
        self.keys.insert(pid, SecretKey::generate().unwrap());
    }

    pub fn url(&self, pid: u32) -> &str {
        &self.urls[&pid]
    }

    /// What listens at the address of a server that does not run, and is none: a web server, which
    /// answers whatever is said.
    pub fn take_port(&self, pid: u32) {
        let listener = TcpListener::bind(&self.urls[&pid]).unwrap();
        thread::spawn(move || listener.incoming().for_each(|guest| drop(turn_away(guest))));
    }

    fn config(&self) -> Value {
        let server = |(pid, url): (&u32, &String)| {
            let mut server = json!({"mypid": pid, "url": url});
            if let Some(key) = self.keys.get(pid) {
                server["public_key"] = key.public_key().to_string().into();
            }
            server
        };
        let servers: Vec<_> = self.urls.iter().map(server).collect();
        json!({"object": {"total": servers.len(), "cluster": "ours", "Servers": servers}})
    }

    fn save(&self, pid: u32) -> Option<PathBuf> {
        let file = self.folder.path().join(format!("server-{pid}.key"));
        // It may be another one than before.
        let _ = fs::remove_file(&file);
        let key = self.keys.get(&pid)?;
        key.save(&file).unwrap();
        Some(file)
    }
}

/// Lists a server at another url.
pub fn list(config: &mut Value, pid: u32, url: &str) {
    let servers = config["object"]["Servers"].as_array_mut().unwrap();
    servers.iter_mut().find(|server| server["mypid"] == pid).unwrap()["url"] = url.into();
}

fn turn_away(guest: std::io::Result<std::net::TcpStream>) -> std::io::Result<()> {
    use std::io::{Read, Write};
    let mut guest = guest?;
    guest.read_exact(&mut [0; 10])?;
    guest.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
}
