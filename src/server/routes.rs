//! The ways to peers, and how a server gets at them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::envelope::Pid;
use crate::key::Keyring;
use crate::link::Limits;
use crate::server::{StartError, keyring};
use crate::transport::zmq::{
    Contexts, Destination, NamedOutlet, Registry, Resolver, ZmqInlet, ZmqOutlet, monitors,
    named_host,
};
use crate::transport::{Inlet, Outlet, Resolved, Waker};

/// What makes the ways to peers, at the start and whenever the list changes.
pub(crate) trait Routes: Send + Sync {
    /// The way to a peer at this url, which begins to connect.
    fn to(
        &self,
        peer: Pid,
        url: &str,
        keys: Option<&Arc<Keyring>>,
        now: Duration,
    ) -> io::Result<Box<dyn Outlet>>;

    /// From now on there are so many peers.
    fn expect(&self, peers: usize);

    /// Refuses keys where they could not be used.
    fn check_keys(&self) -> Result<(), StartError>;
}

/// What a transport gives to a server that listens at its url.
pub(crate) struct Access {
    pub(crate) routes: Box<dyn Routes>,
    pub(crate) inlet: Box<dyn Inlet>,
    /// Wakes the inlet.
    pub(crate) waker: Box<dyn Waker>,
    /// What the names of peers stand for.
    pub(crate) resolved: Receiver<Resolved>,
}

impl Access {
    /// Listens over libzmq.
    pub(super) fn over_zmq(
        url: &str,
        keys: Option<&Keyring>,
        limits: Limits,
        peers: usize,
    ) -> io::Result<Self> {
        let contexts = Contexts::new();
        let (registry, monitors) = monitors(peers);
        let (home, max_part) = (contexts.home(), limits.frames.max);
        let (inlet, waker) = ZmqInlet::bind(home, url, max_part, keys, monitors)?;
        let (resolver, resolved) = Resolver::new(peers);
        Ok(Self {
            routes: Box::new(ZmqRoutes { contexts, registry, resolver, limits }),
            inlet: Box::new(inlet),
            waker: Box::new(waker),
            resolved,
        })
    }
}

/// The ways over libzmq.
struct ZmqRoutes {
    contexts: Contexts,
    registry: Registry,
    resolver: Resolver,
    limits: Limits,
}

impl Routes for ZmqRoutes {
    fn to(
        &self,
        peer: Pid,
        url: &str,
        keys: Option<&Arc<Keyring>>,
        now: Duration,
    ) -> io::Result<Box<dyn Outlet>> {
        let Limits { heartbeat, peer_timeout, .. } = self.limits;
        let max_held = self.limits.max_held();
        let (home, registry) = (self.contexts.home(), self.registry.clone());
        let connect = move |url, keys, now| {
            let (home, registry) = (home.clone(), registry.clone());
            let destination = Destination { peer, home, url, keys, max_held, registry };
            ZmqOutlet::connect(destination, heartbeat, peer_timeout, now)
        };
        let keys = keys.cloned();
        let Some(host) = named_host(url) else {
            return Ok(Box::new(connect(url.to_owned(), keys, now)?));
        };
        Ok(Box::new(NamedOutlet::new(self.resolver.look_up(peer, host)?, keys, connect)))
    }

    fn expect(&self, peers: usize) {
        self.registry.expect(peers);
    }

    fn check_keys(&self) -> Result<(), StartError> {
        keyring::require_curve()
    }
}
