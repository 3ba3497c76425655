//! The libzmq sockets: the only room that names `zmq`.
//!
//! A server has one [`Inlet`], bound to its url, and one [`Outlet`] for each peer. Both are anonymous
//! DEALERs that carry in one direction only: who speaks is told by the frames.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;

use crate::frame::Frame;
use crate::wire::{self, HEADER_LEN};

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
        Self(zmq::Context::new())
    }
}

/// The way to one peer.
pub(crate) struct Outlet {
    socket: zmq::Socket,
}

impl Outlet {
    /// Makes a socket that connects to `url` in the background, and again whenever it has to.
    pub(crate) fn connect(context: &Context, url: &str) -> io::Result<Self> {
        let socket = context.0.socket(zmq::DEALER)?;
        // The link's window bounds what is in here.
        socket.set_sndhwm(0)?;
        socket.set_linger(0)?;
        socket.set_ipv6(is_ipv6(url))?;
        socket.set_reconnect_ivl(RECONNECT_MS)?;
        socket.set_reconnect_ivl_max(RECONNECT_MAX_MS)?;
        socket.set_connect_timeout(CONNECT_MS)?;
        socket.set_handshake_ivl(HANDSHAKE_MS)?;
        keep_alive(&socket)?;
        socket.connect(url)?;
        Ok(Self { socket })
    }

    /// Hands a frame to libzmq, which shares its body instead of copying it.
    pub(crate) fn send(&mut self, frame: Frame) -> io::Result<()> {
        let header = wire::encode_header(&frame.header, &frame.payload);
        let body = frame.payload.into_body();
        if body.is_empty() {
            self.socket.send(&header[..], zmq::DONTWAIT)?;
        } else {
            self.socket.send(&header[..], zmq::DONTWAIT | zmq::SNDMORE)?;
            shared::send(&mut self.socket, body)?;
        }
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
}

/// One message as it came in.
pub(crate) struct Received {
    header: zmq::Message,
    pub(crate) body: Bytes,
    pub(crate) parts: Parts,
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
}

impl Inlet {
    /// Listens on `url` for messages whose parts are no larger than `largest` bytes.
    pub(crate) fn bind(context: &Context, url: &str, largest: usize) -> io::Result<Self> {
        let socket = context.0.socket(zmq::DEALER)?;
        socket.set_rcvhwm(READ_AHEAD)?;
        socket.set_linger(0)?;
        socket.set_ipv6(is_ipv6(url))?;
        socket.set_handshake_ivl(HANDSHAKE_MS)?;
        socket.set_backlog(BACKLOG)?;
        socket.set_maxmsgsize(i64::try_from(largest.max(HEADER_LEN)).unwrap_or(i64::MAX))?;
        keep_alive(&socket)?;
        bind(&socket, url)?;
        Ok(Self { socket })
    }

    /// The next message that has come in, if any.
    pub(crate) fn receive(&self) -> io::Result<Option<Received>> {
        let header = match self.socket.recv_msg(zmq::DONTWAIT) {
            Ok(header) => header,
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut more = header.get_more();
        let body = if more {
            let body = self.next_part()?;
            more = body.get_more();
            shared::into_bytes(body)
        } else {
            Bytes::new()
        };
        let parts = if more { Parts::More } else { Parts::OneOrTwo };
        while more {
            more = self.next_part()?.get_more();
        }
        Ok(Some(Received { header, body, parts }))
    }

    /// A further part: libzmq hands over a message only when all of it is there.
    fn next_part(&self) -> io::Result<zmq::Message> {
        loop {
            match self.socket.recv_msg(0) {
                Err(zmq::Error::EINTR) => {}
                part => return Ok(part?),
            }
        }
    }

    /// Waits until something has come in, the alarm rings, or the time is over, if there is one.
    ///
    /// To be called when [`receive`](Self::receive) has found nothing: only then do the file descriptors
    /// of the sockets, on which this waits since that takes one system call instead of five, show what
    /// comes next.
    pub(crate) fn wait(&self, alarm: &mut Alarm, timeout: Option<Duration>) -> io::Result<()> {
        let mut items = [
            zmq::PollItem::from_fd(self.socket.get_fd()?, zmq::POLLIN),
            zmq::PollItem::from_fd(alarm.socket.get_fd()?, zmq::POLLIN),
        ];
        match zmq::poll(&mut items, timeout.map_or(-1, whole_millis)) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if items[1].is_readable() {
            alarm.state = AlarmState::Ringing;
        }
        Ok(())
    }
}

/// `timeout` in milliseconds, rounded up, so that nobody wakes before it is over.
fn whole_millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// What the output thread has to tell the input thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The outbox has ended: this server sends nothing more.
    Leaving,
    /// The application wants the server to end now.
    Shutdown,
    /// All is acknowledged, or the linger time is over.
    Settled,
    /// The output thread has ended.
    Ended,
}

/// The end of the wake-up line that rings. When it is dropped, also by a panic, it rings for the last
/// time.
pub(crate) struct Bell(zmq::Socket);

/// The end of the wake-up line that hears it.
pub(crate) struct Alarm {
    socket: zmq::Socket,
    state: AlarmState,
}

/// Whether it is worth a system call to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AlarmState {
    Silent,
    Ringing,
}

/// Makes a line on which the input thread can be woken.
pub(crate) fn wake_up_line(context: &Context) -> io::Result<(Bell, Alarm)> {
    const NAME: &str = "inproc://wake-up";
    let alarm = context.0.socket(zmq::PAIR)?;
    let bell = context.0.socket(zmq::PAIR)?;
    for socket in [&alarm, &bell] {
        socket.set_linger(0)?;
    }
    alarm.bind(NAME)?;
    bell.connect(NAME)?;
    Ok((Bell(bell), Alarm { socket: alarm, state: AlarmState::Ringing }))
}

impl Bell {
    pub(crate) fn ring(&self, signal: Signal) {
        // A line that is full or closed needs no ringing: the far end is awake, or gone.
        let _ = self.0.send(&[signal as u8][..], zmq::DONTWAIT);
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring(Signal::Ended);
    }
}

impl Alarm {
    /// Has the next [`heard`](Self::heard) listen although [`Inlet::wait`] was not there to tell whether
    /// it is worth it.
    pub(crate) fn prick_up(&mut self) {
        self.state = AlarmState::Ringing;
    }

    /// The next signal that was there when [`Inlet::wait`] ended.
    pub(crate) fn heard(&mut self) -> Option<Signal> {
        if self.state == AlarmState::Silent {
            return None;
        }
        let Ok(message) = self.socket.recv_msg(zmq::DONTWAIT) else {
            self.state = AlarmState::Silent;
            return None;
        };
        let all = [Signal::Leaving, Signal::Shutdown, Signal::Settled, Signal::Ended];
        all.into_iter().find(|signal| message[..] == [*signal as u8])
    }
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

    /// A received message as `Bytes`, without a copy.
    pub(super) fn into_bytes(message: zmq::Message) -> Bytes {
        struct Owner(zmq::Message);

        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        Bytes::from_owner(Owner(message))
    }

    /// Sends `body` as the last part of a message, without a copy.
    #[allow(unsafe_code, reason = "libzmq takes shared memory through its C interface alone")]
    pub(super) fn send(socket: &mut zmq::Socket, body: Bytes) -> io::Result<()> {
        let (data, len) = (body.as_ptr(), body.len());
        let hint = Box::into_raw(Box::new(body));
        let mut message = zmq_sys::zmq_msg_t::default();
        // SAFETY: `data` points to `len` bytes that do not move or change while `hint`, a clone of the
        // `Bytes` they belong to, is alive; libzmq only reads them, since the message is sent. It calls
        // `release` exactly once, from whichever thread drops the message's last reference, at the
        // latest when the context ends; `Bytes` is `Send`. When a call fails nothing else owns `hint`
        // (a failed init) or the message (a failed send), and it is taken back here.
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
                drop(Box::from_raw(hint));
                return Err(io::Error::last_os_error());
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
