//! What happens around a server: its peers come and go, envelopes cannot be delivered, connections
//! and frames are refused.

mod sink;

use std::fmt;
use std::net::IpAddr;

use crate::envelope::{Envelope, Pid};
pub(crate) use sink::{EventChannel, EventSink, WeakEventChannel};

/// Something the application may want to know, out of [`Server::events`](crate::Server::events).
///
/// For one process of a peer, [`Up`](Event::Up) is on the channel before its first envelope is in
/// the inbox, and an earlier process's [`Down`](Event::Down) or [`Restarted`](Event::Restarted)
/// before that.
///
/// The channel holds 1,024 events: up to half of them envelopes that come back and receipts, with no more bytes
/// than the [window](crate::Builder::window) (or 1 MiB, or one message alone), and from each peer
/// its share of the rest, so that nobody's events push out those of others. The library never waits
/// for the application to read them: what does not fit is counted in
/// [`Stats::events_missed`](crate::Stats::events_missed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer is heard: for the first time, again after a silence, or it hears this server again
    /// after a [`OneWay`](Event::OneWay).
    Up(Pid),
    /// The peer has been silent for the peer timeout, or it has closed the connection and refused
    /// others for the [time of grace](crate::Builder::reconnect_grace), as when its process dies.
    Down(Pid),
    /// Another process speaks for the peer than before; what the earlier one had in memory is gone.
    Restarted(Pid),
    /// The peer said goodbye: it sends nothing more. Only one that had taken this server out of its
    /// configuration, and lists it again, is [up](Event::Up) once more.
    Left(Pid),
    /// The peer was not heard once within the peer timeout. It may still come.
    Absent(Pid),
    /// The peer is heard, but has not heard this server for the peer timeout.
    OneWay(Pid),
    /// The peer is up, but takes no more than it is sent, and an outbox has been held up by it for a
    /// heartbeat's time. Envelopes that wait for nobody are [returned](Envelope::or_return) instead,
    /// and an [outbox of its own](crate::Server::outbox_to) holds up nobody else's.
    Stalled(Pid),
    /// No outbox is held up any more by the peer, which was [`Stalled`](Event::Stalled).
    Flowing(Pid),
    /// An envelope that asked for a [receipt](Envelope::with_receipt) has entered the peer's inbox.
    #[non_exhaustive]
    Acknowledged {
        /// Whose inbox.
        peer: Pid,
        /// The envelope's.
        msg_id: i64,
    },
    /// The peer had to give up `count` messages to this server; the ones after them follow in the
    /// inbox.
    #[non_exhaustive]
    Missed {
        /// Whose messages they were.
        from: Pid,
        /// How many.
        count: u64,
    },
    /// An envelope that this server gave up. One that was broadcast comes back once for each peer
    /// that it cannot reach.
    #[non_exhaustive]
    Undeliverable {
        /// The peer it was for.
        peer: Pid,
        /// The envelope, as it was put in the outbox.
        envelope: Envelope,
        /// Why it was given up.
        reason: Reason,
    },
    /// Something came in that this server refuses. At most a few of these come each second, and one that
    /// goes on and on comes ever more rarely, but once in a minute.
    #[non_exhaustive]
    Rejected {
        /// Why it was refused.
        reason: Rejection,
        /// Where it came from, if that is known.
        address: Option<IpAddr>,
        /// How many were refused for this reason, and came from there, since the last such event,
        /// this one included.
        count: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(pid) => write!(f, "peer {pid} is up"),
            Self::Down(pid) => write!(f, "peer {pid} is down"),
            Self::Restarted(pid) => write!(f, "peer {pid} has restarted"),
            Self::Left(pid) => write!(f, "peer {pid} has left"),
            Self::Absent(pid) => write!(f, "peer {pid} was not heard yet"),
            Self::OneWay(pid) => write!(f, "peer {pid} is heard, but does not hear this server"),
            Self::Stalled(pid) => write!(f, "peer {pid} takes no more, and holds an outbox up"),
            Self::Flowing(pid) => write!(f, "peer {pid} holds no outbox up any more"),
            Self::Acknowledged { peer, msg_id } => {
                write!(f, "message {msg_id} has entered the inbox of peer {peer}")
            }
            Self::Missed { from, count } => {
                write!(f, "{count} messages from peer {from} were missed")
            }
            Self::Undeliverable { peer, envelope, reason } => {
                let id = envelope.msg_id;
                write!(f, "message {id} to peer {peer} is undeliverable: {reason}")
            }
            Self::Rejected { reason, address, count } => {
                write!(f, "rejected: {reason}")?;
                if let Some(address) = address {
                    write!(f, ", from {address}")?;
                }
                if *count != 1 {
                    write!(f, " ({count} times)")?;
                }
                Ok(())
            }
        }
    }
}

/// Why an envelope could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The recipient is not a peer: it is not listed in the configuration, or is this server
    /// itself.
    NoSuchPeer,
    /// The message is larger than this server or its recipient allows.
    TooLarge,
    /// The peer is not up, and the envelope was [to be returned](Envelope::or_return) then; or it is
    /// [down](Event::Down), or does not hear this server, and its window is full.
    PeerDown,
    /// The peer has no room, and the envelope was [to be returned](Envelope::or_return) then.
    WindowFull,
    /// The envelope was for one process of the peer, and another one speaks for the peer now: see
    /// [`or_return`](Envelope::or_return) and [`for_session`](Envelope::for_session). The process
    /// before may have received it, if its acknowledgement was lost.
    Restarted,
    /// The peer's application has closed its inbox, or has ended.
    InboxClosed,
    /// The recipient is no peer any more: it was
    /// [taken out of the configuration](crate::Server::reconfigure). It may have received the
    /// envelope, if its acknowledgement had not come.
    Removed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchPeer => "no peer of this server has that pid",
            Self::TooLarge => "the message is larger than the largest allowed",
            Self::PeerDown => "the peer is down",
            Self::WindowFull => "the peer's window is full",
            Self::Restarted => "it was for a process of the peer that is gone",
            Self::InboxClosed => "the peer has closed its inbox",
            Self::Removed => "the peer was taken out of the configuration",
        })
    }
}

/// Why something that came in was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// It is not a frame of this protocol, or a damaged one.
    Malformed,
    /// It speaks another version of the protocol.
    Version(u8),
    /// It belongs to another cluster.
    OtherCluster,
    /// It is addressed to another server.
    OtherRecipient(Pid),
    /// Its sender is not a peer of this server.
    UnknownSender(Pid),
    /// An older process than the one that now speaks for this peer still runs under its pid.
    Conflict(Pid),
    /// A message of this peer is larger than this server takes.
    TooLarge(Pid),
    /// It acknowledges what was never sent to this peer.
    FalseAcknowledgement(Pid),
    /// A connection proved that it has a key, but one that is not listed for any peer of this
    /// server.
    Stranger,
    /// A peer that has proved to be `actual` spoke as another server.
    #[non_exhaustive]
    Impostor {
        /// Who it said it was.
        claimed: Pid,
        /// Whose key it has.
        actual: Pid,
    },
    /// A connection is not secured as this server is: one of the two has keys and the other has
    /// none.
    OtherSecurity,
    /// A connection expects this server to have another key than it has, or took its messages for
    /// those of another.
    WrongServerKey,
    /// A connection that has not introduced itself as libzmq does.
    Handshake,
    /// Further ones, for other reasons or from other places than could be told apart.
    Others,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a well-formed frame"),
            Self::Version(version) => write!(f, "a frame of protocol version {version}"),
            Self::OtherCluster => f.write_str("a frame of another cluster"),
            Self::OtherRecipient(pid) => write!(f, "a frame addressed to server {pid}"),
            Self::UnknownSender(pid) => write!(f, "a frame from server {pid}, which is not a peer"),
            Self::Conflict(pid) => {
                write!(f, "a second process claims to be server {pid}; the newer one is heard")
            }
            Self::TooLarge(pid) => {
                write!(f, "a message from server {pid} that is larger than this server takes")
            }
            Self::FalseAcknowledgement(pid) => {
                write!(f, "server {pid} acknowledged what was never sent to it")
            }
            Self::Stranger => f.write_str("a connection with a key that is not listed"),
            Self::Impostor { claimed, actual } => {
                write!(f, "server {actual}, as its key proves, spoke as server {claimed}")
            }
            Self::OtherSecurity => {
                f.write_str("a connection that has keys where this server has none, or the reverse")
            }
            Self::WrongServerKey => {
                f.write_str("a connection that expects another public key of this server")
            }
            Self::Handshake => f.write_str("a connection that did not introduce itself properly"),
            Self::Others => f.write_str("for other reasons"),
        }
    }
}
