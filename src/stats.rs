//! What a server counts.

use std::fmt;
use std::time::Duration;

use crate::envelope::Pid;
use crate::event::Rejection;
use crate::session::Session;

/// A snapshot of what a server has counted since its start, out of
/// [`Server::stats`](crate::Server::stats).
///
/// A broadcast to four peers counts as four messages. The sums count also those of peers that are
/// none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages handed to the network, each counted once however often it was resent.
    pub messages_sent: u64,
    /// Messages that came in for the inbox, each counted before it is there.
    pub messages_received: u64,
    /// Messages for a pid that is no peer of this server.
    pub no_such_peer: u64,
    /// Envelopes that were put in an outbox faster than the server could [close](crate::Server::shutdown)
    /// it: they are gone, and come back nowhere. A broadcast counts as one.
    pub discarded: u64,
    /// Messages that peers had not acknowledged when they were
    /// [taken out of the configuration](crate::Server::reconfigure), and before, in all: those that came
    /// back.
    pub removed: u64,
    /// What came in and was refused: the sum of the `rejections`.
    pub rejected: u64,
    /// The same by reason.
    pub rejections: Rejections,
    /// Events that found the events channel full.
    pub events_missed: u64,
    /// How long what came in has waited for room in the inbox, in all: the application reads it too
    /// slowly. Whoever sent it waits too, once its [window](crate::Builder::window) is full.
    pub inbox_blocked: Duration,
    /// How long the input thread was to run and did not, in all that was longer than 50 ms at a time:
    /// the process was stopped, the machine slept or is too busy, or a processor quota was used up.
    pub paused: Duration,
    /// Each peer by itself, in the order of the configuration.
    pub peers: Vec<PeerStats>,
}

impl Stats {
    /// What was counted for one peer, if it is one.
    pub fn peer(&self, pid: Pid) -> Option<&PeerStats> {
        self.peers.iter().find(|peer| peer.pid == pid)
    }
}

/// What a server has counted for one peer. Messages, unless it says bytes.
///
/// Every message the server took from the outbox for this peer is in exactly one place:
/// `accepted == acknowledged + dropped.total() + queued + in_flight`, in every snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// The peer.
    pub pid: Pid,
    /// How the peer stands with this server.
    pub state: PeerState,
    /// The process that speaks for the peer, or did last. None before one was heard.
    pub session: Option<Session>,
    /// How long ago anything was heard from that process, at the time of the snapshot. None before
    /// that. A living peer is heard about once a [heartbeat](crate::Builder::heartbeat) at least.
    pub last_heard: Option<Duration>,
    /// The smoothed round trip, as TCP has it (RFC 6298, with a weight of 1/8 for each sample): from
    /// when a frame is sent until its acknowledgement is there. None until there was one, and again
    /// after the connection was replaced or another process has been heard.
    ///
    /// It includes both ways, with what waits there in buffers, and at the peer the time until the
    /// messages of the frame are in its inbox: where that is full, this grows. Frames that were sent
    /// again do not count. While messages are sent there is a sample every
    /// [heartbeat](crate::Builder::heartbeat) at least; while none are, this stays as it was.
    pub rtt: Option<Duration>,
    /// Taken from the outbox for this peer.
    pub accepted: u64,
    /// Waiting to be sent.
    pub queued: u64,
    /// Sent and not acknowledged.
    pub in_flight: u64,
    /// How long ago the oldest of the messages that are queued or in flight was taken from its
    /// outbox, at the time of the snapshot. None if there is no such message.
    pub oldest_unacknowledged: Option<Duration>,
    /// Bytes of the window in use: what is queued and in flight, and 128 for each frame.
    pub window_bytes: u64,
    /// From how many such bytes on the peer holds outboxes up at the moment: the
    /// [window](crate::Builder::window); but while the peer is up and more than that would only wait,
    /// what the line carries.
    ///
    /// `window_bytes` may exceed it, up to the window, by what comes by outboxes that have had nothing
    /// waiting; and an empty window takes one message of any size.
    pub window_limit: u64,
    /// Handed to the network, each counted once however often it was resent.
    pub sent: u64,
    /// Entered the peer's inbox.
    pub acknowledged: u64,
    /// The bytes of what was accepted: of the messages, and up to 12 for each that travels with
    /// others.
    pub accepted_bytes: u64,
    /// Those of what was acknowledged, counted in the same way.
    pub acknowledged_bytes: u64,
    /// Sent again, each time counted.
    pub resent: u64,
    /// Bytes handed to the network for this peer: all frames with their headers, also heartbeats and
    /// what was sent again. What libzmq, TCP and encryption add is not in it.
    pub bytes_sent: u64,
    /// Bytes of the frames that came in from this peer and were not [refused](crate::Rejection),
    /// counted in the same way, also of those that came again.
    pub bytes_received: u64,
    /// Given up, and reported.
    pub dropped: Dropped,
    /// Came from this peer for the inbox.
    pub received: u64,
    /// The peer had to give up on their way to this server.
    pub missed: u64,
    /// How long outboxes of this server have been held up by the peer, in all.
    pub blocked: Duration,
    /// Attempts to connect to the peer that failed.
    pub connection_failures: ConnectionFailures,
}

/// Messages given up for one peer, by [`Reason`](crate::Reason).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dropped {
    /// Larger than this server or the peer allows.
    pub too_large: u64,
    /// The peer was down: its window was full, or they were not to wait.
    pub peer_down: u64,
    /// The peer had no room, and they were not to wait.
    pub window_full: u64,
    /// For a process of the peer that is gone.
    pub restarted: u64,
    /// The peer had closed its inbox.
    pub inbox_closed: u64,
    /// The peer was taken out of the configuration.
    pub removed: u64,
}

impl Dropped {
    /// All of them.
    pub const fn total(&self) -> u64 {
        let returned = self.peer_down + self.window_full + self.restarted + self.removed;
        self.too_large + returned + self.inbox_closed
    }
}

/// What a server has refused, by [`Rejection`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rejections {
    /// Not a frame of this protocol, or a damaged one.
    pub malformed: u64,
    /// Frames of another version of the protocol.
    pub version: u64,
    /// Frames of another cluster.
    pub other_cluster: u64,
    /// Frames addressed to another server.
    pub other_recipient: u64,
    /// Frames from a server that is no peer.
    pub unknown_sender: u64,
    /// Frames of an older process of a peer than the one that now speaks for it.
    pub conflict: u64,
    /// Messages of a peer that are larger than this server takes.
    pub too_large: u64,
    /// Acknowledgements of what was never sent.
    pub false_acknowledgement: u64,
    /// Connections with a key that is not listed for any peer, and frames that came by one.
    pub stranger: u64,
    /// Frames in which a peer spoke as another server.
    pub impostor: u64,
    /// Connections that have keys where this server has none, or the reverse.
    pub other_security: u64,
    /// Connections that expect this server to have another key.
    pub wrong_server_key: u64,
    /// Connections that have not introduced themselves as libzmq does.
    pub handshake: u64,
}

impl Rejections {
    /// All of them.
    pub const fn total(&self) -> u64 {
        let frames = self.malformed + self.version + self.other_cluster + self.other_recipient;
        let senders = self.unknown_sender + self.conflict + self.too_large;
        let liars = self.false_acknowledgement + self.impostor;
        let connections =
            self.stranger + self.other_security + self.wrong_server_key + self.handshake;
        frames + senders + liars + connections
    }

    pub(crate) fn count(&mut self, reason: Rejection) {
        *match reason {
            Rejection::Malformed => &mut self.malformed,
            Rejection::Version(_) => &mut self.version,
            Rejection::OtherCluster => &mut self.other_cluster,
            Rejection::OtherRecipient(_) => &mut self.other_recipient,
            Rejection::UnknownSender(_) => &mut self.unknown_sender,
            Rejection::Conflict(_) => &mut self.conflict,
            Rejection::TooLarge(_) => &mut self.too_large,
            Rejection::FalseAcknowledgement(_) => &mut self.false_acknowledgement,
            Rejection::Stranger => &mut self.stranger,
            Rejection::Impostor { .. } => &mut self.impostor,
            Rejection::OtherSecurity => &mut self.other_security,
            Rejection::WrongServerKey => &mut self.wrong_server_key,
            Rejection::Handshake => &mut self.handshake,
            // It stands for several that have been counted, each for its own reason.
            Rejection::Others => return,
        } += 1;
    }
}

/// Attempts to connect to one peer that failed, by what has become of them. libzmq tries again after
/// some tens of milliseconds, and for a name that has no address each second.
///
/// They are not counted where a process may not open enough files for the monitors of its connections,
/// which takes 5 for each peer and 128 more; but those for want of an address are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectionFailures {
    /// The peer's host name was looked up and no address found.
    pub name: u64,
    /// Nobody listens at the peer's address, or a firewall refuses for it.
    pub refused: u64,
    /// There was no answer: none from the peer's machine, no way there, or a process that took the
    /// connection in and said nothing.
    pub unanswered: u64,
    /// Who listens there has ended the connection before both were through with the handshake: another
    /// program, or a server that does not take this one's key.
    pub handshake: u64,
}

/// How a peer stands with this server.
///
/// ```text
///  Awaited ──heard──► Up ◄─────heard────── Down
///                     │ ▲                   ▲
///            it cannot│ │it hears           │silent for the
///          hear us    ▼ │us again           │peer timeout
///                    OneWay ────────────────┤
///                     Up ───────────────────┘
///  Up, OneWay ──goodbye──► Left ──a new process──► Up
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerState {
    /// Not heard yet.
    #[default]
    Awaited,
    /// Heard.
    Up,
    /// Heard, but has not heard this server for the peer timeout.
    OneWay,
    /// Silent for the peer timeout.
    Down,
    /// Said goodbye.
    Left,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Awaited => "awaited",
            Self::Up => "up",
            Self::OneWay => "one-way",
            Self::Down => "down",
            Self::Left => "left",
        })
    }
}
