//! What the integration tests share: clusters in a folder of their own, and waits that end.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part of this")]

pub mod addresses;
pub mod audit;
#[cfg(target_os = "linux")]
pub mod dns;
pub mod keys;
pub mod load;
pub mod mesh;
#[cfg(target_os = "linux")]
pub mod netns;
mod pipe;
pub mod process;
pub mod prometheus;
pub mod proxy;
#[cfg(target_os = "linux")]
pub mod quota;
pub mod skips;
pub mod turns;
pub mod waits;

use raft_cluster::{
    Builder, Config, Envelope, Event, Mailbox, PeerState, PeerStats, Pid, Reason, Receiver, Server,
};
use tempfile::TempDir;

use addresses::free_addresses;
use waits::{Watchdog, poll};

pub use waits::{BOUND, assert_ends, join, shut_down, until_end, within};

/// How the servers of a test reach each other.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Tcp,
    Ipc,
}

/// A configuration for servers 1 to `total`, and the folder their sockets lie in. The test that has
/// it is watched as long as it does.
pub struct Cluster {
    pub config: Config,
    pub text: String,
    pub folder: TempDir,
    /// Instead of the system's, if there is one.
    #[cfg(feature = "testing")]
    network: Option<raft_cluster::testing::Network>,
    _watchdog: Watchdog,
}

impl Cluster {
    pub fn new(total: u32, transport: Transport) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let urls: Vec<String> = match transport {
            Transport::Ipc => {
                (1..=total).map(|n| format!("ipc://{}/{n}", folder.path().display())).collect()
            }
            Transport::Tcp => {
                free_addresses(total).unwrap().iter().map(ToString::to_string).collect()
            }
        };
        let text = config_text(&urls);
        let config = text.parse().unwrap();
        Self {
            config,
            text,
            folder,
            #[cfg(feature = "testing")]
            network: is_over_memory().then(|| raft_cluster::testing::Network::new(0)),
            _watchdog: Watchdog::of_this_test(),
        }
    }

    /// The options of one server, all as they are by default.
    pub fn builder(&self, pid: impl Into<Pid>) -> Builder<'_> {
        self.over_network(Server::builder(&self.config, pid.into()))
    }

    /// The configuration without some of its servers.
    pub fn without(&self, gone: &[Pid]) -> Config {
        let mut text: serde_json::Value = serde_json::from_str(&self.text).unwrap();
        let servers = text["object"]["Servers"].as_array_mut().unwrap();
        servers.retain(|server| !gone.iter().any(|pid| server["mypid"] == pid.as_u32()));
        let total = servers.len();
        text["object"]["total"] = total.into();
        text.to_string().parse().unwrap()
    }

    /// Starts one server with the defaults, but no idle timeout.
    pub fn start(&self, pid: u32) -> (Mailbox, Server) {
        self.builder(pid).idle_timeout(None).start().unwrap()
    }

    /// Starts them all.
    pub fn start_all(&self) -> Vec<(Mailbox, Server)> {
        self.config.pids().iter().map(|pid| self.start(pid.as_u32())).collect()
    }
}

#[cfg(not(feature = "testing"))]
impl Cluster {
    fn is_over_memory(&self) -> bool {
        false
    }

    fn over_network<'a>(&self, builder: Builder<'a>) -> Builder<'a> {
        builder
    }

    fn set(&self, _: (u32, u32), _: &proxy::Mode) {}

    fn reset(&self, _: (u32, u32)) {}
}

#[cfg(feature = "testing")]
impl Cluster {
    fn is_over_memory(&self) -> bool {
        self.network.is_some()
    }

    fn over_network<'a>(&self, builder: Builder<'a>) -> Builder<'a> {
        match &self.network {
            Some(network) => builder.network(network),
            None => builder,
        }
    }

    /// What becomes of all that goes from one server to another, over the network for tests.
    fn set(&self, (from, to): (u32, u32), mode: &proxy::Mode) {
        let Some(network) = &self.network else { return };
        let (from, to) = (Pid::new(from), Pid::new(to));
        match mode {
            proxy::Mode::Pass => network.heal(),
            // What is on its way is lost with the connection, once that is replaced.
            proxy::Mode::Stall | proxy::Mode::Swallow => network.cut_one_way(from, to),
            proxy::Mode::Delay(range) => network.delay(from, to, range.clone()),
            other => panic!("the network for tests cannot {other:?}"),
        }
    }

    fn reset(&self, (from, to): (u32, u32)) {
        if let Some(network) = &self.network {
            network.reset(Pid::new(from), Pid::new(to));
        }
    }
}

/// Whether clusters are to be on a network of this process instead of the transport that a test asks
/// for: with `RAFT_CLUSTER_OVER=memory`.
#[cfg(feature = "testing")]
fn is_over_memory() -> bool {
    std::env::var("RAFT_CLUSTER_OVER").is_ok_and(|transport| transport == "memory")
}

/// A configuration file that lists these urls as servers 1, 2, 3 and so on.
pub fn config_text(urls: &[String]) -> String {
    let servers: Vec<_> =
        (1..).zip(urls).map(|(pid, url)| serde_json::json!({"mypid": pid, "url": url})).collect();
    serde_json::json!({"object": {"total": urls.len(), "Servers": servers}}).to_string()
}

/// The next envelope that comes back, with its id.
pub fn next_undeliverable(server: &Server) -> (Pid, i64, Reason) {
    loop {
        let event = server.events().recv_timeout(BOUND).expect("something comes back");
        if let Event::Undeliverable { peer, envelope, reason, .. } = event {
            return (peer, envelope.msg_id, reason);
        }
    }
}

/// Waits until a server has heard all its peers. One that ends before leaves those that it never
/// heard waiting for the peer timeout: they cannot tell it from one that is still to come.
pub fn await_all_up(server: &Server) {
    let what = format!("server {} to hear all its peers", server.pid());
    let is_up = |peer: &PeerStats| peer.state == PeerState::Up;
    poll(&what, || server.stats().peers, |peers| peers.iter().all(is_up));
}

/// The next envelope, or a failed test.
pub fn receive(mailbox: &Mailbox) -> Envelope {
    mailbox.inbox.recv_timeout(BOUND).expect("an envelope comes in")
}

/// The envelope as it comes out of an inbox, or back to the outbox it was put in: with its sender.
pub fn sent_by(pid: Pid, mut envelope: Envelope) -> Envelope {
    envelope.from = pid;
    envelope
}

/// Waits for the event, and returns those before it.
pub fn await_event(events: &Receiver<Event>, wanted: &Event) -> Vec<Event> {
    let mut before = Vec::new();
    loop {
        let event = events.recv_timeout(BOUND).unwrap_or_else(|_| {
            panic!("no {wanted:?} came, only {before:?}");
        });
        if event == *wanted {
            return before;
        }
        before.push(event);
    }
}
