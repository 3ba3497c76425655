//! The ways to peers, over libzmq.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::envelope::Pid;
use crate::key::Keyring;
use crate::link::Limits;
use crate::transport::Outlet;
use crate::transport::zmq::{
    Contexts, Destination, NamedOutlet, Registry, Resolver, ZmqOutlet, named_host,
};

/// What makes the ways to peers.
pub(crate) struct Routes {
    pub(crate) contexts: Contexts,
    pub(crate) registry: Registry,
    pub(crate) resolver: Resolver,
    pub(crate) limits: Limits,
}

impl Routes {
    /// The way to a peer at this url, which begins to connect.
    pub(crate) fn to(
        &self,
        peer: Pid,
        url: &str,
        keys: Option<&Arc<Keyring>>,
        now: Duration,
    ) -> io::Result<Box<dyn Outlet>> {
        let Limits { window, frames, heartbeat, peer_timeout, .. } = self.limits;
        // Once on its way, and once more after the sender has gone back.
        let max_held = window.saturating_mul(2).saturating_add(frames.max);
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
}
