//! The way to one peer, over libzmq.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::held::Held;
use super::monitor::{Monitor, Registry};
use super::source::with_source;
use super::{Home, set_common, set_secret, shared};
use crate::envelope::Pid;
use crate::frame::Frame;
use crate::key::{Keyring, PublicKey};
use crate::trace;
use crate::transport::Outlet;
use crate::transport::renewal::Renewal;
use crate::wire;

/// How long libzmq waits before it tries to connect again, in milliseconds: at first, and at most,
/// as it waits longer each time.
const RECONNECT_MS: i32 = 10;
const RECONNECT_MAX_MS: i32 = 200;

/// How long one attempt to connect may last, in milliseconds: after a partition the kernel's own
/// attempts are many seconds apart.
pub(super) const CONNECT_MS: i32 = 1_000;

/// How many messages wait to be sent to one peer. For a peer that reads nothing, and again and
/// again asks for all there is, they would pile up without end. The bodies are bounded in bytes
/// besides, by [`Held`]; so this bounds the headers, of [`HEADER_LEN`](wire::HEADER_LEN) bytes each.
const SEND_AHEAD: u16 = 1 << 15;

/// The largest part that may come back on the way to a peer, in bytes: more than any command of a
/// handshake has.
const LARGEST_ANSWER: i64 = 4_096;

/// Where a peer is found, and how to tell that it is the peer.
pub(crate) struct Destination {
    pub(crate) peer: Pid,
    pub(crate) home: Home,
    pub(crate) url: String,
    pub(crate) keys: Option<Arc<Keyring>>,
    /// How many bytes of bodies may wait in libzmq to be sent there, unless it is a single body.
    pub(crate) max_held: usize,
    /// Where to hand over the monitors.
    pub(crate) registry: Registry,
}

/// A socket that connects to the peer, and its monitor, if there is room for one.
struct Connection {
    socket: zmq::Socket,
    monitor: Option<Monitor>,
    keys: Option<Proofs>,
}

/// Which keys a connection goes by: that of this server, and the one that the peer is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proofs {
    own: PublicKey,
    expected: PublicKey,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor.take() {
            monitor.stop(&self.socket);
        }
    }
}

/// The way to one peer: a socket, and all it takes to replace it.
pub(crate) struct ZmqOutlet {
    destination: Destination,
    /// The key that the peer has proved to have, unless the connection expects that.
    expected: Option<PublicKey>,
    connection: Connection,
    /// How many messages the socket was given.
    given: u64,
    held: Held,
    renewal: Renewal,
}

impl ZmqOutlet {
    /// Makes a socket that connects to the peer in the background, and again whenever it has to.
    pub(crate) fn connect(
        destination: Destination,
        heartbeat: Duration,
        peer_timeout: Duration,
        now: Duration,
    ) -> io::Result<Self> {
        let connection = connect(&destination, None)?;
        let renewal = Renewal::new(heartbeat, peer_timeout, now);
        let held = Held::new(destination.max_held);
        Ok(Self { destination, expected: None, connection, given: 0, held, renewal })
    }

    /// The keys that the peer may have.
    fn listed(&self) -> &[PublicKey] {
        self.destination.keys.as_ref().map_or(&[], |keys| keys.of(self.destination.peer))
    }

    /// The key that the next connection expects the peer to have: another one, if this one may not be
    /// what it has.
    fn next_expected(&self, evidence: Duration) -> Option<PublicKey> {
        let expected = self.connection.keys?.expected;
        let at = self.listed().iter().position(|key| *key == expected)?;
        let next = at + usize::from(self.renewal.is_unconfirmed(evidence));
        self.listed().iter().cycle().nth(next).copied()
    }

    /// Whether something has come in, which no peer sends on this way: the socket is connected to
    /// itself, or to somebody else.
    fn is_astray(&self) -> bool {
        self.connection.socket.get_events().is_ok_and(|events| events.contains(zmq::POLLIN))
    }

    /// Has the next connection go to this url.
    pub(super) fn redirect(&mut self, url: String) {
        self.destination.url = url;
    }
}

impl Outlet for ZmqOutlet {
    /// libzmq shares the body of the frame instead of copying it. A frame that finds
    /// [too many](SEND_AHEAD) or [too much](Held) before it is lost.
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        let header = wire::encode_header(&frame.header, &frame.payload);
        let body = frame.payload.into_body();
        if !body.is_empty() && !self.held.admits(body.len()) {
            return Ok(());
        }
        let more = if body.is_empty() { 0 } else { zmq::SNDMORE };
        match self.connection.socket.send(&header[..], zmq::DONTWAIT | more) {
            // A socket that takes nothing although it cannot be full is of no use any more.
            Err(zmq::Error::EAGAIN) if self.given >= SEND_AHEAD.into() => return Ok(()),
            sent => sent?,
        }
        if !body.is_empty() {
            shared::send(&mut self.connection.socket, body, &self.held)?;
        }
        self.given += 1;
        Ok(())
    }

    fn stuck_at(&self, evidence: Duration) -> Option<Duration> {
        if self.renewal.is_unconfirmed(evidence) && self.is_astray() {
            return Some(self.renewal.due_soon());
        }
        Some(self.renewal.due(evidence))
    }

    /// When the process has no room for another socket, the old one has to do until the next time.
    fn renew(&mut self, evidence: Duration, now: Duration) -> bool {
        let expected = self.expected.take().or_else(|| self.next_expected(evidence));
        let connection = connect(&self.destination, expected);
        self.renewal.handle_renewal(evidence, now);
        match connection {
            Ok(connection) => {
                self.connection = connection;
                self.given = 0;
                self.held = Held::new(self.destination.max_held);
                true
            }
            Err(error) => {
                trace::no_socket(self.destination.peer, &error);
                false
            }
        }
    }

    /// A connection goes on that needs no other keys than before.
    fn handle_keys(&mut self, keys: &Arc<Keyring>) -> bool {
        self.destination.keys = Some(Arc::clone(keys));
        let own = keys.secret.public_key();
        let goes_on = |used: Proofs| used.own == own && self.listed().contains(&used.expected);
        !self.connection.keys.is_some_and(goes_on)
    }

    fn handle_proof(&mut self, key: PublicKey) -> bool {
        let other = self.connection.keys.is_some_and(|used| used.expected != key);
        if other && self.listed().contains(&key) {
            self.expected = Some(key);
            return true;
        }
        false
    }

    fn handle_pause(&mut self, pause: Duration) {
        self.renewal.handle_pause(pause);
    }

    fn close(self: Box<Self>, linger: Duration) {
        let millis = i32::try_from(linger.as_millis()).unwrap_or(i32::MAX);
        // Without it the socket keeps the linger time it was made with: none.
        let _ = self.connection.socket.set_linger(millis);
    }
}

/// Connects to the peer, which is to have this one of its keys, or else the first.
fn connect(to: &Destination, expected: Option<PublicKey>) -> io::Result<Connection> {
    let socket = to.home.socket(zmq::DEALER)?;
    set_common(&socket, &to.url)?;
    socket.set_sndhwm(SEND_AHEAD.into())?;
    // Nobody reads here, and a peer sends nothing this way: whoever does must fill no memory.
    socket.set_rcvhwm(1)?;
    socket.set_maxmsgsize(LARGEST_ANSWER)?;
    socket.set_reconnect_ivl(RECONNECT_MS)?;
    socket.set_reconnect_ivl_max(RECONNECT_MAX_MS)?;
    socket.set_connect_timeout(CONNECT_MS)?;
    let mut proofs = None;
    if let Some(keys) = &to.keys {
        let listed = keys.of(to.peer);
        let expected = expected.filter(|key| listed.contains(key));
        let expected = expected.or(listed.first().copied()).ok_or(io::ErrorKind::NotFound)?;
        let own = keys.secret.public_key();
        socket.set_curve_serverkey(expected.as_bytes())?;
        socket.set_curve_publickey(own.as_bytes())?;
        set_secret(&socket, &keys.secret)?;
        proofs = Some(Proofs { own, expected });
    }
    let monitor = to.registry.monitor(&to.home, &socket, to.peer, &to.url).ok();
    let connection = Connection { socket, monitor, keys: proofs };
    connection.socket.connect(&with_source(&to.url))?;
    Ok(connection)
}
