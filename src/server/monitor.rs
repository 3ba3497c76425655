//! A look at a server from elsewhere.

use std::sync::Arc;

use crate::counters::{Counters, PeerCounters};
use crate::envelope::Pid;
use crate::session::Session;
use crate::stats::{PeerStats, Stats};

/// Looks at a [`Server`](crate::Server) from any thread: see [`Server::monitor`](crate::Server::monitor).
///
/// It keeps nothing alive. Once the server has ended, it tells the last counts.
///
/// ```
/// use std::thread;
/// use raft_cluster::{Config, Pid, Server};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("one");
/// # let json_text = format!(
/// #     r#"{{"object": {{"total": 1, "Servers": [{{"mypid": 1, "url": "ipc://{}"}}]}}}}"#,
/// #     path.display());
/// let config: Config = json_text.parse()?;
/// let (mailbox, server) = Server::start(&config, Pid::new(1))?;
/// let monitor = server.monitor();
/// let watcher = thread::spawn(move || monitor.stats().messages_received);
/// assert_eq!(watcher.join().unwrap(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Monitor {
    pid: Pid,
    session: Session,
    peers: Arc<[Pid]>,
    counters: Arc<Counters>,
}

impl Monitor {
    pub(super) fn new(
        pid: Pid,
        session: Session,
        peers: Vec<Pid>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { pid, session, peers: peers.into(), counters }
    }

    pub(super) fn listed(&self) -> &[Pid] {
        &self.peers
    }

    /// The place of a peer among all.
    pub(super) fn place(&self, peer: Pid) -> Option<usize> {
        self.peers.iter().position(|listed| *listed == peer)
    }

    /// Which server it is.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Which process of the server it is.
    pub fn session(&self) -> Session {
        self.session
    }

    /// The other servers of the cluster, in the order of the configuration.
    pub fn peers(&self) -> Vec<Pid> {
        self.peers.to_vec()
    }

    /// What the server has counted so far.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// What it has counted for one peer so far, if it is one. This takes no memory.
    pub fn stats_of(&self, pid: Pid) -> Option<PeerStats> {
        self.counters.peers.get(self.place(pid)?).map(PeerCounters::snapshot)
    }
}
