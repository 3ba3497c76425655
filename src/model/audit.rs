//! What the applications see, and what must be true of it.

use std::collections::BTreeMap;

use crate::envelope::Envelope;
use crate::event::{Event, Rejection};

/// What has become of the envelopes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Audit {
    /// How many envelopes the present sender has accepted.
    pub(super) pushed: u64,
    /// How many of them its peer has ever acknowledged.
    pub(super) acknowledged: u64,
    /// How many of them the sender told its application that they were not, when it ended.
    pub(super) reported: u64,
    /// What entered the inbox of the present receiver last: which process sent it, and its number.
    entered: BTreeMap<u64, u64>,
    /// The first of the present sender's envelopes that entered no inbox yet.
    pub(super) fresh: u64,
    pub(super) verdict: Verdict,
}

/// What is wrong with what has happened so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    Fine,
    /// An envelope entered twice, or after a later one.
    Disorder,
    /// An envelope was left out that nobody had acknowledged, or acknowledged by a process that had
    /// left it out.
    Loss,
    /// An envelope was given up, although nothing called for it.
    GivenUp,
    /// An acknowledgement was refused as false.
    FalseAcknowledgement,
    /// What may be lost was not sent again at once.
    NotSentAgain,
    /// The output thread is not told what the input thread knows.
    NewsWithheld,
    /// The report of a sender is not what its peer has not acknowledged.
    FalseReport,
}

impl Audit {
    pub(super) fn new() -> Self {
        Self {
            pushed: 0,
            acknowledged: 0,
            reported: 0,
            entered: BTreeMap::new(),
            fresh: 0,
            verdict: Verdict::Fine,
        }
    }

    /// The sender's application sends an envelope. Returns its id.
    pub(super) fn push(&mut self, sender: u64) -> i64 {
        self.pushed += 1;
        i64::try_from(sender << 32 | (self.pushed - 1)).unwrap()
    }

    /// An envelope enters the receiver's inbox.
    pub(super) fn enter(&mut self, envelope: &Envelope, sender: u64) {
        let id = u64::try_from(envelope.msg_id).unwrap();
        let (writer, number) = (id >> 32, id & 0xffff);
        let next = self.entered.get(&writer).map_or(0, |last| last + 1);
        if number < next {
            self.verdict = Verdict::Disorder;
        } else if writer == sender && number > next && number > self.acknowledged {
            self.verdict = Verdict::Loss;
        }
        if writer == sender {
            self.fresh = self.fresh.max(number + 1);
        }
        self.entered.insert(writer, number);
    }

    /// So many envelopes of the sender are acknowledged, if only the present receiver has `spoken`
    /// since the last time.
    pub(super) fn acknowledge(&mut self, acknowledged: u64, sender: u64, spoken: bool) {
        let entered = self.entered.get(&sender).map_or(0, |last| last + 1);
        if spoken && acknowledged > self.acknowledged.max(entered) {
            self.verdict = Verdict::Loss;
        }
        self.acknowledged = acknowledged;
    }

    /// The sender has ended and left so many envelopes behind.
    pub(super) fn report(&mut self, undelivered: u64) {
        self.reported = undelivered;
        if self.acknowledged + undelivered != self.pushed {
            self.verdict = Verdict::FalseReport;
        }
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Missed { .. } | Event::Undeliverable { .. } => self.verdict = Verdict::GivenUp,
            Event::Rejected { reason: Rejection::FalseAcknowledgement(_), .. } => {
                self.verdict = Verdict::FalseAcknowledgement;
            }
            // One of an older process may be refused aloud, which changes nothing.
            _ => {}
        }
    }

    /// Another process of the sender has begun.
    pub(super) fn restart_sender(&mut self) {
        self.pushed = 0;
        self.acknowledged = 0;
        self.fresh = 0;
    }

    /// Another process of the receiver has begun.
    pub(super) fn restart_receiver(&mut self) {
        self.entered.clear();
    }

    /// Whether all has entered and is acknowledged, or else reported.
    pub(super) fn is_complete(&self) -> bool {
        let settled = self.acknowledged + self.reported == self.pushed;
        settled && (self.fresh == self.pushed || self.reported > 0)
    }
}
