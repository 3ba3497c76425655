//! The way to a peer whose url has a host name.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::candidates::Candidates;
use super::outlet::ZmqOutlet;
use super::resolver::Lookups;
use crate::frame::Frame;
use crate::transport::Outlet;

/// How long it takes until a socket is asked for again, when the process had no room for another.
const NO_SOCKET: Duration = Duration::from_secs(1);

/// Makes the way to an address.
type Connect = Box<dyn Fn(String, Duration) -> io::Result<ZmqOutlet> + Send>;

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
    candidates: Candidates,
    lookups: Lookups,
    /// When the connection was made, or at least tried.
    renewed: Option<Duration>,
}

impl NamedOutlet {
    /// The way to the peer whose name these lookups look up. `connect` makes the way to the
    /// numeric url it is given, at the time it is given.
    pub(crate) fn new(
        lookups: Lookups,
        connect: impl Fn(String, Duration) -> io::Result<ZmqOutlet> + Send + 'static,
    ) -> Self {
        let candidates = Candidates::default();
        Self { way: None, connect: Box::new(connect), candidates, lookups, renewed: None }
    }
}

impl Outlet for NamedOutlet {
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        self.way.as_mut().map_or(Ok(()), |way| way.send(frame))
    }

    fn stuck_at(&self, confirmed: Duration) -> Option<Duration> {
        if self.candidates.is_empty() {
            return None;
        }
        let Some(renewed) = self.renewed else { return Some(Duration::ZERO) };
        let Some(way) = &self.way else { return Some(renewed + NO_SOCKET) };
        if self.candidates.is_stale() && confirmed <= renewed {
            return Some(renewed);
        }
        way.stuck_at(confirmed)
    }

    fn renew(&mut self, now: Duration) {
        let Some(address) = self.candidates.advance() else { return };
        self.renewed = Some(now);
        let url = format!("tcp://{address}");
        if let Some(way) = &mut self.way {
            self.lookups.request();
            way.redirect(url);
            way.renew(now);
        } else {
            self.way = (self.connect)(url, now).ok();
        }
    }

    fn handle_addresses(&mut self, addresses: &[SocketAddr]) {
        self.candidates.update(addresses);
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
