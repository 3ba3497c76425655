//! What a server says to `tracing`, with the feature of that name; without it, nothing.
//!
//! This is the one room that names the crate: each function is one thing that is said, and those that
//! know of it call it. It is what changes, and nothing for each message; who sees it, and where, is up to
//! the application's subscriber.
//!
//! | target | what |
//! |---|---|
//! | `raft_cluster::server` | it starts, is reconfigured, was stopped for a while, leaves, has ended |
//! | `raft_cluster::peer` | a peer comes, goes, restarts, stalls; messages that it gave up |
//! | `raft_cluster::connection` | a connection is replaced, messages are sent again, names are looked up |
//! | `raft_cluster::refusal` | what came in and was refused |

// Without the feature they are not looked at.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables))]

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

#[cfg(feature = "tracing")]
use tracing::{debug, error, info, warn};

use crate::envelope::Pid;
use crate::event::Rejection;
use crate::lifecycle::Stage;
use crate::link::Sighting;
use crate::report::Ending;
use crate::server::Changes;
use crate::server::assembly::Plan;
use crate::session::Session;

#[cfg(not(feature = "tracing"))]
mod silence {
    macro_rules! nothing {
        ($($said:tt)*) => {{}};
    }
    pub(super) use {nothing as debug, nothing as error, nothing as info, nothing as warn};
}
#[cfg(not(feature = "tracing"))]
use silence::{debug, error, info, warn};

#[cfg(feature = "tracing")]
mod target {
    pub(super) const SERVER: &str = "raft_cluster::server";
    pub(super) const PEER: &str = "raft_cluster::peer";
    pub(super) const CONNECTION: &str = "raft_cluster::connection";
    pub(super) const REFUSAL: &str = "raft_cluster::refusal";
}

/// Why the connection to a peer is replaced.
#[derive(Debug)]
pub(crate) enum Renewal {
    /// Nothing has spoken for it for so long.
    Unconfirmed(Duration),
    /// It takes nothing any more.
    Broken(io::Error),
    /// The keys have changed.
    Keys,
    /// The peer has proved to have another key than it expects.
    OtherKey,
    /// The peer is listed elsewhere.
    Moved,
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unconfirmed(silence) => write!(f, "nothing has spoken for it for {silence:.1?}"),
            Self::Broken(error) => write!(f, "it takes nothing any more: {error}"),
            Self::Keys => f.write_str("the keys have changed"),
            Self::OtherKey => f.write_str("the peer has another of its keys"),
            Self::Moved => f.write_str("the peer is listed elsewhere"),
        }
    }
}

/// Whose words these are: the span of the server, and the subscriber of whoever started it.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    #[cfg(feature = "tracing")]
    subscriber: tracing::Dispatch,
}

#[cfg(feature = "tracing")]
impl Scope {
    /// That of a server, which is seen by whoever sees anything at all.
    pub(crate) fn of_server(pid: Pid, session: Session) -> Self {
        let span = tracing::error_span!(
            target: target::SERVER, "server", pid = pid.as_u32(), session = %session);
        Self { span, ..Self::current() }
    }

    /// That of this thread.
    pub(crate) fn current() -> Self {
        let subscriber = tracing::dispatcher::get_default(Clone::clone);
        Self { span: tracing::Span::current(), subscriber }
    }

    /// Does something within it. A thread that has no subscriber, since there is none for the whole
    /// process, takes the one that was there at the start: so a test can look at its own servers alone.
    pub(crate) fn within<R>(&self, act: impl FnOnce() -> R) -> R {
        use tracing::subscriber::NoSubscriber;
        let act = || self.span.in_scope(act);
        if tracing::dispatcher::get_default(tracing::Dispatch::is::<NoSubscriber>)
            && !self.subscriber.is::<NoSubscriber>()
        {
            return tracing::dispatcher::with_default(&self.subscriber, act);
        }
        act()
    }
}

#[cfg(not(feature = "tracing"))]
impl Scope {
    pub(crate) fn of_server(_: Pid, _: Session) -> Self {
        Self {}
    }

    pub(crate) fn current() -> Self {
        Self {}
    }

    pub(crate) fn within<R>(&self, act: impl FnOnce() -> R) -> R {
        act()
    }
}

/// The server starts.
pub(crate) fn started(plan: &Plan, url: &str, has_keys: bool) {
    info!(
        target: target::SERVER,
        url,
        peers = plan.peers.len(),
        keys = has_keys,
        window = plan.limits.window,
        heartbeat = ?plan.limits.heartbeat,
        peer_timeout = ?plan.limits.peer_timeout,
        idle_timeout = ?plan.idle_timeout,
        libzmq = %crate::libzmq(),
        "the server starts"
    );
}

/// Both threads go by another configuration.
pub(crate) fn reconfigured(changes: &Changes) {
    info!(target: target::SERVER, changes = %changes, "the server is reconfigured");
}

/// The process did not run.
pub(crate) fn paused(pause: Duration) {
    warn!(target: target::SERVER, ?pause, "the process did not run for a while");
}

/// The server came closer to its end.
pub(crate) fn leaving(stage: Stage) {
    match stage {
        Stage::Open => {}
        Stage::Leaving => info!(target: target::SERVER, "nothing more will be sent"),
        Stage::Stopping => info!(target: target::SERVER, "the server shuts down"),
        Stage::Settled | Stage::Ending => {
            debug!(target: target::SERVER, "no acknowledgement is awaited any more");
        }
    }
}

/// Nothing enters the inbox any more.
pub(crate) fn inbox_ended(cause: Ending) {
    info!(target: target::SERVER, %cause, "the inbox has ended");
}

/// The server has ended.
pub(crate) fn ended(ended: &io::Result<Ending>) {
    match ended {
        Ok(ending) => info!(target: target::SERVER, cause = %ending, "the server has ended"),
        Err(failure) => error!(target: target::SERVER, cause = %failure, "the server has failed"),
    }
}

/// A peer stands otherwise than before.
pub(crate) fn sighting(peer: Pid, session: Option<Session>, sighting: Sighting) {
    #[cfg(feature = "tracing")]
    let (peer, session) = (peer.as_u32(), session.map(tracing::field::display));
    match sighting {
        Sighting::Up => info!(target: target::PEER, peer, session, "the peer is up"),
        Sighting::Restarted => info!(target: target::PEER, peer, session, "the peer has restarted"),
        Sighting::Left => info!(target: target::PEER, peer, session, "the peer has left"),
        Sighting::Absent => warn!(target: target::PEER, peer, "the peer was not heard yet"),
        Sighting::Down(loss) => {
            warn!(target: target::PEER, peer, session, cause = %loss, "the peer is down");
        }
        Sighting::OneWay => warn!(
            target: target::PEER, peer, session, "the peer is heard, but does not hear this server"),
    }
}

/// A peer holds an outbox up.
pub(crate) fn stalled(peer: Pid, session: Option<Session>) {
    #[cfg(feature = "tracing")]
    let session = session.map(tracing::field::display);
    warn!(target: target::PEER, peer = peer.as_u32(), session, "the peer holds an outbox up");
}

/// A peer holds no outbox up any more, after so long in all.
pub(crate) fn flowing(peer: Pid, session: Option<Session>, blocked: Duration) {
    #[cfg(feature = "tracing")]
    let session = session.map(tracing::field::display);
    info!(
        target: target::PEER, peer = peer.as_u32(), session, ?blocked,
        "the peer holds no outbox up any more"
    );
}

/// A peer had to give up messages to this server.
pub(crate) fn missed(peer: Pid, messages: u64) {
    warn!(target: target::PEER, peer = peer.as_u32(), messages, "messages of the peer were missed");
}

/// The connection to a peer is replaced.
pub(crate) fn renewed(peer: Pid, cause: &Renewal) {
    info!(target: target::CONNECTION, peer = peer.as_u32(), %cause, "the connection is replaced");
}

/// There was no room for another socket to a peer: the one there was has to do, if there was one.
pub(crate) fn no_socket(peer: Pid, error: &io::Error) {
    let peer = peer.as_u32();
    warn!(target: target::CONNECTION, peer, cause = %error, "no socket could be made");
}

/// Messages were sent again, so many at once.
pub(crate) fn resent(peer: Pid, messages: u64) {
    debug!(target: target::CONNECTION, peer = peer.as_u32(), messages, "messages are sent again");
}

/// A peer that is listed by a name is looked for at this address.
pub(crate) fn address(peer: Pid, address: SocketAddr) {
    debug!(target: target::CONNECTION, peer = peer.as_u32(), %address, "connecting to an address");
}

/// The name of a peer was not found, which it was before.
pub(crate) fn lookup_failed(peer: Pid, host: &str, error: &io::Error) {
    let peer = peer.as_u32();
    warn!(target: target::CONNECTION, peer, host, cause = %error, "the name was not found");
}

/// The name of a peer is found again.
pub(crate) fn lookup_succeeded(peer: Pid, host: &str) {
    info!(target: target::CONNECTION, peer = peer.as_u32(), host, "the name is found again");
}

/// Something that came in was refused, so often since that was told last.
pub(crate) fn refused(reason: Rejection, address: Option<IpAddr>, count: u64) {
    #[cfg(feature = "tracing")]
    let address = address.map(tracing::field::display);
    warn!(target: target::REFUSAL, cause = %reason, address, count, "refused");
}
