//! The cluster changes while the thread runs.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{TryRecvError, never};

use crate::envelope::Pid;
use crate::input;
use crate::key::Keyring;
use crate::link::Room;
use crate::output::{Output, PeerSender};
use crate::transport::Outlet;

/// A change of the cluster. It is carried out by the output thread first, so that the input thread
/// tells nothing of a peer that is not known there.
pub(crate) struct Change {
    pub(crate) removed: Vec<Pid>,
    pub(crate) added: Vec<PeerSender>,
    /// Peers that are to be found elsewhere.
    pub(crate) rerouted: Vec<(Pid, Box<dyn Outlet>)>,
    /// The keys from now on, if they are others.
    pub(crate) keys: Option<Arc<Keyring>>,
    /// What the input thread makes of it.
    pub(crate) input: input::Change,
}

impl Output {
    pub(super) fn take_changes(&mut self, now: Duration) {
        loop {
            match self.setup.changes.try_recv() {
                Ok(change) => self.change(change, now),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.setup.changes = never(),
            }
        }
    }

    fn change(&mut self, change: Change, now: Duration) {
        let peers = &mut self.setup.peers;
        for pid in change.removed {
            peers.remove(pid, now, &mut self.setup.events);
        }
        for (pid, outlet) in change.rerouted {
            if let Some(peer) = peers.get_mut(pid) {
                peer.reroute(outlet);
            }
        }
        if let Some(keys) = change.keys {
            peers.iter_mut().for_each(|peer| peer.handle_keys(&keys, now));
        }
        change.added.into_iter().for_each(|peer| peers.add(peer, now));
        let count = peers.len();
        peers.iter_mut().for_each(|peer| peer.share_events(count));
        // Nothing is gathered between two turns.
        self.packer.resize(count);
        self.rooms = vec![Room::Yes; count];
        // If the input thread has ended, whoever waits for it learns that.
        let _ = self.setup.input_changes.try_send(change.input);
        self.setup.waker.wake();
    }
}
