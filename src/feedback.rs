//! The one channel from the input thread to the output thread.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::link::PeerStatus;

/// How much feedback waits for the output thread, for each peer.
const CAPACITY_FOR_EACH: usize = 16;

/// What the input thread has learnt of a peer, on its way to the output thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// Of which peer: its place among the peers, in the order of the configuration.
    pub(crate) peer: usize,
    pub(crate) status: PeerStatus,
}

/// The channel for so many peers.
pub(crate) fn channel(peers: usize) -> (Sender<Feedback>, Receiver<Feedback>) {
    bounded(CAPACITY_FOR_EACH * peers.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_each_peer_and_some_without_any() {
        let room = |peers| channel(peers).0.capacity().unwrap();
        assert_eq!([0, 1, 40].map(room), [1, 1, 40].map(|peers| peers * CAPACITY_FOR_EACH));
    }
}
