//! What the output thread is told of where its peers are.

use crossbeam_channel::{Receiver, RecvError, never};

use crate::output::Output;
use crate::transport::Resolved;

impl Output {
    /// Has it listen to what is found of the peers whose urls have names.
    pub(crate) fn listen_to(&mut self, resolved: Receiver<Resolved>) {
        self.resolved = resolved;
    }

    pub(super) fn take_resolved(&mut self) {
        while let Ok(resolved) = self.resolved.try_recv() {
            self.handle_resolved(Ok(resolved));
        }
    }

    /// Passes on what has come out of the channel, which ends where no name is looked up any more.
    pub(super) fn handle_resolved(&mut self, resolved: Result<Resolved, RecvError>) {
        match resolved {
            Ok(Resolved { peer, addresses }) => {
                self.setup.peers[peer].handle_addresses(&addresses);
            }
            Err(RecvError) => self.resolved = never(),
        }
    }
}
