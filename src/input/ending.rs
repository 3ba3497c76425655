//! What ends the inbox, and the input thread after it.

use std::time::Duration;

use crossbeam_channel::TryRecvError;

use super::Input;
use crate::input::peer_receiver::PeerReceiver;
use crate::lifecycle::Stage;
use crate::report::Ending;
use crate::trace;

/// How long the end waits at most for peers to learn that their goodbye came in.
const PARTING: Duration = Duration::from_secs(1);

impl Input {
    /// Takes note of the stages. Returns whether the output thread is still there: it ends after this
    /// one, unless it was aborted or has panicked.
    pub(super) fn take_control(&mut self) -> bool {
        let is_there = loop {
            match self.setup.control.try_recv() {
                Ok(stage) => self.stage = stage,
                Err(TryRecvError::Empty) => break true,
                Err(TryRecvError::Disconnected) => break false,
            }
        };
        if matches!(self.stage, Stage::Stopping | Stage::Ending) || !is_there {
            self.ended.get_or_insert(Ending::Shutdown);
        }
        is_there
    }

    /// What has ended the inbox.
    pub(super) fn ended(&self) -> Ending {
        self.ended.unwrap_or_default()
    }

    /// Ends the inbox when there is no reason to keep it.
    pub(super) fn end_inbox(&mut self, now: Duration) {
        let leaving = matches!(self.stage, Stage::Leaving | Stage::Settled);
        let alone = leaving && self.setup.peers.iter().all(PeerReceiver::is_gone);
        self.alone_since = alone.then(|| self.alone_since.unwrap_or(now));
        let idle = self.idle_deadline().is_some_and(|deadline| now >= deadline);
        let ends = if self.is_waiting() { self.is_unread(now) } else { alone || idle };
        if self.setup.inbox.is_some() && ends {
            let cause = if alone { Ending::PeersLeft } else { Ending::Idle };
            trace::inbox_ended(*self.ended.get_or_insert(cause));
            self.setup.inbox = None;
            self.setup.peers.iter_mut().for_each(PeerReceiver::close);
        }
    }

    /// Whether what waits to enter the inbox waits in vain: no peer is there any more, and for the
    /// linger time the application has not made room for any of it.
    fn is_unread(&self, now: Duration) -> bool {
        let since = self.alone_since.map(|since| since.max(self.entered_at));
        since.is_some_and(|since| now >= since.saturating_add(self.setup.linger))
    }

    pub(super) fn idle_deadline(&self) -> Option<Duration> {
        self.setup.inbox.as_ref()?;
        self.setup.idle_timeout.map(|timeout| self.entered_at.saturating_add(timeout))
    }

    pub(super) fn is_finished(&mut self, now: Duration) -> bool {
        let settled = match self.stage {
            Stage::Open | Stage::Leaving | Stage::Stopping => false,
            Stage::Settled => self.setup.inbox.is_none(),
            Stage::Ending => true,
        };
        if !settled {
            return false;
        }
        let since = *self.parting_since.get_or_insert(now);
        !self.setup.peers.iter().any(PeerReceiver::is_parting) || now >= since + PARTING
    }

    /// When the partings have taken long enough, if that is all that is waited for.
    pub(super) fn parting_deadline(&self) -> Option<Duration> {
        self.parting_since.map(|since| since + PARTING)
    }
}
