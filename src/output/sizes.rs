//! How much one frame gathers. The bench `compare` includes this file too, so that what it measures
//! the library against gathers as much.

/// How many bytes of envelopes one frame gathers at most.
pub(crate) const MAX_BATCH: usize = 256 * 1024;

/// From which size a message is a frame of its own, in bytes. Below it two of them fit into a
/// batch, and to copy them costs less than another frame does, with a wake-up for each of five
/// threads.
pub(crate) const MIN_SINGLE: usize = MAX_BATCH / 2;
