//! The seam between the threads and what carries their frames.
//!
//! The two threads of a server know nothing of libzmq: they send through an [`Outlet`] to each
//! peer, take what comes out of one [`Inlet`], and the output thread wakes the input thread by a
//! [`Waker`]. [`zmq`] carries frames between machines, and [`memory`] between servers of one
//! process, in virtual time and with every fault that a network has.
//!
//! A transport may lose, repeat and reorder frames: the link makes up for that. It must not block,
//! but in [`Inlet::wait`].

mod connection;
#[cfg(any(test, feature = "internals", feature = "testing"))]
pub(crate) mod memory;
mod renewal;
pub(crate) mod zmq;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::envelope::Pid;
use crate::event::Rejection;
use crate::frame::Frame;
use crate::key::{Keyring, PublicKey};
use crate::wire::DecodeError;

/// The way to one peer.
pub(crate) trait Outlet: Send {
    /// Hands over a frame, which may get lost.
    ///
    /// # Errors
    ///
    /// When nothing can be handed over any more until the way is [renewed](Self::renew).
    fn send(&mut self, frame: Frame) -> io::Result<()>;

    /// When the way counts as stuck, if nothing has spoken for it since the last `evidence`: that
    /// the peer heard this server, or began to be heard. None if that cannot happen.
    fn stuck_at(&self, evidence: Duration) -> Option<Duration>;

    /// Replaces the connection, for which nothing has spoken since the last `evidence`. What it had
    /// not delivered is gone. Returns whether there was one, which another has replaced.
    fn renew(&mut self, evidence: Duration, now: Duration) -> bool;

    /// The peer's name was looked up and has addresses. Only for a way that goes by a name.
    fn handle_addresses(&mut self, _resolved: &Resolved) {}

    /// These are the keys from now on. Returns whether the way needs another connection for that.
    fn handle_keys(&mut self, _keys: &Arc<Keyring>) -> bool {
        false
    }

    /// The peer has proved to have this key. Returns whether the connection expects another one, and
    /// is to be replaced.
    fn handle_proof(&mut self, _key: PublicKey) -> bool {
        false
    }

    /// How often the peer's name was looked up in vain since this was asked last.
    fn take_failed_lookups(&self) -> u64 {
        0
    }

    /// The process did not run for `pause`: the silence was its own.
    fn handle_pause(&mut self, pause: Duration);

    /// Closes the way, which for `linger` at most goes on sending what it was given.
    fn close(self: Box<Self>, linger: Duration);
}

/// Where the frames of all peers come in.
pub(crate) trait Inlet: Send {
    /// The next frame that has come in, if any.
    ///
    /// # Errors
    ///
    /// When nothing can come in any more.
    fn receive(&mut self) -> io::Result<Option<Received>>;

    /// Where the frame received last came from, if that is known.
    fn last_address(&mut self) -> Option<IpAddr>;

    /// Lets in, or refuses, the next connection that asks for it. None if there is no such.
    ///
    /// # Errors
    ///
    /// When nothing can come in any more.
    fn authenticate(&mut self) -> io::Result<Option<Outcome>>;

    /// The next peer that has refused a connection since this was asked last, after its side has
    /// closed the one there was: its process has probably ended.
    fn poll_refusal(&mut self, now: Duration) -> Option<Refusal>;

    /// The next peer to which an attempt to connect has failed since this was asked last.
    fn poll_failure(&mut self) -> Option<(Pid, ConnectionFailure)> {
        None
    }

    /// The process did not run for `pause`: it is not the peers that refused connections for as
    /// long.
    fn handle_pause(&mut self, pause: Duration);

    /// Waits until there is something to [receive](Self::receive) or to
    /// [authenticate](Self::authenticate), the [`Waker`] wakes it, or the time is over, if there is
    /// one. To be called when both have found nothing.
    ///
    /// # Errors
    ///
    /// When nothing can come in any more.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// This server is told nothing more of the connection to this peer.
    fn forget(&mut self, peer: Pid);

    /// These are the keys from now on: who has none of them comes in no more, and what comes on the
    /// connections that are there is [unknown](Speaker::Unknown).
    ///
    /// # Errors
    ///
    /// When nothing can come in any more.
    fn handle_keys(&mut self, _keys: &Keyring) -> io::Result<()> {
        Ok(())
    }

    /// To be called instead of [`wait`](Self::wait) by whoever does not wait, so that connections
    /// that ask meanwhile are noticed.
    fn rearm(&mut self);
}

/// Ends the [wait](Inlet::wait) of an inlet, from another thread.
pub(crate) trait Waker: Send {
    /// A wait that has begun ends, or else the next one ends at once.
    fn wake(&self);
}

/// That nobody listens where a peer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) peer: Pid,
    /// How long ago its side closed the connection.
    pub(crate) refused_for: Duration,
}

/// Why an attempt to connect to a peer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionFailure {
    /// Nobody listens there.
    Refused,
    /// Nobody answers.
    Unanswered,
    /// Who answers does not greet as the peer would.
    Handshake,
}

impl ConnectionFailure {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;
}

/// What a lookup has found: the addresses of a peer whose url has a name.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) peer: Pid,
    /// Which lookups these are: the peer may have had another name before.
    pub(crate) lookups: u64,
    /// There is at least one.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What came in.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) frame: Result<Frame, DecodeError>,
    pub(crate) speaker: Speaker,
}

/// Who sent a frame, as far as the transport knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The cluster has no keys: whoever it says.
    Unproven,
    /// The peer whose key it has.
    Proven(Pid, PublicKey),
    /// Somebody who was not to get this far.
    Unknown,
}

/// What became of a connection that wanted to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted,
    Refused { reason: Rejection, address: Option<IpAddr> },
}
