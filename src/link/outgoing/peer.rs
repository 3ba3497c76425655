//! What the sending half of a link knows of the peer.

use std::time::Duration;

use crate::frame::{Acknowledgement, Incarnation, Intake};
use crate::link::{PeerStatus, Presence};

/// The process that speaks for the peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) incarnation: Option<Incarnation>,
    pub(super) presence: Presence,
    pub(super) intake: Intake,
    pub(super) heard_at: Duration,
    pub(super) max_message: u32,
    pub(super) settled: bool,
}

impl Peer {
    /// Nobody was heard yet.
    pub(super) fn awaited(now: Duration) -> Self {
        Self {
            incarnation: None,
            presence: Presence::Awaited,
            intake: Intake::Open,
            heard_at: now,
            max_message: u32::MAX,
            settled: false,
        }
    }

    /// What this status says, as the process `own` has to take it.
    pub(super) fn of(status: &PeerStatus, own: Incarnation) -> Self {
        Self {
            incarnation: status.incarnation,
            presence: status.presence,
            intake: intake(&status.received_ack, own),
            heard_at: status.heard_at,
            max_message: status.max_message,
            settled: status.settled,
        }
    }

    /// Whether frames of the stream are worth sending: before the peer is heard, and while it is
    /// silent, only signs of life are.
    pub(super) fn listens(&self) -> bool {
        matches!(self.presence, Presence::Up | Presence::Left)
    }
}

/// Whether the peer takes envelopes. The last words of a process that never heard this one were for
/// the one before, and can be old: whoever took them to heart would be silent, and where both sides
/// did, for ever.
fn intake(ack: &Acknowledgement, own: Incarnation) -> Intake {
    match ack.intake {
        Intake::Ended if ack.of != Some(own) => Intake::Open,
        intake => intake,
    }
}
