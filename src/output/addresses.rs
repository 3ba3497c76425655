//! What the output thread is told of where its peers are.

use crossbeam_channel::{Receiver, TryRecvError, never};

use crate::output::Output;
use crate::transport::Resolved;

impl Output {
    /// Has it listen to what is found of the peers whose urls have names.
    pub(crate) fn listen_to(&mut self, resolved: Receiver<Resolved>) {
        self.resolved = resolved;
    }

    pub(super) fn take_resolved(&mut self) {
        loop {
            match self.resolved.try_recv() {
                Ok(resolved) => {
                    if let Some(peer) = self.setup.peers.get_mut(resolved.peer) {
                        peer.handle_addresses(&resolved);
                    }
                }
                Err(TryRecvError::Empty) => return,
                // No name is looked up any more.
                Err(TryRecvError::Disconnected) => return self.resolved = never(),
            }
        }
    }
}
