//! The transport over libzmq: the only room that names `zmq`.
//!
//! A server has one [`ZmqInlet`], bound to its url, and one [`ZmqOutlet`] for each peer. Both are
//! anonymous DEALERs that carry in one direction only: who speaks is told by the frames and, where
//! the cluster has keys, proven by libzmq's own security, CURVE. The inlet is its server and the
//! outlets are its clients.

mod allocator;
mod attempts;
mod candidates;
mod held;
mod inlet;
mod monitor;
mod named_outlet;
mod outlet;
mod path_lock;
mod readiness;
mod resolver;
mod shared;
mod source;
mod version;
mod waker;
mod zap;

pub(crate) use inlet::ZmqInlet;
pub(crate) use monitor::{Registry, monitors};
pub(crate) use named_outlet::NamedOutlet;
pub(crate) use outlet::{Destination, ZmqOutlet};
pub(crate) use resolver::{Resolver, named_host};
pub use version::{Libzmq, libzmq};

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::key::SecretKey;

/// How long a connection may take to introduce itself, in milliseconds.
const HANDSHAKE_MS: i32 = 5_000;

/// When the kernel asks whether a silent connection still lives, in seconds, and how often: the far
/// side of a partition never says so itself.
const KEEPALIVE_IDLE_S: i32 = 30;
const KEEPALIVE_INTERVAL_S: i32 = 10;
const KEEPALIVE_PROBES: i32 = 3;

/// How many peers have their sockets in one context of libzmq. That has room for 1,023 sockets,
/// which the crate `zmq` cannot change: three for each peer, and four more while a connection is
/// replaced.
const PEERS_IN_ONE: usize = 128;

/// Where the sockets of one server live: as many contexts as its peers need.
#[derive(Clone)]
pub(crate) struct Contexts(Arc<Mutex<Vec<Home>>>);

/// The context in which the sockets for one peer live, or those for all that comes in. Who has it
/// counts there.
#[derive(Clone)]
pub(crate) struct Home {
    context: zmq::Context,
    count: Arc<()>,
}

impl Contexts {
    pub(crate) fn new() -> Self {
        allocator::keep_freed_memory();
        Self(Arc::default())
    }

    /// One that has room for the sockets of a further peer.
    pub(crate) fn home(&self) -> Home {
        let mut homes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |home: &&Home| Arc::strong_count(&home.count) <= PEERS_IN_ONE;
        if let Some(home) = homes.iter().find(has_room) {
            return home.clone();
        }
        let home = Home { context: zmq::Context::new(), count: Arc::default() };
        homes.push(home.clone());
        home
    }
}

impl Home {
    fn socket(&self, kind: zmq::SocketType) -> io::Result<zmq::Socket> {
        Ok(self.context.socket(kind)?)
    }
}

/// `timeout` in milliseconds, rounded up, so that nobody wakes before it is over.
fn whole_millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn set_secret(socket: &zmq::Socket, secret: &SecretKey) -> io::Result<()> {
    Ok(socket.set_curve_secretkey(secret.as_bytes())?)
}

/// Sets what the sockets of both directions have in common.
fn set_common(socket: &zmq::Socket, url: &str) -> io::Result<()> {
    socket.set_linger(0)?;
    socket.set_ipv6(url.starts_with("tcp://["))?;
    socket.set_handshake_ivl(HANDSHAKE_MS)?;
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(KEEPALIVE_IDLE_S)?;
    socket.set_tcp_keepalive_intvl(KEEPALIVE_INTERVAL_S)?;
    socket.set_tcp_keepalive_cnt(KEEPALIVE_PROBES)?;
    Ok(())
}
