//! The inbox, seen from the side that fills it.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};

use crate::envelope::Envelope;

/// How many envelopes are counted together.
const LOT: usize = 64;

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

#[derive(Clone, Copy, Debug, Default)]
struct Lot {
    envelopes: usize,
    bytes: usize,
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

    pub(crate) fn put(&mut self, envelope: Envelope) -> Put {
        if self.is_laden() {
            return Put::Full(envelope);
        }
        let bytes = envelope.msg.len();
        match self.inbox.try_send(envelope) {
            Ok(()) => self.note(bytes),
            Err(TrySendError::Full(envelope)) => Put::Full(envelope),
            Err(TrySendError::Disconnected(_)) => Put::Closed,
        }
    }

    /// Waits for room, at most this long.
    pub(crate) fn put_within(&mut self, envelope: Envelope, timeout: Duration) -> Put {
        let bytes = envelope.msg.len();
        match self.inbox.send_timeout(envelope, timeout) {
            Ok(()) => self.note(bytes),
            Err(SendTimeoutError::Timeout(envelope)) => Put::Full(envelope),
            Err(SendTimeoutError::Disconnected(_)) => Put::Closed,
        }
    }

    /// Whether as many bytes wait as may.
    pub(crate) fn is_laden(&mut self) -> bool {
        if self.bytes < self.limit {
            return false;
        }
        let waiting = self.inbox.len();
        while let Some(lot) = self.lots.front().copied() {
            let gone = self.envelopes - lot.envelopes >= waiting;
            if !gone {
                break;
            }
            self.lots.pop_front();
            self.envelopes -= lot.envelopes;
            self.bytes -= lot.bytes;
        }
        self.bytes >= self.limit && !self.lots.is_empty()
    }

    fn note(&mut self, bytes: usize) -> Put {
        self.envelopes += 1;
        self.bytes += bytes;
        match self.lots.back_mut() {
            Some(lot) if lot.envelopes < LOT && lot.bytes < self.limit / LOT => {
                lot.envelopes += 1;
                lot.bytes += bytes;
            }
            _ => self.lots.push_back(Lot { envelopes: 1, bytes }),
        }
        Put::Done
    }
}
