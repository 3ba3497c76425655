//! What comes from one peer, held against the numbers it has.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use raft_cluster::Envelope;
use serde::{Deserialize, Serialize};

use crate::message::{Message, Way};

/// Messages with numbers that count up. A broadcast begins wherever a server joins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stream {
    first: Option<u64>,
    next: u64,
    /// Those between the two that have not come.
    missing: BTreeSet<u64>,
    pub(crate) came: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
}

impl Stream {
    fn note(&mut self, number: u64) {
        self.came += 1;
        let is_early = number >= self.next;
        self.advance(number);
        if is_early {
            self.next = number + 1;
        } else if self.missing.remove(&number) {
            self.reordered += 1;
        } else {
            self.repeated += 1;
        }
    }

    /// What has a smaller number had to come before.
    fn advance(&mut self, number: u64) {
        if self.first.is_none() {
            (self.first, self.next) = (Some(number), number);
        }
        self.missing.extend(self.next..number);
        self.next = self.next.max(number);
    }

    /// From the first that came to the last, if any did.
    pub(crate) fn range(&self) -> Option<Range<u64>> {
        self.first.map(|first| first..self.next)
    }

    /// Which of these numbers have not come.
    pub(crate) fn absent(&self, expected: Range<u64>) -> impl Iterator<Item = u64> {
        let Range { start, end } = expected;
        let first = self.first.unwrap_or(end);
        let after = if self.first.is_some() { self.next.max(start) } else { end };
        let missing =
            self.missing.iter().copied().filter(move |number| (start..end).contains(number));
        (start..first.min(end)).chain(missing).chain(after..end)
    }
}

/// What one peer has sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) singles: Stream,
    pub(crate) broadcasts: Stream,
    pub(crate) damaged: u64,
    /// The longest time between two messages, and before the first if the peer was there already.
    pub(crate) silence: Duration,
    #[serde(skip)]
    heard_at: Option<Instant>,
}

impl Received {
    /// From a peer that is to be heard from now on, or at any time.
    pub(crate) fn since(start: Option<Instant>) -> Self {
        Self { heard_at: start, ..Self::default() }
    }

    pub(crate) fn note(&mut self, envelope: &Envelope, now: Instant) {
        if let Some(before) = self.heard_at.replace(now) {
            self.silence = self.silence.max(now - before);
        }
        let Some(Message { way, number, broadcasts }) = Message::decode(envelope) else {
            self.damaged += 1;
            return;
        };
        match way {
            Way::Broadcast => self.broadcasts.note(number),
            Way::Single => {
                // It was put in the outbox behind so many of the others.
                self.singles.reordered += u64::from(self.broadcasts.next > broadcasts);
                self.broadcasts.advance(broadcasts);
                self.singles.note(number);
            }
        }
    }

    pub(crate) fn came(&self) -> u64 {
        self.singles.came + self.broadcasts.came
    }
}
