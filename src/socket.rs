//! The libzmq sockets: the only room that names `zmq`.
//!
//! A server has one [`Inlet`], bound to its url, and one [`Outlet`] for each peer. Both are anonymous
//! DEALERs that carry in one direction only: who speaks is told by the frames and, where the cluster has
//! keys, proven by libzmq's own security, CURVE. The inlet is its server and the outlets are its clients.

mod door;
mod ear;
mod libzmq;
mod memory;
mod wake_up;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::Pid;
use crate::frame::Frame;
use crate::key::{Keyring, SecretKey};
use crate::wire::{self, HEADER_LEN};
use door::Door;
use ear::{Ear, next_part};

pub(crate) use door::Visitor;
pub use libzmq::{Libzmq, libzmq};
pub(crate) use wake_up::{Alarm, Bell, Signal, wake_up_line};

/// How long libzmq waits before it tries to connect again, in milliseconds: at first, and at most, as it
/// waits longer each time.
const RECONNECT_MS: i32 = 10;
const RECONNECT_MAX_MS: i32 = 200;

/// How long one attempt to connect may last, in milliseconds: after a partition the kernel's own
/// attempts are many seconds apart.
const CONNECT_MS: i32 = 1_000;

/// How long a connection may take to introduce itself, in milliseconds.
const HANDSHAKE_MS: i32 = 5_000;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// How many messages wait to be sent to one peer. For a peer that reads nothing, and again and again asks
/// for all there is, they would pile up without end.
const SEND_AHEAD: u16 = 1 << 15;

/// How many messages libzmq reads ahead for each connection.
const READ_AHEAD: i32 = 256;

/// When the kernel asks whether a silent connection still lives, in seconds, and how often: the far
/// side of a partition never says so itself.
const KEEPALIVE_IDLE_S: i32 = 30;
const KEEPALIVE_INTERVAL_S: i32 = 10;
const KEEPALIVE_PROBES: i32 = 3;

/// Where the sockets of one server live.
#[derive(Clone)]
pub(crate) struct Context(zmq::Context);

impl Context {
    pub(crate) fn new() -> Self {
        memory::keep();
        Self(zmq::Context::new())
    }
}

/// Where a peer is found, and how to tell that it is the peer.
pub(crate) struct Destination {
    pub(crate) peer: Pid,
    pub(crate) url: String,
    pub(crate) keys: Option<Arc<Keyring>>,
}

/// The way to one peer.
pub(crate) struct Outlet {
    socket: zmq::Socket,
    /// How many messages it was given.
    given: u64,
}

impl Outlet {
    /// Makes a socket that connects to the peer in the background, and again whenever it has to.
    pub(crate) fn connect(context: &Context, to: &Destination) -> io::Result<Self> {
        let url = &to.url;
        let socket = context.0.socket(zmq::DEALER)?;
        socket.set_sndhwm(SEND_AHEAD.into())?;
        socket.set_linger(0)?;
        socket.set_ipv6(is_ipv6(url))?;
        socket.set_reconnect_ivl(RECONNECT_MS)?;
        socket.set_reconnect_ivl_max(RECONNECT_MAX_MS)?;
        socket.set_connect_timeout(CONNECT_MS)?;
        socket.set_handshake_ivl(HANDSHAKE_MS)?;
        keep_alive(&socket)?;
        if let Some(keys) = &to.keys {
            let expected = keys.peers.get(&to.peer).ok_or(io::ErrorKind::NotFound)?;
            socket.set_curve_serverkey(expected.as_bytes())?;
            socket.set_curve_publickey(keys.secret.public_key().as_bytes())?;
            set_secret(&socket, &keys.secret)?;
        }
        socket.connect(url)?;
        Ok(Self { socket, given: 0 })
    }

    /// Hands a frame to libzmq, which shares its body instead of copying it. One that finds
    /// [too many](SEND_AHEAD) before it is lost, as with a connection that breaks: the peer will miss it.
    pub(crate) fn send(&mut self, frame: Frame) -> io::Result<()> {
        let header = wire::encode_header(&frame.header, &frame.payload);
        let body = frame.payload.into_body();
        let more = if body.is_empty() { 0 } else { zmq::SNDMORE };
        match self.socket.send(&header[..], zmq::DONTWAIT | more) {
            // A socket that takes nothing although it cannot be full is of no use any more.
            Err(zmq::Error::EAGAIN) if self.given >= SEND_AHEAD.into() => return Ok(()),
            sent => sent?,
        }
        if !body.is_empty() {
            shared::send(&mut self.socket, body)?;
        }
        self.given += 1;
        Ok(())
    }

    /// Closes the socket, which for this long goes on sending what it was given.
    pub(crate) fn close(self, linger: Duration) {
        let millis = i32::try_from(linger.as_millis()).unwrap_or(i32::MAX);
        // Without it the socket keeps the linger time it was made with: none.
        let _ = self.socket.set_linger(millis);
    }
}

/// Where everything comes in.
pub(crate) struct Inlet {
    socket: zmq::Socket,
    door: Door,
    security: Security,
}

/// Whether the cluster has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    None,
    Curve,
}

/// One message as it came in.
pub(crate) struct Received {
    header: zmq::Message,
    pub(crate) body: Bytes,
    pub(crate) parts: Parts,
    pub(crate) speaker: Speaker,
}

/// Who sent a message, as far as libzmq knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The cluster has no keys: whoever it says.
    Unproven,
    /// The peer whose key it has.
    Proven(Pid),
    /// Somebody who was not to get this far.
    Unknown,
}

/// How many parts a message had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    OneOrTwo,
    More,
}

impl Received {
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Where it came from, if not from this machine by another way than TCP.
    pub(crate) fn address(&mut self) -> Option<IpAddr> {
        self.header.gets("Peer-Address").and_then(door::parse_address)
    }
}

impl Inlet {
    /// Listens on `url` for messages whose parts are no larger than `largest` bytes, from whoever has
    /// one of the keys, if there are any.
    pub(crate) fn bind(
        context: &Context,
        url: &str,
        largest: usize,
        keys: Option<&Keyring>,
    ) -> io::Result<Self> {
        let socket = context.0.socket(zmq::DEALER)?;
        socket.set_rcvhwm(READ_AHEAD)?;
        socket.set_linger(0)?;
        socket.set_ipv6(is_ipv6(url))?;
        socket.set_handshake_ivl(HANDSHAKE_MS)?;
        socket.set_backlog(BACKLOG)?;
        socket.set_maxmsgsize(i64::try_from(largest.max(HEADER_LEN)).unwrap_or(i64::MAX))?;
        keep_alive(&socket)?;
        let mut guests = HashMap::new();
        if let Some(keys) = keys {
            socket.set_curve_server(true)?;
            set_secret(&socket, &keys.secret)?;
            guests.extend(keys.peers.iter().map(|(pid, key)| (*key, *pid)));
        }
        let door = Door::new(context, &socket, guests)?;
        bind(&socket, url)?;
        let security = if keys.is_some() { Security::Curve } else { Security::None };
        Ok(Self { socket, door, security })
    }

    /// Attends to the next one who wants to come in, if there is one.
    pub(crate) fn attend_door(&mut self) -> io::Result<Option<Visitor>> {
        self.door.attend()
    }

    /// The next message that has come in, if any.
    pub(crate) fn receive(&self) -> io::Result<Option<Received>> {
        let mut header = match self.socket.recv_msg(zmq::DONTWAIT) {
            Ok(header) => header,
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut more = header.get_more();
        let body = if more {
            let body = next_part(&self.socket)?;
            more = body.get_more();
            shared::into_bytes(body)
        } else {
            Bytes::new()
        };
        let parts = if more { Parts::More } else { Parts::OneOrTwo };
        while more {
            more = next_part(&self.socket)?.get_more();
        }
        let speaker = match self.security {
            Security::None => Speaker::Unproven,
            Security::Curve => speaker(&mut header),
        };
        Ok(Some(Received { header, body, parts, speaker }))
    }

    /// Waits until something has come in, somebody is at the door, the alarm rings, or the time is over,
    /// if there is one.
    ///
    /// To be called when [`receive`](Self::receive) has found nothing: only then do the file descriptors
    /// of the sockets, on which this waits since that takes one system call instead of five, show what
    /// comes next.
    pub(crate) fn wait(&mut self, alarm: &mut Alarm, timeout: Option<Duration>) -> io::Result<()> {
        let [knocks, failures] = self.door.ears();
        let ears = [&mut alarm.0, knocks, failures];
        let mut items = [
            ears[0].poll_item()?,
            ears[1].poll_item()?,
            ears[2].poll_item()?,
            zmq::PollItem::from_fd(self.socket.get_fd()?, zmq::POLLIN),
        ];
        match zmq::poll(&mut items, timeout.map_or(-1, whole_millis)) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (ear, item) in ears.into_iter().zip(&items) {
            if item.is_readable() {
                ear.prick_up();
            }
        }
        Ok(())
    }

    /// Has whoever comes next be noticed, although [`wait`](Self::wait) was not there to tell whether it
    /// is worth to listen.
    pub(crate) fn prick_up(&mut self, alarm: &mut Alarm) {
        let [knocks, failures] = self.door.ears();
        [&mut alarm.0, knocks, failures].into_iter().for_each(Ear::prick_up);
    }
}

/// Whose key the connection has that a message came on.
fn speaker(message: &mut zmq::Message) -> Speaker {
    let pid = message.gets("User-Id").and_then(|user| user.parse().ok());
    pid.map_or(Speaker::Unknown, Speaker::Proven)
}

fn set_secret(socket: &zmq::Socket, secret: &SecretKey) -> io::Result<()> {
    Ok(socket.set_curve_secretkey(secret.as_bytes())?)
}

/// `timeout` in milliseconds, rounded up, so that nobody wakes before it is over.
fn whole_millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn keep_alive(socket: &zmq::Socket) -> io::Result<()> {
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(KEEPALIVE_IDLE_S)?;
    socket.set_tcp_keepalive_intvl(KEEPALIVE_INTERVAL_S)?;
    socket.set_tcp_keepalive_cnt(KEEPALIVE_PROBES)?;
    Ok(())
}

fn is_ipv6(url: &str) -> bool {
    url.starts_with("tcp://[")
}

/// Binds to `url`. libzmq binds to addresses only: a host name is looked up here.
fn bind(socket: &zmq::Socket, url: &str) -> io::Result<()> {
    let host_and_port = url.strip_prefix("tcp://").unwrap_or_default();
    let host = host_and_port.rsplit_once(':').map_or("", |(host, _)| host);
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    if host.is_empty() || is_address {
        return Ok(socket.bind(url)?);
    }
    let addresses = host_and_port.to_socket_addrs()?.filter(SocketAddr::is_ipv4);
    let mut result = Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("the host name {host} has no IPv4 address"),
    ));
    for address in addresses {
        match socket.bind(&format!("tcp://{address}")) {
            Ok(()) => return Ok(()),
            Err(error) => result = Err(error.into()),
        }
    }
    result
}

/// Bytes that Rust and libzmq own together.
mod shared {
    use std::ffi::c_void;
    use std::io;
    use std::panic::{self, AssertUnwindSafe};

    use bytes::Bytes;

    /// How many bytes libzmq reads at once. A message that came as part of them keeps them all.
    const READ: usize = 8 * 1024;

    /// A received message as `Bytes`: without a copy, unless it is small. Else one that waits for the
    /// application would keep whatever came with it, of which the window knows nothing.
    pub(super) fn into_bytes(message: zmq::Message) -> Bytes {
        struct Owner(zmq::Message);

        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        if message.len() < READ {
            return Bytes::copy_from_slice(&message);
        }
        Bytes::from_owner(Owner(message))
    }

    /// Sends `body` as the last part of a message, without a copy.
    #[allow(unsafe_code, reason = "libzmq takes shared memory through its C interface alone")]
    pub(super) fn send(socket: &mut zmq::Socket, body: Bytes) -> io::Result<()> {
        let (data, len) = (body.as_ptr(), body.len());
        let hint = Box::into_raw(Box::new(body));
        let mut message = zmq_sys::zmq_msg_t::default();
        // SAFETY: `data` points to `len` bytes that neither move nor change while the `Bytes` in `hint` is
        // alive, wherever that is, and libzmq only reads them, since the message is sent. Once the init
        // has succeeded the message owns `hint`: libzmq calls `release` when it drops its last reference
        // to the message, once, on this thread or one of its own, and at the latest when it closes the
        // socket or ends the context; if the process ends first, never. However late that is, the box
        // borrows nothing, `Bytes` is `Send`, and `release` touches neither socket nor context. `message`
        // stays where it is from the init to the send, which empties it. When a call fails nothing else
        // owns `hint` (a failed init) or the message (a failed send), and it is let go of here.
        unsafe {
            let data = data.cast_mut().cast::<c_void>();
            let rc = zmq_sys::zmq_msg_init_data(
                &mut message,
                data,
                len,
                Some(release),
                hint.cast::<c_void>(),
            );
            if rc == -1 {
                let error = io::Error::last_os_error();
                drop(Box::from_raw(hint));
                return Err(error);
            }
            if zmq_sys::zmq_msg_send(&mut message, socket.as_mut_ptr(), zmq::DONTWAIT) == -1 {
                let error = io::Error::last_os_error();
                zmq_sys::zmq_msg_close(&mut message);
                return Err(error);
            }
        }
        Ok(())
    }

    #[allow(unsafe_code, reason = "the other half of `send`")]
    unsafe extern "C" fn release(_data: *mut c_void, hint: *mut c_void) {
        // SAFETY: `hint` is the box that `send` made, and libzmq calls this once.
        let body = unsafe { Box::from_raw(hint.cast::<Bytes>()) };
        // The application may own these bytes, and its `Drop` may panic: not across C.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(body)));
    }
}
