//! What can keep a running server from another configuration.

use std::io;

use thiserror::Error;

use crate::envelope::{Pid, list};
use crate::server::StartError;

/// Why a server did not take up another configuration. It goes on by the one it has.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// The configuration does not list the server itself.
    #[error(
        "server {pid} is not listed in the configuration, which lists {}: it goes on with the one it \
         has; to take it out of the cluster, shut it down",
        list(.listed)
    )]
    NotListed {
        /// This server.
        pid: Pid,
        /// The servers that are listed.
        listed: Vec<Pid>,
    },
    /// The configuration lists another url for the server itself.
    #[error(
        "the configuration lists {listed} for server {pid}, which listens on {current}: to move a \
         server, start it again"
    )]
    OtherUrl {
        /// This server.
        pid: Pid,
        /// Where it listens.
        current: String,
        /// What is listed.
        listed: String,
    },
    /// The configuration is that of another cluster.
    #[error(
        "the configuration is that of {}, and this server is one of {}",
        cluster(.listed),
        cluster(.current)
    )]
    OtherCluster {
        /// The cluster of this server, if it has a name.
        current: Option<String>,
        /// That of the configuration.
        listed: Option<String>,
    },
    /// The cluster has keys and is to have none, or the reverse.
    #[error("{}", other_security(*.has_keys))]
    OtherSecurity {
        /// Whether this server has a key.
        has_keys: bool,
    },
    /// The server's own key does not go with the configuration.
    #[error("the server's own key does not go with the configuration")]
    Keys {
        /// What is wrong.
        source: StartError,
    },
    /// The system has not enough sockets or threads.
    #[error("the system has not enough sockets or threads for the changes")]
    System {
        /// What the system said.
        source: io::Error,
    },
    /// The server has ended, or ended before all was changed.
    #[error("the server has ended")]
    Ended,
}

fn cluster(name: &Option<String>) -> String {
    match name {
        Some(name) => format!("cluster {name:?}"),
        None => "a cluster without a name".to_owned(),
    }
}

fn other_security(has_keys: bool) -> &'static str {
    match has_keys {
        true => {
            "the configuration or the server is to have no key any more: a cluster goes without keys \
             only when all its servers start anew"
        }
        false => {
            "the configuration or the server is to have a key, and had none: a cluster gets keys only \
             when all its servers start anew"
        }
    }
}
