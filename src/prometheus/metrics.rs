//! The metrics: their names, by Prometheus' conventions, and where each number comes from.

use std::time::Duration;

use super::Metric;
use crate::stats::{ConnectionFailures, Dropped, PeerState, PeerStats, Rejections, Stats};

type Count<T> = Metric<Value<T>>;

/// Where a number comes from.
type Value<T> = fn(&T) -> u64;

/// A time that only grows.
type Total<T> = Metric<fn(&T) -> Duration>;

/// A time that may not be known yet.
type Time = Metric<fn(&PeerStats) -> Option<Duration>>;

const fn count<T>(name: &'static str, help: &'static str, value: Value<T>) -> Count<T> {
    Metric { name, help, value }
}

/// Of the server as a whole. What its peers add up to is not among them: Prometheus sums.
pub(super) const SERVER_COUNTS: &[Count<Stats>] = &[
    count(
        "raft_cluster_no_such_peer_messages",
        "Messages for a pid that is no peer of this server.",
        |stats| stats.no_such_peer,
    ),
    count(
        "raft_cluster_discarded_messages",
        "Envelopes that were put in an outbox faster than a shutdown could close it.",
        |stats| stats.discarded,
    ),
    count(
        "raft_cluster_removed_messages",
        "Messages that peers had not acknowledged when they were taken out of the configuration.",
        |stats| stats.removed,
    ),
    count("raft_cluster_missed_events", "Events that found the events channel full.", |stats| {
        stats.events_missed
    }),
];

/// Times of the server as a whole that only grow.
pub(super) const SERVER_TIMES: &[Total<Stats>] = &[
    Metric {
        name: "raft_cluster_inbox_blocked_seconds",
        help: "How long what came in has waited for room in the inbox, in all.",
        value: |stats| stats.inbox_blocked,
    },
    Metric {
        name: "raft_cluster_paused_seconds",
        help: "How long the server was to run and did not, in all that was longer than 50 ms at a time.",
        value: |stats| stats.paused,
    },
];

pub(super) const REJECTED: Metric<()> = Metric {
    name: "raft_cluster_rejected",
    help: "Frames and connections that were refused, by reason.",
    value: (),
};

/// The values of its label `reason`.
pub(super) const REJECTIONS: &[(&str, Value<Rejections>)] = &[
    ("malformed", |rejections| rejections.malformed),
    ("version", |rejections| rejections.version),
    ("other_cluster", |rejections| rejections.other_cluster),
    ("other_recipient", |rejections| rejections.other_recipient),
    ("unknown_sender", |rejections| rejections.unknown_sender),
    ("conflict", |rejections| rejections.conflict),
    ("too_large", |rejections| rejections.too_large),
    ("false_acknowledgement", |rejections| rejections.false_acknowledgement),
    ("stranger", |rejections| rejections.stranger),
    ("impostor", |rejections| rejections.impostor),
    ("other_security", |rejections| rejections.other_security),
    ("wrong_server_key", |rejections| rejections.wrong_server_key),
    ("handshake", |rejections| rejections.handshake),
];

/// Whether a peer is in a state.
pub(super) const STATE: Metric<()> = Metric {
    name: "raft_cluster_peer_state",
    help: "How the peer stands: 1 for the state that it is in, 0 for the others.",
    value: (),
};

pub(super) const STATES: [PeerState; 5] =
    [PeerState::Awaited, PeerState::Up, PeerState::OneWay, PeerState::Down, PeerState::Left];

/// What only grows.
pub(super) const PEER_COUNTS: &[Count<PeerStats>] = &[
    count(
        "raft_cluster_peer_accepted_messages",
        "Messages taken from an outbox for the peer.",
        |peer| peer.accepted,
    ),
    count(
        "raft_cluster_peer_sent_messages",
        "Messages handed to the network, each once however often it was sent again.",
        |peer| peer.sent,
    ),
    count(
        "raft_cluster_peer_acknowledged_messages",
        "Messages that entered the peer's inbox.",
        |peer| peer.acknowledged,
    ),
    count("raft_cluster_peer_resent_messages", "Messages sent again, each time counted.", |peer| {
        peer.resent
    }),
    count(
        "raft_cluster_peer_received_messages",
        "Messages that came from the peer for the inbox.",
        |peer| peer.received,
    ),
    count(
        "raft_cluster_peer_missed_messages",
        "Messages that the peer had to give up on their way to this server.",
        |peer| peer.missed,
    ),
    count(
        "raft_cluster_peer_accepted_bytes",
        "Bytes of the messages taken from an outbox for the peer.",
        |peer| peer.accepted_bytes,
    ),
    count(
        "raft_cluster_peer_acknowledged_bytes",
        "Bytes of the messages that entered the peer's inbox.",
        |peer| peer.acknowledged_bytes,
    ),
    count(
        "raft_cluster_peer_sent_bytes",
        "Bytes of all frames handed to the network for the peer, with headers and what was sent again.",
        |peer| peer.bytes_sent,
    ),
    count(
        "raft_cluster_peer_received_bytes",
        "Bytes of all frames that came in from the peer, with headers and what came again.",
        |peer| peer.bytes_received,
    ),
];

/// A time that only grows.
pub(super) const BLOCKED: Total<PeerStats> = Metric {
    name: "raft_cluster_peer_blocked_seconds",
    help: "How long outboxes of this server have been held up by the peer, in all.",
    value: |peer| peer.blocked,
};

pub(super) const DROPPED: Metric<()> = Metric {
    name: "raft_cluster_peer_dropped_messages",
    help: "Messages that were given up and came back, by reason.",
    value: (),
};

/// The values of the label `reason`.
pub(super) const REASONS: &[(&str, Value<Dropped>)] = &[
    ("too_large", |dropped| dropped.too_large),
    ("peer_down", |dropped| dropped.peer_down),
    ("window_full", |dropped| dropped.window_full),
    ("restarted", |dropped| dropped.restarted),
    ("inbox_closed", |dropped| dropped.inbox_closed),
    ("removed", |dropped| dropped.removed),
];

pub(super) const FAILED: Metric<()> = Metric {
    name: "raft_cluster_peer_connection_failures",
    help: "Attempts to connect to the peer that failed, by cause.",
    value: (),
};

/// The values of its label `cause`.
pub(super) const CAUSES: &[(&str, Value<ConnectionFailures>)] = &[
    ("name", |failures| failures.name),
    ("refused", |failures| failures.refused),
    ("unanswered", |failures| failures.unanswered),
    ("handshake", |failures| failures.handshake),
];

/// What rises and falls.
pub(super) const PEER_GAUGES: &[Count<PeerStats>] = &[
    count("raft_cluster_peer_queued_messages", "Messages waiting to be sent.", |peer| peer.queued),
    count("raft_cluster_peer_in_flight_messages", "Messages sent and not acknowledged.", |peer| {
        peer.in_flight
    }),
    count(
        "raft_cluster_peer_window_bytes",
        "Bytes of the window in use: what is queued and in flight.",
        |peer| peer.window_bytes,
    ),
    count(
        "raft_cluster_peer_window_limit_bytes",
        "From how many bytes of the window on the peer holds outboxes up.",
        |peer| peer.window_limit,
    ),
];

/// Times that rise and fall.
pub(super) const PEER_TIMES: &[Time] = &[
    Metric {
        name: "raft_cluster_peer_last_heard_seconds",
        help: "How long ago the peer was heard. Missing until it was.",
        value: |peer| peer.last_heard,
    },
    Metric {
        name: "raft_cluster_peer_rtt_seconds",
        help: "The smoothed round trip to the peer's inbox. Missing until it was measured.",
        value: |peer| peer.rtt,
    },
    Metric {
        name: "raft_cluster_peer_oldest_unacknowledged_seconds",
        help: "How long ago the oldest message that is not acknowledged was taken from its outbox, or 0.",
        value: |peer| Some(peer.oldest_unacknowledged.unwrap_or_default()),
    },
];
