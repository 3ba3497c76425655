//! What travels: an [`Envelope`], from one [`Pid`] to a [`Recipient`].

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The number of a server in its cluster, as the configuration file lists it.
///
/// ```
/// use raft_cluster::Pid;
///
/// let pid: Pid = "3".parse()?;
/// assert_eq!(pid, Pid::new(3));
/// assert_eq!(pid.to_string(), "3");
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Pid(u32);

impl Pid {
    /// The server with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl From<u32> for Pid {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<Pid> for u32 {
    fn from(pid: Pid) -> Self {
        pid.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Pid {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Pids, as messages list them.
pub(crate) fn list(pids: &[Pid]) -> String {
    pids.iter().map(Pid::to_string).collect::<Vec<_>>().join(", ")
}

/// Whom an [`Envelope`] is for.
///
/// There are these two and no others: a `match` over them needs no arm for what might come, and
/// what a later version adds about who gets an envelope stands in a field of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// One peer.
    Peer(Pid),
    /// Every other server of the cluster, once each.
    Broadcast,
}

impl From<Pid> for Recipient {
    fn from(pid: Pid) -> Self {
        Self::Peer(pid)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(pid) => pid.fmt(f),
            Self::Broadcast => f.write_str("broadcast"),
        }
    }
}

/// A message with its addresses: what goes into the outbox and comes out of the inbox.
///
/// The library never looks into `msg`, and `msg_id` is the application's own: it tells repeats by
/// it when a peer restarts. Ids that count up, or stay the same, take no room on the way.
///
/// An envelope out of the inbox shares the buffer of those it came with, up to 256 KiB or so, and
/// keeps that buffer alive. Whoever keeps a small message for long should copy it:
/// `Bytes::copy_from_slice(&envelope.msg)`.
///
/// ```
/// use raft_cluster::{Envelope, Pid, Recipient};
///
/// let envelope = Envelope::to(Pid::new(2), "only for you").with_id(7);
/// assert_eq!(envelope.to, Recipient::Peer(Pid::new(2)));
/// assert_eq!(envelope.msg_id, 7);
/// assert_eq!(&envelope.msg[..], b"only for you");
/// ```
///
/// It may get more fields, so it is made by [`to`](Self::to), [`broadcast`](Self::broadcast) and
/// [`json`](Self::json), and taken apart with `..`; each field can be set by itself:
///
/// ```
/// use raft_cluster::{Envelope, Pid};
///
/// let mut answer = Envelope::broadcast("I heard you");
/// answer.to = Pid::new(2).into();
/// let Envelope { to, msg, .. } = answer;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// Whom it is for.
    pub to: Recipient,
    /// Who sent it. The sending server always overwrites this with its own pid.
    pub from: Pid,
    /// Opaque to the library.
    pub msg_id: i64,
    /// The message itself.
    pub msg: Bytes,
}

impl Envelope {
    /// An envelope for one peer, with `msg_id` 0.
    pub fn to(pid: Pid, msg: impl Into<Bytes>) -> Self {
        Self::new(Recipient::Peer(pid), msg.into())
    }

    /// An envelope for every other server of the cluster, with `msg_id` 0.
    ///
    /// ```
    /// use raft_cluster::{Envelope, Recipient};
    ///
    /// assert_eq!(Envelope::broadcast("hello there").to, Recipient::Broadcast);
    /// ```
    pub fn broadcast(msg: impl Into<Bytes>) -> Self {
        Self::new(Recipient::Broadcast, msg.into())
    }

    /// The same envelope with this `msg_id`.
    #[must_use]
    pub fn with_id(mut self, msg_id: i64) -> Self {
        self.msg_id = msg_id;
        self
    }

    /// An envelope whose message is `value` as JSON, with `msg_id` 0.
    ///
    /// # Errors
    ///
    /// When `value` cannot be represented as JSON, such as a map whose keys are not strings.
    ///
    /// ```
    /// use raft_cluster::{Envelope, Recipient};
    ///
    /// let envelope = Envelope::json(Recipient::Broadcast, &("term", 3))?;
    /// assert_eq!(&envelope.msg[..], br#"["term",3]"#);
    /// let (name, number): (String, u64) = envelope.parse_json()?;
    /// assert_eq!((name.as_str(), number), ("term", 3));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn json(
        to: impl Into<Recipient>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Self, serde_json::Error> {
        Ok(Self::new(to.into(), serde_json::to_vec(value)?.into()))
    }

    /// The message, read as JSON.
    ///
    /// # Errors
    ///
    /// When the message is not JSON, or not that of a `T`.
    pub fn parse_json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.msg)
    }

    fn new(to: Recipient, msg: Bytes) -> Self {
        Self { to, from: Pid::default(), msg_id: 0, msg }
    }
}
