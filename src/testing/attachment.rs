//! What a network gives to one server: its address, and the ways to its peers.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{AddressId, ConnectionId, Ends, ListenerId};
use super::keeper::Keeper;
use crate::envelope::Pid;
use crate::key::Keyring;
use crate::link::Limits;
use crate::server::StartError;
use crate::server::routes::{Access, Routes};
use crate::transport::Outlet;
use crate::transport::memory::{Arrivals, Line, MemoryInlet, MemoryOutlet, Sent};

/// Listens at a url of the network, as server `own`.
pub(super) fn listen(
    keeper: &Arc<Keeper>,
    own: Pid,
    url: &str,
    limits: Limits,
) -> io::Result<Access> {
    keeper.start()?;
    let (inlet, waker, arrivals) = MemoryInlet::new();
    let (address, listener) = keeper.with(|state, now| {
        let address = state.address(url);
        state.bind(address, arrivals.clone(), now).map(|listener| (address, listener))
    })?;
    let address = Address { keeper: Arc::clone(keeper), address, listener };
    Ok(Access {
        routes: Box::new(NetworkRoutes { keeper: Arc::clone(keeper), own, arrivals, limits }),
        inlet: Box::new(inlet.listening_at(address)),
        waker: Box::new(waker),
        resolved: crossbeam_channel::never(),
    })
}

/// The address of a server, as long as it listens there.
struct Address {
    keeper: Arc<Keeper>,
    address: AddressId,
    listener: ListenerId,
}

impl Drop for Address {
    fn drop(&mut self) {
        self.keeper.with(|state, now| state.unbind(self.address, self.listener, now));
    }
}

/// The ways over a network.
struct NetworkRoutes {
    keeper: Arc<Keeper>,
    own: Pid,
    arrivals: Arrivals,
    limits: Limits,
}

impl Routes for NetworkRoutes {
    fn to(
        &self,
        peer: Pid,
        url: &str,
        _keys: Option<&Arc<Keyring>>,
        now: Duration,
    ) -> io::Result<Box<dyn Outlet>> {
        let Limits { heartbeat, peer_timeout, .. } = self.limits;
        let id = self.keeper.with(|state, now| {
            let address = state.address(url);
            let (route, owner) = ((self.own, peer), self.arrivals.clone());
            let max_held = self.limits.max_held();
            state.open(Ends { route, address, owner, max_held }, now)
        });
        let way = Way { keeper: Arc::clone(&self.keeper), id };
        Ok(Box::new(MemoryOutlet::over(Box::new(way), heartbeat, peer_timeout, now)))
    }

    fn expect(&self, _peers: usize) {}

    /// Nothing is encrypted here, so any libzmq will do.
    fn check_keys(&self) -> Result<(), StartError> {
        Ok(())
    }
}

/// The way to a peer.
struct Way {
    keeper: Arc<Keeper>,
    id: ConnectionId,
}

impl Line for Way {
    fn take(&mut self, sent: Sent) -> io::Result<()> {
        self.keeper.with(|state, now| match sent {
            Sent::Frame(frame) => state.send(self.id, frame, now),
            Sent::Renewed => state.replace(self.id, now),
        });
        Ok(())
    }

    fn close(&mut self, linger: Duration) {
        self.close_after(|now| now + linger);
    }
}

impl Way {
    fn close_after(&self, until: impl FnOnce(Instant) -> Instant) {
        self.keeper.with(|state, now| state.close(self.id, until(now), now));
    }
}

impl Drop for Way {
    /// One that was closed before stays closed as it was.
    fn drop(&mut self) {
        self.close_after(|now| now);
    }
}
