//! The keys that a server needs, out of its configuration and what it was given.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::envelope::Pid;
use crate::key::{Keyring, SecretKey};
use crate::server::StartError;
use crate::transport::zmq;

/// The server's own key and its peers', if the configuration has any.
pub(super) fn gather(
    config: &Config,
    pid: Pid,
    secret: Option<&SecretKey>,
) -> Result<Option<Keyring>, StartError> {
    let (secret, listed) = match (secret, config.public_key(pid)) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(StartError::NoSecretKey { pid }),
        (Some(_), None) => return Err(StartError::NoPublicKeys { pid }),
        (Some(secret), Some(listed)) => (secret.clone(), listed),
    };
    let keys = config.pids().iter().filter_map(|pid| Some((*pid, config.public_key(*pid)?)));
    let mut peers: BTreeMap<_, _> = keys.collect();
    let actual = secret.public_key();
    if actual != listed {
        let owner = peers.iter().find(|(_, key)| **key == actual).map(|(pid, _)| *pid);
        return Err(StartError::WrongSecretKey { pid, actual, owner });
    }
    let linked = zmq::libzmq();
    if !linked.curve {
        return Err(StartError::NoCurve { linked });
    }
    peers.remove(&pid);
    Ok(Some(Keyring { secret, peers }))
}
