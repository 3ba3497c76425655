//! The way to a peer whose url has a host name.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::candidates::Candidates;
use super::outlet::ZmqOutlet;
use super::resolver::Lookups;
use crate::frame::Frame;
use crate::key::{Keyring, PublicKey};
use crate::trace;
use crate::transport::{Outlet, Resolved};

/// How long it takes until a socket is asked for again, when the process had no room for another.
const NO_SOCKET: Duration = Duration::from_secs(1);

/// Makes the way to an address, with these keys.
type Connect = Box<dyn Fn(String, Keys, Duration) -> io::Result<ZmqOutlet> + Send>;

type Keys = Option<Arc<Keyring>>;

/// The way to a peer that is listed by a name. libzmq never sees the name: it is given one address
/// after the other, until the peer answers at one.
///
/// ```text
///                 addresses
///   no address ──────────────► connected ◄──┐
///   (frames are lost)              │        │ next address, and another lookup
///                                  └────────┘
///         stuck, or nothing was confirmed yet at an address that the name has no more
/// ```
///
/// A connection that serves is left alone, whatever DNS says: it may well leave out some of the
/// addresses each time.
pub(crate) struct NamedOutlet {
    way: Option<ZmqOutlet>,
    connect: Connect,
    keys: Keys,
    candidates: Candidates,
    lookups: Lookups,
    /// When the connection was made, or at least tried.
    renewed: Option<Duration>,
}

impl NamedOutlet {
    /// The way to the peer whose name these lookups look up. `connect` makes the way to the
    /// numeric url it is given, with the keys and at the time it is given.
    pub(crate) fn new(
        lookups: Lookups,
        keys: Keys,
        connect: impl Fn(String, Keys, Duration) -> io::Result<ZmqOutlet> + Send + 'static,
    ) -> Self {
        let candidates = Candidates::default();
        Self { way: None, connect: Box::new(connect), keys, candidates, lookups, renewed: None }
    }
}

impl Outlet for NamedOutlet {
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        self.way.as_mut().map_or(Ok(()), |way| way.send(frame))
    }

    fn stuck_at(&self, evidence: Duration) -> Option<Duration> {
        self.lookups.begin();
        if self.candidates.is_empty() {
            return None;
        }
        let Some(renewed) = self.renewed else { return Some(Duration::ZERO) };
        let Some(way) = &self.way else { return Some(renewed + NO_SOCKET) };
        if self.candidates.is_stale() && evidence <= renewed {
            return Some(renewed);
        }
        way.stuck_at(evidence)
    }

    fn renew(&mut self, evidence: Duration, now: Duration) -> bool {
        let before = self.candidates.current();
        let Some(address) = self.candidates.advance() else { return false };
        trace::address(self.lookups.peer, address);
        self.renewed = Some(now);
        let url = format!("tcp://{address}");
        if let Some(way) = &mut self.way {
            self.lookups.request();
            way.redirect(url);
            // Another address is another way: what the last one did not bring says nothing of it.
            return way.renew(if before == Some(address) { evidence } else { now }, now);
        }
        match (self.connect)(url, self.keys.clone(), now) {
            Ok(way) => self.way = Some(way),
            Err(error) => trace::no_socket(self.lookups.peer, &error),
        }
        false
    }

    fn handle_addresses(&mut self, resolved: &Resolved) {
        if resolved.lookups == self.lookups.id {
            self.candidates.update(&resolved.addresses);
        }
    }

    fn take_failed_lookups(&self) -> u64 {
        self.lookups.take_failed()
    }

    fn handle_keys(&mut self, keys: &Arc<Keyring>) -> bool {
        self.keys = Some(Arc::clone(keys));
        self.way.as_mut().is_some_and(|way| way.handle_keys(keys))
    }

    fn handle_proof(&mut self, key: PublicKey) -> bool {
        self.way.as_mut().is_some_and(|way| way.handle_proof(key))
    }

    fn handle_pause(&mut self, pause: Duration) {
        self.renewed = self.renewed.map(|renewed| renewed + pause);
        if let Some(way) = &mut self.way {
            way.handle_pause(pause);
        }
    }

    fn close(self: Box<Self>, linger: Duration) {
        if let Some(way) = self.way {
            Box::new(way).close(linger);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::envelope::Pid;
    use crate::transport::zmq::{Contexts, Destination, Resolver, monitors};

    const HEARTBEAT: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(3);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn addresses(hosts: &[u8]) -> Resolved {
        let address = |host: &u8| SocketAddr::from(([127, 0, 0, *host], 1));
        let addresses = hosts.iter().map(address).collect();
        Resolved { peer: Pid::new(2), lookups: 0, addresses }
    }

    /// One whose lookups go nowhere, since the test tells it what to know.
    fn outlet() -> NamedOutlet {
        let home = Contexts::new().home();
        let connect = move |url, keys, now| {
            let (registry, _) = monitors(1);
            let (peer, home) = (Pid::new(2), home.clone());
            let destination = Destination { peer, home, url, keys, max_held: 1, registry };
            ZmqOutlet::connect(destination, HEARTBEAT, 5 * HEARTBEAT, now)
        };
        let (resolver, _) = Resolver::new(1);
        let lookups = resolver.look_up(Pid::new(2), "localhost:1").unwrap();
        NamedOutlet::new(lookups, None, connect)
    }

    #[test]
    fn it_waits_for_an_address_and_then_connects_at_once() {
        let mut outlet = outlet();
        assert_eq!(outlet.stuck_at(at(0)), None);
        outlet.renew(at(0), at(10));
        assert!(outlet.way.is_none());
        outlet.handle_addresses(&addresses(&[2]));
        assert_eq!(outlet.stuck_at(at(0)), Some(at(0)));
        outlet.renew(at(0), at(20));
        assert!(outlet.way.is_some());
        assert_eq!(outlet.stuck_at(at(0)), Some(at(20) + PATIENCE));
    }

    #[test]
    fn a_connection_that_serves_is_left_alone_whatever_dns_says() {
        let mut outlet = outlet();
        outlet.handle_addresses(&addresses(&[2]));
        outlet.renew(at(0), at(20));
        outlet.handle_addresses(&addresses(&[3]));
        assert_eq!(outlet.stuck_at(at(21)), Some(at(21) + PATIENCE));
    }

    #[test]
    fn what_was_found_for_the_name_before_is_none_of_its_addresses() {
        let mut outlet = outlet();
        outlet.handle_addresses(&Resolved { lookups: 1, ..addresses(&[2]) });
        assert_eq!(outlet.stuck_at(at(0)), None);
    }

    #[test]
    fn one_that_does_not_serve_yet_is_given_up_for_an_address_that_is_the_peers() {
        let mut outlet = outlet();
        outlet.handle_addresses(&addresses(&[2]));
        outlet.renew(at(0), at(20));
        outlet.handle_addresses(&addresses(&[2, 3]));
        assert_eq!(outlet.stuck_at(at(5)), Some(at(20) + PATIENCE));
        outlet.handle_addresses(&addresses(&[3]));
        assert_eq!(outlet.stuck_at(at(5)), Some(at(20)));
        outlet.renew(at(0), at(30));
        assert_eq!(outlet.stuck_at(at(5)), Some(at(30) + PATIENCE));
    }

    #[test]
    fn without_a_socket_it_tries_again_but_not_all_the_time() {
        let lookups = outlet().lookups;
        let connect = |_, _, _| Err(io::ErrorKind::OutOfMemory.into());
        let mut outlet = NamedOutlet::new(lookups, None, connect);
        outlet.handle_addresses(&addresses(&[2]));
        outlet.renew(at(0), at(20));
        assert_eq!(outlet.stuck_at(at(0)), Some(at(20) + NO_SOCKET));
        outlet.handle_pause(at(7));
        assert_eq!(outlet.stuck_at(at(0)), Some(at(27) + NO_SOCKET));
    }
}
