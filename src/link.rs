//! The protocol between two servers: no I/O, no clock, no threads.
//!
//! Each direction between two servers is one link. Its sending half, [`Outgoing`], lives in the
//! sender's output thread; its receiving half, [`Incoming`], in the receiver's input thread. What a
//! receiving half learns of the peer reaches the sending half to the same peer as [`PeerStatus`],
//! through the one channel from input to output:
//!
//! ```text
//!        server A                                   server B
//!   Outgoing(to B) ──── data, heartbeats ────► Incoming(from A)
//!        ▲                                            │
//!    PeerStatus                                   PeerStatus
//!        │                                            ▼
//!   Incoming(from B) ◄── acknowledgements ──── Outgoing(to A)
//! ```
//!
//! Every header says all there is to say about the other direction, so a later one makes up for any
//! that was lost, and [`PeerStatus`] is a state that may be overwritten by a newer one.
//!
//! `handle_*` brings the world in, `poll_*` takes out what to do, `poll_timeout` tells when to call
//! again. Time is an argument: the time since the server started.

mod incoming;
mod outgoing;

pub(crate) use incoming::{Handled, Incoming, Presence, Sighting};
pub(crate) use outgoing::{GivenUp, LEFTOVERS, LaneId, Outgoing, Room};

use std::time::Duration;

use crate::envelope::Pid;
use crate::frame::{Acknowledgement, ClusterId, Incarnation};

/// What a frame takes of the window beside its payload, in bytes, so that small ones do not come
/// for free.
pub(crate) const FRAME_OVERHEAD: usize = 128;

/// How large a payload is at most that comes in between the frames of a larger one, in bytes. It is
/// what the peer has to hold besides.
pub(crate) const MAX_INTERJECTION: usize = 256 << 10;

/// Who speaks to whom on a link, as this server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) cluster: ClusterId,
    /// This server.
    pub(crate) own: Pid,
    pub(crate) peer: Pid,
    /// This process.
    pub(crate) incarnation: Incarnation,
}

/// The bounds of a link, the same for both of its halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    /// How much may be sent and not acknowledged, in bytes.
    pub(crate) window: usize,
    /// How much of it a living peer takes at least, on its way or not yet, in bytes.
    pub(crate) min_backlog: usize,
    pub(crate) frames: FrameSizes,
    /// The largest message, in bytes.
    pub(crate) max_message: u32,
    /// How long a link is quiet before it gives a sign of life.
    pub(crate) heartbeat: Duration,
    /// How long a peer is silent before it counts as down.
    pub(crate) peer_timeout: Duration,
    /// How long a peer refuses connections, once its side has closed one, before it counts as down.
    pub(crate) reconnect_grace: Duration,
}

impl Limits {
    /// How many bytes of frames may wait in a transport to be sent to one peer: all of the window once
    /// on its way, and once more after the sender has gone back.
    pub(crate) fn max_held(&self) -> usize {
        self.window.saturating_mul(2).saturating_add(self.frames.max)
    }
}

/// How large a frame is at most, beside its header, in bytes: on a slow line and on a fast one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FrameSizes {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

impl FrameSizes {
    /// From what a slow modem sends in some seconds to what a fast network does in some
    /// milliseconds.
    pub(crate) const DEFAULT: Self = Self { min: 16 << 10, max: 1 << 20 };
}

/// How a peer stands, as the input thread knows it: all that the sending half to this peer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PeerStatus {
    /// The process that speaks for the peer; none before the first was heard.
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) presence: Presence,
    /// When the peer was last heard.
    pub(crate) heard_at: Duration,
    /// What the peer acknowledges of what was sent to it.
    pub(crate) received_ack: Acknowledgement,
    /// What to acknowledge to the peer. The silence in it is to be filled in when it is sent.
    pub(crate) ack_to_send: Acknowledgement,
    pub(crate) ack_timing: AckTiming,
    /// The largest message the peer takes, in bytes.
    pub(crate) max_message: u32,
    /// Whether the peer has what it waits for.
    pub(crate) settled: bool,
}

/// When an acknowledgement is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AckTiming {
    /// With the next frame that goes there anyway.
    #[default]
    Delayed,
    Immediate,
}
