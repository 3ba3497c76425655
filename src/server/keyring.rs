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
    let (secret, listed) = match (secret, config.public_keys(pid)) {
        (None, []) => return Ok(None),
        (None, _) => return Err(StartError::NoSecretKey { pid }),
        (Some(_), []) => return Err(StartError::NoPublicKeys { pid }),
        (Some(secret), listed) => (secret.clone(), listed),
    };
    let keys = config.pids().iter().map(|pid| (*pid, config.public_keys(*pid).to_vec()));
    let mut peers: BTreeMap<_, _> = keys.collect();
    let actual = secret.public_key();
    if !listed.contains(&actual) {
        let owner = peers.iter().find(|(_, keys)| keys.contains(&actual)).map(|(pid, _)| *pid);
        return Err(StartError::WrongSecretKey { pid, actual, owner });
    }
    peers.remove(&pid);
    Ok(Some(Keyring { secret, peers }))
}

/// Keys are of use only with a libzmq that has CURVE.
pub(super) fn require_curve() -> Result<(), StartError> {
    let linked = zmq::libzmq();
    if linked.curve { Ok(()) } else { Err(StartError::NoCurve { linked }) }
}
