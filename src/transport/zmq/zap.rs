//! Who may come in: the handler of libzmq's authentication protocol, [ZAP], and what libzmq itself
//! refuses.
//!
//! libzmq has shown by then that whoever connects holds the secret key to the public one it gives,
//! and asks whether that one may come in. The answer carries the pid, and libzmq attaches it to
//! every message of the connection.
//!
//! [ZAP]: https://rfc.zeromq.org/spec/27/

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use zmq_sys::{ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC, ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH};

use super::Context;
use super::readiness::EdgeTriggered;
use crate::envelope::Pid;
use crate::event::Rejection;
use crate::key::PublicKey;
use crate::transport::Outcome;

/// What the protocol fixes: its version, and where libzmq asks.
const VERSION: &str = "1.0";
const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// The status codes that this handler answers with.
const SUCCESS: &str = "200";
const FAILURE: &str = "400";

/// What libzmq calls a handshake that broke its rules.
const HANDSHAKE_FAILED: i32 = zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32;

/// The handler of one inlet. It has to be driven again and again: libzmq keeps whoever asks
/// waiting.
pub(super) struct ZapHandler {
    allowed_keys: HashMap<PublicKey, Pid>,
    requests: EdgeTriggered,
    failures: EdgeTriggered,
}

impl ZapHandler {
    /// Handles the requests of `inlet`, which is not bound yet, and lets in whoever has one of
    /// these keys.
    pub(super) fn new(
        context: &Context,
        inlet: &zmq::Socket,
        allowed_keys: HashMap<PublicKey, Pid>,
    ) -> io::Result<Self> {
        const NAME: &str = "inproc://failures";
        let requests = context.socket(zmq::REP)?;
        requests.set_linger(0)?;
        requests.bind(ENDPOINT)?;
        inlet.monitor(NAME, HANDSHAKE_FAILED)?;
        let failures = context.socket(zmq::PAIR)?;
        failures.set_linger(0)?;
        failures.connect(NAME)?;
        Ok(Self {
            allowed_keys,
            requests: EdgeTriggered::new(requests),
            failures: EdgeTriggered::new(failures),
        })
    }

    pub(super) fn sources(&mut self) -> [&mut EdgeTriggered; 2] {
        [&mut self.requests, &mut self.failures]
    }

    /// Answers the next request, or tells of the next failed handshake, if there is one.
    pub(super) fn handle(&mut self) -> io::Result<Option<Outcome>> {
        if let Some(request) = self.requests.receive() {
            return self.answer(&request).map(Some);
        }
        let failure = self.failures.receive();
        Ok(failure.map(|event| Outcome::Refused { reason: failure_reason(&event), address: None }))
    }

    fn answer(&self, request: &[zmq::Message]) -> io::Result<Outcome> {
        let peer = self.allowed_peer(request);
        let (status, text) = match peer {
            Some(_) => (SUCCESS, "OK"),
            None => (FAILURE, "this key is not listed"),
        };
        let id: &[u8] = request.get(1).map_or(&[], |id| id);
        let user = peer.map(|pid| pid.to_string()).unwrap_or_default();
        let metadata = "";
        let reply = [VERSION.as_bytes(), id, status.as_bytes(), text.as_bytes(), user.as_bytes()];
        for part in reply {
            self.send(part, zmq::SNDMORE)?;
        }
        self.send(metadata.as_bytes(), 0)?;
        Ok(match peer {
            Some(_) => Outcome::Admitted,
            None => {
                let address = request.get(3).and_then(|address| parse_address(address.as_str()?));
                Outcome::Refused { reason: Rejection::Stranger, address }
            }
        })
    }

    /// The peer whose key it is that asks. The parts are version, request, domain, address,
    /// identity, mechanism and, with CURVE, the key.
    fn allowed_peer(&self, request: &[zmq::Message]) -> Option<Pid> {
        let [version, _, _, _, _, mechanism, key] = request else { return None };
        if &version[..] != VERSION.as_bytes() || &mechanism[..] != b"CURVE" {
            return None;
        }
        let key = PublicKey::new(key[..].try_into().ok()?);
        self.allowed_keys.get(&key).copied()
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
