//! Which process of a server is meant.

use std::fmt;

use crate::frame::Incarnation;

/// One process of a server: another one than before speaks for the same pid after a restart.
///
/// [`Server::session`](crate::Server::session) tells this process's own;
/// [`Envelope::session`](crate::Envelope::session), that of the process an envelope came from.
/// Nothing can be read from the number that it shows, and sessions have no order.
///
/// ```
/// use std::collections::HashMap;
/// use raft_cluster::{Pid, Session};
///
/// let mut speakers: HashMap<Pid, Session> = HashMap::new();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session(u64);

impl Session {
    pub(crate) const fn of(process: Incarnation) -> Self {
        Self(process.to_wire())
    }

    /// The process, unless it is that of an envelope that was not sent yet.
    pub(crate) fn process(self) -> Option<Incarnation> {
        Incarnation::from_wire(self.0)
    }
}

impl fmt::Display for Session {
    /// As 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
