//! What is told of a peer: how it stands, and what a frame of it turned out to be.

use std::fmt;

/// How a peer stands, as far as it is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Presence {
    #[default]
    Awaited,
    Up,
    Down,
    Left,
}

/// A change of how the peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sighting {
    Up,
    Down(Loss),
    Restarted,
    Left,
    /// Awaited for the peer timeout, and not heard once.
    Absent,
    /// Heard, but it has not heard this server for the peer timeout.
    OneWay,
}

/// What shows that a peer is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Loss {
    /// It was silent for the peer timeout.
    Silent,
    /// It closed the connection, and refuses others.
    Refusing,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "it was silent for the peer timeout",
            Self::Refusing => "it closed the connection and refuses others",
        })
    }
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// One of the process that is listened to, or of a replaced one, which is dropped.
    Known,
    /// The first of another process: what its predecessor left unfinished is gone.
    Fresh,
}
