//! What travels: an [`Envelope`], from one [`Pid`] to a [`Recipient`].

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::session::Session;

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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Envelope {
    /// Whom it is for.
    pub to: Recipient,
    /// Who sent it. The sending server always overwrites this with its own pid.
    pub from: Pid,
    /// Which process sent it. The sending server overwrites this too, but for what is
    /// [for one process only](Self::for_session): there it is that one until the envelope arrives.
    pub session: Session,
    /// Opaque to the library.
    pub msg_id: i64,
    /// The message itself.
    pub msg: Bytes,
    pub(crate) delivery: Delivery,
    pub(crate) role: Role,
}

/// Two envelopes are equal if they have the same addresses, the same `msg_id` and the same message,
/// whatever process sent them, however they were to be delivered, and whether somebody waits for an
/// answer.
impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        let key = |envelope: &Self| (envelope.to, envelope.from, envelope.msg_id);
        key(self) == key(other) && self.msg == other.msg
    }
}

impl Eq for Envelope {}

/// What part an envelope has in a question and its answer: two bits for what is to be sent, and two
/// for what has come. So what has come is a message like any other when it is sent on: nobody here
/// has asked. No branch is spent on it, since each envelope has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Role(u8);

impl Role {
    pub(crate) const MESSAGE: Self = Self(0);
    /// An [`Asker`](crate::Asker) waits for the answer.
    pub(crate) const QUESTION: Self = Self(1 << 6);
    /// It is for who asked, not for the inbox.
    pub(crate) const ANSWER: Self = Self(1 << 7);

    const TO_SEND: u8 = Self::QUESTION.0 | Self::ANSWER.0;
    const HAS_COME: u32 = 2;

    /// As two bits, the highest; none for what has come.
    #[inline]
    pub(crate) const fn to_wire(self) -> u8 {
        self.0 & Self::TO_SEND
    }

    /// What the highest two bits say, if they are not both set.
    #[inline]
    pub(crate) const fn from_wire(bits: u8) -> Option<Self> {
        let role = bits & Self::TO_SEND;
        if role == Self::TO_SEND { None } else { Some(Self(role)) }
    }

    /// What is left of it when it is sent: nothing of what has come.
    #[inline]
    pub(crate) const fn sent(self) -> Self {
        Self(self.to_wire())
    }

    /// The same for who receives it.
    #[inline]
    pub(crate) const fn received(self) -> Self {
        Self(self.0 >> Self::HAS_COME)
    }

    const fn is_question(self) -> bool {
        self.0 & (Self::QUESTION.0 | Self::QUESTION.received().0) != 0
    }

    /// Whether it has come as the answer to a question.
    #[inline]
    pub(crate) const fn answers(self) -> bool {
        self.0 & Self::ANSWER.received().0 != 0
    }
}

/// How an envelope is to be delivered. What came in says nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Delivery {
    /// Only to the process of its session.
    pub(crate) bound: bool,
    /// It waits for nobody, and is for the process that speaks for the peer when it is sent.
    pub(crate) or_return: bool,
    /// Its acknowledgement is told.
    pub(crate) receipt: bool,
}

impl Delivery {
    /// What either of the two asks for.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            bound: self.bound || other.bound,
            or_return: self.or_return || other.or_return,
            receipt: self.receipt || other.receipt,
        }
    }

    /// Whether no later process of the peer may get it.
    pub(crate) fn is_for_one_process(self) -> bool {
        self.bound || self.or_return
    }
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

    /// The same envelope, but it waits for nobody: it is sent now or never.
    ///
    /// Where a peer is not up, or has no room, its copy comes back at once as
    /// [`Undeliverable`](crate::Event::Undeliverable), because of
    /// [`PeerDown`](crate::Reason::PeerDown) or [`WindowFull`](crate::Reason::WindowFull); all
    /// others get theirs. A later process of the peer never gets it: if one speaks for the peer
    /// before it was acknowledged, it comes back because of
    /// [`Restarted`](crate::Reason::Restarted).
    ///
    /// It holds no outbox up. Behind an envelope that waits, in the same outbox, it waits too.
    ///
    /// ```
    /// use raft_cluster::{Envelope, Pid};
    ///
    /// let heartbeat = Envelope::broadcast("term 7").or_return();
    /// ```
    #[must_use]
    pub fn or_return(mut self) -> Self {
        self.delivery.or_return = true;
        self
    }

    /// The same envelope, but for one process of the peer only: if another one speaks for the peer
    /// by then, it comes back because of [`Restarted`](crate::Reason::Restarted), and the other
    /// never gets it. Of a broadcast only that one process gets its copy.
    ///
    /// The session is that of an [envelope](Self::session) that came from the process.
    ///
    /// ```
    /// use raft_cluster::{Envelope, Mailbox};
    ///
    /// # fn serve(mailbox: Mailbox) -> Result<(), Box<dyn std::error::Error>> {
    /// let request = mailbox.inbox.recv()?;
    /// let progress = Envelope::to(request.from, "half done").for_session(request.session);
    /// mailbox.outbox.send(progress)?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn for_session(mut self, session: Session) -> Self {
        self.session = session;
        self.delivery.bound = true;
        self
    }

    /// The same envelope, and its sender is told when it has entered the inbox of a peer, by an event:
    /// [`Acknowledged`](crate::Event::Acknowledged), once for each peer.
    ///
    /// ```
    /// use raft_cluster::{Envelope, Pid};
    ///
    /// let last = Envelope::to(Pid::new(3), "the last piece of a snapshot").with_id(8).with_receipt();
    /// ```
    #[must_use]
    pub fn with_receipt(mut self) -> Self {
        self.delivery.receipt = true;
        self
    }

    /// Whether somebody [asks](crate::Asker::ask) by this envelope and waits for a
    /// [`reply`](Self::reply).
    pub fn is_question(&self) -> bool {
        self.role.is_question()
    }

    /// An answer to this envelope: to the process it came from and no other, with the same
    /// `msg_id`. That to a [question](Self::is_question) goes to who asked, past the inbox.
    ///
    /// If that process has ended by then, and another speaks for the peer, the answer comes back
    /// because of [`Restarted`](crate::Reason::Restarted).
    ///
    /// ```
    /// use raft_cluster::Mailbox;
    ///
    /// # fn serve(mailbox: Mailbox) -> Result<(), Box<dyn std::error::Error>> {
    /// for question in &mailbox.inbox {
    ///     mailbox.outbox.send(question.reply("the answer"))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reply(&self, msg: impl Into<Bytes>) -> Self {
        let role = if self.is_question() { Role::ANSWER } else { Role::MESSAGE };
        let answer = Self::to(self.from, msg).with_id(self.msg_id).for_session(self.session);
        Self { role, ..answer }
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
        let (from, session) = (Pid::default(), Session::default());
        let (delivery, role) = (Delivery::default(), Role::default());
        Self { to, from, session, msg_id: 0, msg, delivery, role }
    }
}
