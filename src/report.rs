//! What the ending of a server left behind.

use std::fmt;
use std::io;

use crate::envelope::{Envelope, Pid};
use crate::stats::Stats;

/// What a server left behind when it ended, out of [`Server::join`](crate::Server::join) and
/// [`Server::shutdown`](crate::Server::shutdown).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// For each peer, in the order of the configuration, what it did not acknowledge.
    pub peers: Vec<PeerReport>,
    /// The last counts.
    pub stats: Stats,
    /// What ended the server, or its inbox before that.
    pub ended: Ending,
    /// Why the server ended by itself, if its own socket failed.
    pub failure: Option<io::Error>,
}

/// What ended a server: the first of these that did. Where the inbox ended before the server, it is
/// what ended the inbox.
///
/// ```
/// use raft_cluster::{Config, Ending, Pid, Server};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("one");
/// # let json_text = format!(
/// #     r#"{{"object": {{"total": 1, "Servers": [{{"mypid": 1, "url": "ipc://{}"}}]}}}}"#,
/// #     path.display());
/// let config: Config = json_text.parse()?;
/// let (mailbox, server) = Server::builder(&config, Pid::new(1)).idle_timeout(None).start()?;
/// let report = server.shutdown();
/// assert_eq!(report.ended, Ending::Shutdown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The application had nothing more to send, and no peer was there any more.
    PeersLeft,
    /// No envelope came for the [idle timeout](crate::Builder::idle_timeout): 2 s, unless set.
    Idle,
    /// The application dropped its inbox, and an envelope came for it.
    InboxDropped,
    /// The application [shut the server down](crate::Server::shutdown), or dropped it.
    #[default]
    Shutdown,
    /// The server's own socket failed: see [`Report::failure`].
    Failed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeersLeft => "its peers have left",
            Self::Idle => "no message came within the idle timeout",
            Self::InboxDropped => "the application dropped its inbox",
            Self::Shutdown => "it was shut down",
            Self::Failed => "its socket failed",
        })
    }
}

impl Report {
    /// Whether every message the server accepted was acknowledged by its recipient.
    pub fn all_acknowledged(&self) -> bool {
        self.undelivered() == 0
    }

    /// How many messages were not: those in this report, those that came back as
    /// [`Event::Undeliverable`](crate::Event::Undeliverable) before, and those that were put in an
    /// outbox [too late](Stats::discarded).
    pub fn undelivered(&self) -> u64 {
        let stats = &self.stats;
        let peers = stats.peers.iter();
        let nobodys = stats.no_such_peer + stats.discarded + stats.removed;
        nobodys + peers.map(|peer| peer.accepted - peer.acknowledged).sum::<u64>()
    }
}

/// What one peer did not acknowledge.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerReport {
    /// The peer.
    pub pid: Pid,
    /// The envelopes that were accepted for it and never acknowledged, in the order they were put
    /// in the outbox. The peer may have received the first of them, if its acknowledgement was
    /// lost.
    pub undelivered: Vec<Envelope>,
}
