//! What a leader says while all is well: the same in every bench that has one.

use std::time::Duration;

/// How often the leader gives a sign of life, and its length in bytes.
pub const HEARTBEAT: Duration = Duration::from_millis(50);
pub const HEARTBEAT_SIZE: usize = 64;

/// How many entries a follower is sent per second, and the length of each in bytes.
pub const RATE: u32 = 1_600;
pub const ENTRY: usize = 4_096;
