//! The one channel from the input thread to the output thread.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::envelope::Pid;
use crate::key::PublicKey;
use crate::link::PeerStatus;

/// How much feedback waits for the output thread, for each peer, and for how many at least: more may
/// join.
const CAPACITY_FOR_EACH: usize = 16;
const FEW_PEERS: usize = 8;

/// What the input thread has learnt of a peer, on its way to the output thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feedback {
    pub(crate) peer: Pid,
    pub(crate) news: News,
}

/// What there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// How it stands.
    Status(PeerStatus),
    /// It has proved to have this key.
    Proof(PublicKey),
}

/// The channel for so many peers.
pub(crate) fn channel(peers: usize) -> (Sender<Feedback>, Receiver<Feedback>) {
    bounded(CAPACITY_FOR_EACH * peers.max(FEW_PEERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_each_peer_and_some_without_any() {
        let room = |peers| channel(peers).0.capacity().unwrap();
        assert_eq!([0, 8, 40].map(room), [8, 8, 40].map(|peers| peers * CAPACITY_FOR_EACH));
    }
}
