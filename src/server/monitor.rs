//! A look at a server from elsewhere.

use std::sync::Arc;

use crate::clock::Clock;
use crate::counters::Counters;
use crate::envelope::Pid;
use crate::session::Session;
use crate::stats::{PeerStats, Stats};

/// Looks at a [`Server`](crate::Server) from any thread: see [`Server::monitor`](crate::Server::monitor).
///
/// It keeps nothing alive. Once the server has ended, it tells the last counts; what tells an age
/// goes on.
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
    counters: Arc<Counters>,
    clock: Clock,
}

impl Monitor {
    pub(super) fn new(pid: Pid, session: Session, counters: Arc<Counters>, clock: Clock) -> Self {
        Self { pid, session, counters, clock }
    }

    pub(super) fn has_peer(&self, pid: Pid) -> bool {
        self.counters.of(pid).is_some()
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
        self.counters.listed()
    }

    /// What the server has counted so far.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot(self.clock.now())
    }

    /// What it has counted for one peer so far, if it is one. Unlike [`stats`](Self::stats) this takes no memory.
    pub fn stats_of(&self, pid: Pid) -> Option<PeerStats> {
        Some(self.counters.of(pid)?.snapshot(self.clock.now()))
    }
}
