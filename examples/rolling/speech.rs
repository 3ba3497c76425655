//! What the processes tell each other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::Sent;
use crate::stream::Received;

/// What a server's process is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) pid: u32,
    pub(crate) config: String,
    /// The file with its secret key, if there are keys.
    pub(crate) key: Option<PathBuf>,
    /// Whether all its peers run before it does.
    pub(crate) joins: bool,
    /// How many messages it sends in a second. A broadcast is one for each peer.
    pub(crate) rate: u32,
    pub(crate) seed: u64,
}

/// What it is told later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// To go by another list, and perhaps by another key of its own.
    Reconfigure { config: String, key: Option<PathBuf> },
    /// To send nothing more, and to end once its peers have said goodbye.
    Leave,
}

/// What it tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// Its server has started.
    Runs,
    /// The first message of this peer has come.
    Heard(u32),
    /// It goes by the list that it was given, after so long.
    Reconfigured(Duration),
    /// It sends nothing more, and its peers have acknowledged all.
    Drained,
    /// This peer has said goodbye.
    Left(u32),
    /// The last thing it tells.
    Ended(Box<Tally>),
}

/// What a server has counted in its life.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) broadcasts: u64,
    /// To each that was a peer.
    pub(crate) sent: BTreeMap<u32, Sent>,
    /// From each that was a peer.
    pub(crate) received: BTreeMap<u32, Received>,
    /// Events that must not be.
    pub(crate) troubles: Vec<String>,
    /// What it has refused, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Events that found no room, such as messages that came back.
    pub(crate) events_missed: u64,
}
