//! Where the frames of all peers come in, over libzmq.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use super::monitor::Monitors;
use super::path_lock::PathLock;
use super::readiness::next_part;
use super::waker::{WakeUps, ZmqWaker, wake_up_line};
use super::zap::{self, ZapHandler};
use super::{Context, resolver, set_common, set_secret, shared};
use crate::key::Keyring;
use crate::transport::{Inlet, Outcome, Received, Refusal, Speaker};
use crate::wire::{self, DecodeError, HEADER_LEN};

/// Connections that may wait to be accepted.
const LISTEN_BACKLOG: i32 = 1_024;

/// How many messages libzmq reads ahead for each connection.
const READ_AHEAD: i32 = 256;

/// Where everything comes in.
pub(crate) struct ZmqInlet {
    socket: zmq::Socket,
    zap: ZapHandler,
    monitors: Monitors,
    wake_ups: WakeUps,
    /// Whether the cluster has keys.
    curve: bool,
    /// The header of the message received last.
    last: Option<zmq::Message>,
    /// Dropped last: the path is free when nobody listens there any more.
    _lock: Option<PathLock>,
}

impl ZmqInlet {
    /// Listens on `url` for messages whose parts are no larger than `max_part` bytes, from whoever
    /// has one of the keys, if there are any.
    pub(crate) fn bind(
        context: &Context,
        url: &str,
        max_part: usize,
        keys: Option<&Keyring>,
        monitors: Monitors,
    ) -> io::Result<(Self, ZmqWaker)> {
        let socket = context.socket(zmq::DEALER)?;
        set_common(&socket, url)?;
        socket.set_rcvhwm(READ_AHEAD)?;
        socket.set_backlog(LISTEN_BACKLOG)?;
        socket.set_maxmsgsize(i64::try_from(max_part.max(HEADER_LEN)).unwrap_or(i64::MAX))?;
        let mut allowed_keys = HashMap::new();
        if let Some(keys) = keys {
            socket.set_curve_server(true)?;
            set_secret(&socket, &keys.secret)?;
            allowed_keys.extend(keys.peers.iter().map(|(pid, key)| (*key, *pid)));
        }
        let zap = ZapHandler::new(context, &socket, allowed_keys)?;
        let lock = PathLock::take(url)?;
        bind(&socket, url)?;
        let (waker, wake_ups) = wake_up_line()?;
        let curve = keys.is_some();
        Ok((Self { socket, zap, monitors, wake_ups, curve, last: None, _lock: lock }, waker))
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
        let speaker = if self.curve { speaker(&mut header) } else { Speaker::Unproven };
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

    fn handle_pause(&mut self, pause: Duration) {
        self.monitors.handle_pause(pause);
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

/// Whose key the connection has that a message came on.
fn speaker(message: &mut zmq::Message) -> Speaker {
    let pid = message.gets("User-Id").and_then(|user| user.parse().ok());
    pid.map_or(Speaker::Unknown, Speaker::Proven)
}

/// `timeout` in milliseconds, rounded up, so that nobody wakes before it is over.
fn whole_millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
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
