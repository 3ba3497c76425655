//! Who may come in: the handler of libzmq's authentication protocol, [ZAP], and what libzmq itself
//! refuses.
//!
//! libzmq has shown by then that whoever connects holds the secret key to the public one it gives, and
//! asks whether that one may come in. The answer carries the pid, and libzmq attaches it to every
//! message of the connection.
//!
//! [ZAP]: https://rfc.zeromq.org/spec/27/

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use zmq_sys::{ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC, ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH};

use super::Context;
use super::ear::Ear;
use crate::envelope::Pid;
use crate::event::Rejection;
use crate::key::PublicKey;

/// What the protocol fixes: its version, and where libzmq asks.
const VERSION: &str = "1.0";
const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// The answers that this door gives.
const WELCOME: &str = "200";
const NOT_WELCOME: &str = "400";

/// What libzmq calls a handshake that broke its rules.
const HANDSHAKE_FAILED: i32 = zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32;

/// The door of one inlet. It has to be attended again and again: libzmq keeps whoever knocks waiting.
pub(super) struct Door {
    guests: HashMap<PublicKey, Pid>,
    knocks: Ear,
    failures: Ear,
}

/// Somebody at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visitor {
    Admitted,
    Refused { reason: Rejection, address: Option<IpAddr> },
}

impl Door {
    /// Puts a door before `inlet`, which is not bound yet. It opens to whoever has one of these keys.
    pub(super) fn new(
        context: &Context,
        inlet: &zmq::Socket,
        guests: HashMap<PublicKey, Pid>,
    ) -> io::Result<Self> {
        const NAME: &str = "inproc://failures";
        let knocks = context.0.socket(zmq::REP)?;
        knocks.set_linger(0)?;
        knocks.bind(ENDPOINT)?;
        inlet.monitor(NAME, HANDSHAKE_FAILED)?;
        let failures = context.0.socket(zmq::PAIR)?;
        failures.set_linger(0)?;
        failures.connect(NAME)?;
        Ok(Self { guests, knocks: Ear::new(knocks), failures: Ear::new(failures) })
    }

    pub(super) fn ears(&mut self) -> [&mut Ear; 2] {
        [&mut self.knocks, &mut self.failures]
    }

    /// Attends to the next visitor, if there is one.
    pub(super) fn attend(&mut self) -> io::Result<Option<Visitor>> {
        if let Some(request) = self.knocks.hear() {
            return self.answer(&request).map(Some);
        }
        let failure = self.failures.hear();
        Ok(failure.map(|event| Visitor::Refused { reason: failure_reason(&event), address: None }))
    }

    fn answer(&self, request: &[zmq::Message]) -> io::Result<Visitor> {
        let guest = self.guest(request);
        let (status, text) = match guest {
            Some(_) => (WELCOME, "OK"),
            None => (NOT_WELCOME, "this key is not listed"),
        };
        let id: &[u8] = request.get(1).map_or(&[], |id| id);
        let user = guest.map(|pid| pid.to_string()).unwrap_or_default();
        let metadata = "";
        let reply = [VERSION.as_bytes(), id, status.as_bytes(), text.as_bytes(), user.as_bytes()];
        for part in reply {
            self.say(part, zmq::SNDMORE)?;
        }
        self.say(metadata.as_bytes(), 0)?;
        Ok(match guest {
            Some(_) => Visitor::Admitted,
            None => {
                let address = request.get(3).and_then(|address| parse_address(address.as_str()?));
                Visitor::Refused { reason: Rejection::Stranger, address }
            }
        })
    }

    /// The peer whose key it is that asks. The parts are version, request, domain, address, identity,
    /// mechanism and, with CURVE, the key.
    fn guest(&self, request: &[zmq::Message]) -> Option<Pid> {
        let [version, _, _, _, _, mechanism, key] = request else { return None };
        if &version[..] != VERSION.as_bytes() || &mechanism[..] != b"CURVE" {
            return None;
        }
        let key = PublicKey::new(key[..].try_into().ok()?);
        self.guests.get(&key).copied()
    }

    /// One part of an answer. Whoever asked may have gone, but that is no error.
    fn say(&self, part: &[u8], flags: i32) -> io::Result<()> {
        loop {
            match self.knocks.socket().send(part, zmq::DONTWAIT | flags) {
                Err(zmq::Error::EINTR) => {}
                said => return Ok(said?),
            }
        }
    }
}

/// The address of a peer, as libzmq writes it.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Why a handshake failed, of an event of libzmq's: two bytes that say which, and four with the reason.
fn failure_reason(event: &[zmq::Message]) -> Rejection {
    let reason = event.first().and_then(|event| event.get(2..6)?.try_into().ok());
    match reason.map(u32::from_ne_bytes) {
        Some(ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC) => Rejection::WrongServerKey,
        Some(ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) => Rejection::OtherSecurity,
        _ => Rejection::Handshake,
    }
}
