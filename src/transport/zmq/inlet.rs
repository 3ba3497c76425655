//! Where the frames of all peers come in, over libzmq.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use super::monitor::Monitors;
use super::path_lock::PathLock;
use super::readiness::next_part;
use super::waker::{WakeUps, ZmqWaker, wake_up_line};
use super::zap::{self, ZapHandler};
use super::{Home, resolver, set_common, set_secret, shared, whole_millis};
use crate::envelope::Pid;
use crate::key::{Keyring, PublicKey};
use crate::transport::{ConnectionFailure, Inlet, Outcome, Received, Refusal, Speaker};
use crate::wire::{self, DecodeError, HEADER_LEN};

/// Connections that may wait to be accepted.
const LISTEN_BACKLOG: i32 = 1_024;

/// How many messages libzmq reads ahead for each connection.
const READ_AHEAD: i32 = 256;

/// What CURVE adds to each part on its way, in bytes: the name of its command, a nonce, a box and the
/// flags of the part. libzmq counts it, and cuts a connection on which more comes than may.
const CURVE_OVERHEAD: usize = 8 + 8 + 16 + 1;

/// How long a socket may take to let go of its address.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

/// Where everything comes in.
pub(crate) struct ZmqInlet {
    home: Home,
    url: String,
    /// In bytes.
    max_part: usize,
    socket: zmq::Socket,
    zap: ZapHandler,
    monitors: Monitors,
    wake_ups: WakeUps,
    /// By which this server is known, if the cluster has keys.
    key: Option<PublicKey>,
    /// The header of the message received last.
    last: Option<zmq::Message>,
    /// Dropped last: the path is free when nobody listens there any more.
    _lock: Option<PathLock>,
}

impl ZmqInlet {
    /// Listens on `url` for messages whose parts are no larger than `max_part` bytes, from whoever
    /// has one of the keys, if there are any.
    pub(crate) fn bind(
        home: Home,
        url: &str,
        max_part: usize,
        keys: Option<&Keyring>,
        monitors: Monitors,
    ) -> io::Result<(Self, ZmqWaker)> {
        let socket = listener(&home, url, max_part, keys)?;
        let mut zap = ZapHandler::new(&home, &socket)?;
        if let Some(keys) = keys {
            zap.allow(keys);
        }
        let lock = PathLock::take(url)?;
        bind(&socket, url)?;
        let (waker, wake_ups) = wake_up_line()?;
        let (url, key) = (url.to_owned(), keys.map(|keys| keys.secret.public_key()));
        let (last, _lock) = (None, lock);
        let inlet = Self { home, url, max_part, socket, zap, monitors, wake_ups, key, last, _lock };
        Ok((inlet, waker))
    }

    /// Listens with another key, which takes another socket. What has come in and was not read is
    /// gone, and all connections are made anew: the links make up for both.
    fn listen_anew(&mut self, keys: &Keyring) -> io::Result<()> {
        let socket = listener(&self.home, &self.url, self.max_part, Some(keys))?;
        let endpoint = self.socket.get_last_endpoint()?.map_err(|_| io::ErrorKind::InvalidData)?;
        self.socket.unbind(&endpoint)?;
        // The old one may let go of the address late, or remove the path that is the new one's.
        if !self.zap.await_closed(CLOSES_WITHIN)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.zap.follow(&self.home, &socket)?;
        socket.set_ipv6(endpoint.starts_with("tcp://["))?;
        socket.bind(&endpoint)?;
        (self.socket, self.last) = (socket, None);
        Ok(())
    }

    /// The body that follows a header, if one does. More than that is no message of ours.
    fn receive_body(&self, mut more: bool) -> io::Result<Result<Bytes, DecodeError>> {
        if !more {
            return Ok(Ok(Bytes::new()));
        }
        let body = next_part(&self.socket)?;
        more = body.get_more();
        if !more {
            return Ok(Ok(shared::into_bytes(body)));
        }
        while more {
            more = next_part(&self.socket)?.get_more();
        }
        Ok(Err(DecodeError::Parts))
    }
}

impl Inlet for ZmqInlet {
    fn receive(&mut self) -> io::Result<Option<Received>> {
        let mut header = match self.socket.recv_msg(zmq::DONTWAIT) {
            Ok(header) => header,
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let body = self.receive_body(header.get_more())?;
        let frame = body.and_then(|body| wire::decode(&header, body));
        let speaker = match self.key {
            Some(_) => {
                header.gets("User-Id").map_or(Speaker::Unknown, |user| self.zap.speaker(user))
            }
            None => Speaker::Unproven,
        };
        self.last = Some(header);
        Ok(Some(Received { frame, speaker }))
    }

    /// None also if it came from this machine by another way than TCP.
    fn last_address(&mut self) -> Option<IpAddr> {
        self.last.as_mut()?.gets("Peer-Address").and_then(zap::parse_address)
    }

    fn authenticate(&mut self) -> io::Result<Option<Outcome>> {
        self.zap.handle()
    }

    fn poll_refusal(&mut self, now: Duration) -> Option<Refusal> {
        self.monitors.poll_refusal(now)
    }

    fn poll_failure(&mut self) -> Option<(Pid, ConnectionFailure)> {
        self.monitors.poll_failure()
    }

    fn handle_pause(&mut self, pause: Duration) {
        self.monitors.handle_pause(pause);
    }

    fn forget(&mut self, peer: Pid) {
        self.monitors.forget(peer);
    }

    fn handle_keys(&mut self, keys: &Keyring) -> io::Result<()> {
        self.zap.allow(keys);
        let key = Some(keys.secret.public_key());
        if self.key != key {
            self.listen_anew(keys)?;
            self.key = key;
        }
        Ok(())
    }

    /// The file descriptors of the sockets, on which this waits since that takes one system call
    /// instead of five, show what comes next only to whoever has found nothing before.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let sources = self.zap.sources();
        let mut items = vec![
            self.wake_ups.poll_item(),
            sources[0].poll_item()?,
            sources[1].poll_item()?,
            zmq::PollItem::from_fd(self.socket.get_fd()?, zmq::POLLIN),
        ];
        let first_monitor = items.len();
        let next_look = self.monitors.next_look();
        let looks = next_look.is_none();
        if looks {
            items.extend(self.monitors.poll_items()?);
        }
        let monitors_due = next_look.or_else(|| self.monitors.max_wait());
        let timeout = timeout.into_iter().chain(monitors_due).min();
        match zmq::poll(&mut items, timeout.map_or(-1, whole_millis)) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if items[0].is_readable() {
            self.wake_ups.drain();
        }
        for (source, item) in sources.into_iter().zip(&items[1..]) {
            if item.is_readable() {
                source.rearm();
            }
        }
        if looks {
            self.monitors.rearm(&items[first_monitor..]);
        }
        Ok(())
    }

    fn rearm(&mut self) {
        self.zap.sources().into_iter().for_each(super::readiness::EdgeTriggered::rearm);
        self.monitors.rearm_all();
    }
}

/// A socket that is to listen there.
fn listener(
    home: &Home,
    url: &str,
    max_part: usize,
    keys: Option<&Keyring>,
) -> io::Result<zmq::Socket> {
    let socket = home.socket(zmq::DEALER)?;
    set_common(&socket, url)?;
    socket.set_rcvhwm(READ_AHEAD)?;
    socket.set_backlog(LISTEN_BACKLOG)?;
    let mut max_message = max_part.max(HEADER_LEN);
    if let Some(keys) = keys {
        socket.set_curve_server(true)?;
        set_secret(&socket, &keys.secret)?;
        max_message += CURVE_OVERHEAD;
    }
    socket.set_maxmsgsize(i64::try_from(max_message).unwrap_or(i64::MAX))?;
    Ok(socket)
}

/// Binds to `url`. libzmq is given addresses only: a host name is looked up here, and the first of
/// its addresses that is one of this machine is taken.
fn bind(socket: &zmq::Socket, url: &str) -> io::Result<()> {
    let Some(host) = resolver::named_host(url) else { return Ok(socket.bind(url)?) };
    let mut result = Ok(());
    for address in resolver::addresses_of(host).map_err(|error| unknown(host, &error))? {
        socket.set_ipv6(address.is_ipv6())?;
        result = socket.bind(&format!("tcp://{address}"));
        if result.is_ok() {
            break;
        }
    }
    Ok(result?)
}

fn unknown(host: &str, error: &io::Error) -> io::Error {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let advice = "correct the url, or add the name to DNS or to /etc/hosts";
    io::Error::other(format!("the host name `{name}` has no address here ({error}): {advice}"))
}
