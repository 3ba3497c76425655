//! Which libzmq this is.

use std::fmt;

/// The libzmq that this library is linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Libzmq {
    /// Its version: major, minor, patch.
    pub version: (i32, i32, i32),
    /// Whether it has CURVE, without which no server starts whose cluster has keys.
    pub curve: bool,
}

/// Tells which libzmq this library is linked with.
///
/// ```
/// println!("{}", raft_cluster::libzmq()); // such as "libzmq 4.3.4 with CURVE"
/// ```
pub fn libzmq() -> Libzmq {
    Libzmq { version: zmq::version(), curve: zmq::has("curve") == Some(true) }
}

impl fmt::Display for Libzmq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        let curve = if self.curve { "with" } else { "without" };
        write!(f, "libzmq {major}.{minor}.{patch} {curve} CURVE")
    }
}
