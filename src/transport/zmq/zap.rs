//! Who may come in: the handler of libzmq's authentication protocol, [ZAP], and what libzmq itself
//! refuses.
//!
//! libzmq has shown by then that whoever connects holds the secret key to the public one it gives,
//! and asks whether that one may come in. The answer carries the key, and libzmq attaches it to
//! every message of the connection: so one that may not come in any more is known at once.
//!
//! [ZAP]: https://rfc.zeromq.org/spec/27/

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use zmq::SocketEvent;
use zmq_sys::{ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC, ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH};

use super::readiness::EdgeTriggered;
use super::{Home, monitor, whole_millis};
use crate::envelope::Pid;
use crate::event::Rejection;
use crate::key::{Keyring, PublicKey};
use crate::transport::{Outcome, Speaker};

/// What the protocol fixes: its version, and where libzmq asks.
const VERSION: &str = "1.0";
const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// The status codes that this handler answers with.
const SUCCESS: &str = "200";
const FAILURE: &str = "400";

/// What is told of the inlet: handshakes that broke the rules, and that it listens no more.
const EVENTS: i32 = SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32 | SocketEvent::CLOSED as i32;

/// The handler of one inlet. It has to be driven again and again: libzmq keeps whoever asks
/// waiting.
pub(super) struct ZapHandler {
    allowed: HashMap<String, (Pid, PublicKey)>,
    requests: EdgeTriggered,
    events: EdgeTriggered,
    /// How many inlets there were.
    inlets: u32,
}

impl ZapHandler {
    /// Handles the requests of `inlet`, which is not bound yet.
    pub(super) fn new(home: &Home, inlet: &zmq::Socket) -> io::Result<Self> {
        let requests = home.socket(zmq::REP)?;
        requests.set_linger(0)?;
        requests.bind(ENDPOINT)?;
        let (requests, events) = (EdgeTriggered::new(requests), watch(home, inlet, 0)?);
        Ok(Self { allowed: HashMap::new(), requests, events, inlets: 1 })
    }

    /// From now on lets in whoever has one of the keys of these peers, and nobody else.
    pub(super) fn allow(&mut self, keys: &Keyring) {
        let of_peer = |(pid, keys): (&Pid, &Vec<PublicKey>)| {
            let pid = *pid;
            keys.clone().into_iter().map(move |key| (key.to_string(), (pid, key)))
        };
        self.allowed = keys.peers.iter().flat_map(of_peer).collect();
    }

    /// Who has the key that a connection was let in with, if it still may come in.
    pub(super) fn speaker(&self, user: &str) -> Speaker {
        let allowed = self.allowed.get(user);
        allowed.map_or(Speaker::Unknown, |(pid, key)| Speaker::Proven(*pid, *key))
    }

    /// Handles the requests of another inlet from now on, which is not bound yet.
    pub(super) fn follow(&mut self, home: &Home, inlet: &zmq::Socket) -> io::Result<()> {
        self.events = watch(home, inlet, self.inlets)?;
        self.inlets += 1;
        Ok(())
    }

    /// Waits until the inlet listens no more, for this time at most. Returns whether it does not.
    pub(super) fn await_closed(&mut self, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            self.events.rearm();
            while let Some(event) = self.events.receive() {
                if kind(&event) == Some(SocketEvent::CLOSED) {
                    return Ok(true);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            match zmq::poll(&mut [self.events.poll_item()?], whole_millis(left)) {
                Ok(_) | Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn sources(&mut self) -> [&mut EdgeTriggered; 2] {
        [&mut self.requests, &mut self.events]
    }

    /// Answers the next request, or tells of the next failed handshake, if there is one.
    pub(super) fn handle(&mut self) -> io::Result<Option<Outcome>> {
        if let Some(request) = self.requests.receive() {
            return self.answer(&request).map(Some);
        }
        let failure =
            self.events.receive().filter(|event| kind(event) != Some(SocketEvent::CLOSED));
        Ok(failure.map(|event| Outcome::Refused { reason: failure_reason(&event), address: None }))
    }

    fn answer(&self, request: &[zmq::Message]) -> io::Result<Outcome> {
        let user = self.allowed_key(request);
        let (status, text) = match user {
            Some(_) => (SUCCESS, "OK"),
            None => (FAILURE, "this key is not listed"),
        };
        let id: &[u8] = request.get(1).map_or(&[], |id| id);
        let admitted = user.is_some();
        let user = user.unwrap_or_default();
        let metadata = "";
        let reply = [VERSION.as_bytes(), id, status.as_bytes(), text.as_bytes(), user.as_bytes()];
        for part in reply {
            self.send(part, zmq::SNDMORE)?;
        }
        self.send(metadata.as_bytes(), 0)?;
        Ok(match admitted {
            true => Outcome::Admitted,
            false => {
                let address = request.get(3).and_then(|address| parse_address(address.as_str()?));
                Outcome::Refused { reason: Rejection::Stranger, address }
            }
        })
    }

    /// The key that asks, if it is one of a peer. The parts are version, request, domain, address,
    /// identity, mechanism and, with CURVE, the key.
    fn allowed_key(&self, request: &[zmq::Message]) -> Option<String> {
        let [version, _, _, _, _, mechanism, key] = request else { return None };
        if &version[..] != VERSION.as_bytes() || &mechanism[..] != b"CURVE" {
            return None;
        }
        let key = PublicKey::new(key[..].try_into().ok()?).to_string();
        self.allowed.contains_key(&key).then_some(key)
    }

    /// One part of an answer. Whoever asked may have gone, but that is no error.
    fn send(&self, part: &[u8], flags: i32) -> io::Result<()> {
        loop {
            match self.requests.socket().send(part, zmq::DONTWAIT | flags) {
                Err(zmq::Error::EINTR) => {}
                sent => return Ok(sent?),
            }
        }
    }
}

/// The address of a peer, as libzmq writes it.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Which event of libzmq's it is.
fn kind(event: &[zmq::Message]) -> Option<SocketEvent> {
    event.first().and_then(|event| monitor::parse(event))
}

/// Why a handshake failed, of an event of libzmq's: two bytes that say which, and four with the
/// reason.
fn failure_reason(event: &[zmq::Message]) -> Rejection {
    let reason = event.first().and_then(|event| event.get(2..6)?.try_into().ok());
    match reason.map(u32::from_ne_bytes) {
        Some(ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC) => Rejection::WrongServerKey,
        Some(ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) => Rejection::OtherSecurity,
        _ => Rejection::Handshake,
    }
}

/// Has libzmq tell of an inlet, and reads that.
fn watch(home: &Home, inlet: &zmq::Socket, number: u32) -> io::Result<EdgeTriggered> {
    let name = format!("inproc://inlet-{number}");
    inlet.monitor(&name, EVENTS)?;
    let events = home.socket(zmq::PAIR)?;
    events.set_linger(0)?;
    events.connect(&name)?;
    Ok(EdgeTriggered::new(events))
}
