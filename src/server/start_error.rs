//! What can keep a server from starting.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::envelope::{Pid, list};
use crate::key::PublicKey;
use crate::transport::zmq::Libzmq;

/// Why a server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The pid is not in the configuration.
    #[error("server {pid} is not listed in the configuration, which lists {}", list(.listed))]
    NotListed {
        /// The pid that was to start.
        pid: Pid,
        /// The pids that are listed.
        listed: Vec<Pid>,
    },
    /// The server's own url cannot be bound.
    #[error("cannot listen on {url}{}", advice(.source))]
    Bind {
        /// The url, from the configuration.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// The heartbeat is shorter than a millisecond, or longer than a third of the peer timeout.
    #[error(
        "a heartbeat of {heartbeat:?} does not go with a peer timeout of {peer_timeout:?}: \
         it must be at least 1 ms and at most a third of that"
    )]
    Heartbeat {
        /// How often a sign of life was to be given.
        heartbeat: Duration,
        /// How long a peer was to be silent before it counts as down.
        peer_timeout: Duration,
    },
    /// The largest message is larger than the protocol can carry.
    #[error("messages of {bytes} bytes are too large: the most that can be allowed is {most}")]
    MaxMessage {
        /// What was to be the largest message.
        bytes: usize,
        /// The most it can be.
        most: usize,
    },
    /// The outbox or the inbox was to hold more envelopes than it can.
    #[error(
        "a channel for {envelopes} envelopes is too large: the most that it can hold is {most}"
    )]
    Capacity {
        /// How many it was to hold.
        envelopes: usize,
        /// The most it can hold.
        most: usize,
    },
    /// The configuration has keys, and the server was not given its own.
    #[error(
        "the configuration lists a public key for server {pid}: give it the secret one that belongs \
         to it"
    )]
    NoSecretKey {
        /// The server.
        pid: Pid,
    },
    /// The server was given a secret key, and the configuration has no public ones.
    #[error(
        "server {pid} was given a secret key, but the configuration has no public keys: list every \
         server's, or start it without a key and with nothing encrypted"
    )]
    NoPublicKeys {
        /// The server.
        pid: Pid,
    },
    /// The secret key is another server's, or an old one.
    #[error(
        "the secret key does not belong to the public key that the configuration lists for server \
         {pid}: its public key is {}",
        public_key_of(*.actual, .owner)
    )]
    WrongSecretKey {
        /// The server.
        pid: Pid,
        /// The public key that belongs to the secret one.
        actual: PublicKey,
        /// The server for which that is listed, if it is.
        owner: Option<Pid>,
    },
    /// The configuration has keys, and the libzmq that is linked cannot use them.
    #[error(
        "the configuration has keys, but {linked}, which this program is linked with, cannot use \
         them, and nothing is sent unencrypted instead: install a libzmq that has CURVE (`apt-get \
         install libzmq3-dev`, `brew install zeromq`) and build with `cargo --config \
         .cargo/curve.toml build --release`"
    )]
    NoCurve {
        /// The libzmq that is linked.
        linked: Libzmq,
    },
    /// The system has no sockets or threads left.
    #[error("the system has not enough sockets or threads for the server")]
    System {
        /// What the system said.
        source: io::Error,
    },
}

fn public_key_of(key: PublicKey, owner: &Option<Pid>) -> String {
    match owner {
        Some(owner) => format!("{key}, which is listed for server {owner}"),
        None => format!("{key}, which is not listed"),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program holds it: end that program, or give the server another url in every \
             server's configuration)"
        }
        io::ErrorKind::AddrNotAvailable => {
            " (it is no address of this machine: run the server where its url points, or correct the url)"
        }
        _ => "",
    }
}
