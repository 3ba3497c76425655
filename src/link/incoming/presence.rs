//! What is told of a peer: how it stands, and what a frame of it turned out to be.

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
    Down,
    Restarted,
    Left,
    /// Awaited for the peer timeout, and not heard once.
    Absent,
    /// Heard, but it has not heard this server for the peer timeout.
    OneWay,
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// One of the process that is listened to, or of a replaced one, which is dropped.
    Known,
    /// The first of another process: what its predecessor left unfinished is gone.
    Fresh,
}
