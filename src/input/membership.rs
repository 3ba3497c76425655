//! The cluster changes while the thread runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TryRecvError, never};

use super::{Input, PeerReceiver};
use crate::envelope::Pid;
use crate::key::Keyring;

/// A change of the cluster, for the input thread.
pub(crate) struct Change {
    pub(crate) removed: Vec<Pid>,
    pub(crate) added: Vec<PeerReceiver>,
    /// The keys from now on, if they are others.
    pub(crate) keys: Option<Arc<Keyring>>,
    /// Told once all is changed.
    pub(crate) done: Sender<()>,
}

impl Input {
    pub(super) fn take_changes(&mut self, now: Duration) -> io::Result<()> {
        loop {
            match self.setup.changes.try_recv() {
                Ok(change) => self.change(change, now)?,
                Err(TryRecvError::Empty) => return Ok(()),
                // The output thread has ended, and this one is about to.
                Err(TryRecvError::Disconnected) => {
                    self.setup.changes = never();
                    return Ok(());
                }
            }
        }
    }

    fn change(&mut self, change: Change, now: Duration) -> io::Result<()> {
        for pid in change.removed {
            self.remove(pid);
        }
        change.added.into_iter().for_each(|peer| self.add(peer, now));
        self.find_places();
        let count = self.setup.peers.len();
        for peer in &mut self.setup.peers {
            peer.share_events(count);
            // The way to it may be another one, which does not know.
            peer.forget_told_proof();
        }
        if let Some(keys) = &change.keys {
            self.setup.inlet.handle_keys(keys)?;
        }
        // Who waits for it may have gone.
        let _ = change.done.try_send(());
        Ok(())
    }

    /// Notes where each peer is.
    pub(super) fn find_places(&mut self) {
        let peers = self.setup.peers.iter().enumerate();
        self.by_pid = peers.map(|(at, peer)| (peer.pid(), at)).collect();
        self.next_peer = 0;
    }

    fn add(&mut self, mut peer: PeerReceiver, now: Duration) {
        let pid = peer.pid();
        if let Some(mut link) = self.former.remove(&pid) {
            link.revive(now);
            peer.link = link;
        }
        if self.setup.inbox.is_none() {
            peer.close();
        }
        self.setup.questions.add(pid);
        self.setup.peers.push(peer);
    }

    fn remove(&mut self, pid: Pid) {
        let Some(at) = self.setup.peers.iter().position(|peer| peer.pid() == pid) else { return };
        let mut link = self.setup.peers.remove(at).link;
        link.retire();
        self.former.insert(pid, link);
        self.setup.questions.remove(pid);
        self.setup.inlet.forget(pid);
    }
}
