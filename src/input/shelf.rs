//! The inbox, seen from the side that fills it.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};

use crate::clock::give_way;
use crate::envelope::Envelope;

/// The sending end of the inbox, which knows how many bytes wait in it: the channel bounds the
/// envelopes, and this their size.
#[derive(Debug)]
pub(crate) struct Shelf {
    inbox: Sender<Envelope>,
    /// What was put in and may still be there, oldest first.
    lots: VecDeque<Lot>,
    envelopes: usize,
    bytes: usize,
    limit: usize,
}

/// Envelopes that were put on the shelf together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lot {
    pub(crate) envelopes: usize,
    pub(crate) bytes: usize,
}

/// What became of an envelope that was to go on the shelf.
#[derive(Debug)]
pub(crate) enum Put {
    Done,
    Full(Envelope),
    /// The application has dropped the inbox.
    Closed,
}

impl Shelf {
    /// A shelf that takes nothing while `limit` bytes wait on it. One envelope fits on an empty one,
    /// whatever its size.
    pub(crate) fn new(inbox: Sender<Envelope>, limit: usize) -> Self {
        Self { inbox, lots: VecDeque::new(), envelopes: 0, bytes: 0, limit }
    }

    /// Puts an envelope on the shelf, which must not be laden. It is to be [noted](Self::note) afterwards.
    #[inline]
    pub(crate) fn put(&self, envelope: Envelope) -> Put {
        match self.inbox.try_send(envelope) {
            Ok(()) => Put::Done,
            Err(TrySendError::Full(envelope)) => Put::Full(envelope),
            Err(TrySendError::Disconnected(_)) => Put::Closed,
        }
    }

    /// The same, waiting for room this long at most: if the application is reading fast, for much of it.
    pub(crate) fn put_within(&self, envelope: Envelope, timeout: Duration) -> Put {
        let capacity = self.inbox.capacity().unwrap_or_default();
        give_way(|| capacity.saturating_sub(self.inbox.len()), capacity / 2);
        match self.inbox.send_timeout(envelope, timeout) {
            Ok(()) => Put::Done,
            Err(SendTimeoutError::Timeout(envelope)) => Put::Full(envelope),
            Err(SendTimeoutError::Disconnected(_)) => Put::Closed,
        }
    }

    /// Takes note of what was put on the shelf.
    pub(crate) fn note(&mut self, lot: Lot) {
        if lot.envelopes > 0 {
            self.envelopes += lot.envelopes;
            self.bytes += lot.bytes;
            self.lots.push_back(lot);
            self.clear_gone();
        }
    }

    /// Whether as many bytes wait as may.
    pub(crate) fn is_laden(&mut self) -> bool {
        if self.bytes >= self.limit {
            self.clear_gone();
        }
        self.bytes >= self.limit && !self.lots.is_empty()
    }

    /// Forgets the lots of which nothing waits any more.
    fn clear_gone(&mut self) {
        let waiting = self.inbox.len();
        while let Some(lot) = self.lots.front().copied() {
            if self.envelopes - lot.envelopes < waiting {
                break;
            }
            self.lots.pop_front();
            self.envelopes -= lot.envelopes;
            self.bytes -= lot.bytes;
        }
    }
}
