//! What an application asks and has to answer, and what it keeps of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::NEVER;
use crate::asker::{Asked, Asker, NoAnswer, Questions};
use crate::envelope::{Envelope, Pid};
use crate::event::Reason;
use crate::server::outboxes::Outboxes;
use crate::sim::audit::Audit;
use crate::sim::message::{QuestionId, Record};

/// What the audit takes for outboxes: answers overtake what else is in the inbox. Each asker has
/// its own for questions, and another one for answers.
pub(super) const REPLIES: u32 = 1_000_000;
const ASKERS: u32 = 1_000_001;

/// What the application asks, and what it has to answer.
pub(in crate::sim) struct Asking {
    pub(super) table: Arc<Questions>,
    outboxes: Arc<Outboxes>,
    pub(super) asker: Option<Asker>,
    /// How many askers there were.
    askers: u32,
    pub(super) asked: u64,
    pub(super) open: Vec<Question>,
    /// What it has read and not looked at.
    pub(super) read: Vec<Envelope>,
    /// What it is going to answer, and when.
    pub(super) owed: Vec<(Duration, Envelope)>,
    /// What came back as an event, although it was a question.
    pub(super) returned: Vec<(QuestionId, Reason)>,
    /// How many answers came, for whomever.
    pub(super) answers: usize,
    /// How many questions it is still to put to each peer although all is calm.
    pub(in crate::sim) inquiries: BTreeMap<Pid, u32>,
    /// Who has not answered one of those.
    pub(in crate::sim) silent: BTreeMap<Pid, NoAnswer>,
}

/// A question, for as long as somebody holds on to it.
pub(super) struct Question {
    pub(super) id: QuestionId,
    pub(super) peer: Pid,
    /// Its id on the way.
    pub(super) msg_id: i64,
    pub(super) asked: Asked,
    /// It finds no room in the outbox.
    pub(super) unsent: Option<(Envelope, Sender<Envelope>)>,
    /// By which outbox it goes, and with what number among all that its process has written.
    pub(super) lane: u32,
    pub(super) record: Record,
    pub(super) bytes: usize,
    /// Until when the application waits.
    pub(super) until: Duration,
    /// How often the peer had been gone when it was asked.
    pub(super) partings: u64,
    /// Whether it could not be delivered.
    pub(super) came_back: bool,
    /// Whether it is known what became of it.
    pub(super) is_over: bool,
}

impl Asking {
    pub(super) fn new(table: Arc<Questions>, outboxes: Arc<Outboxes>) -> Self {
        Self {
            table,
            outboxes,
            asker: None,
            askers: 0,
            asked: 0,
            open: Vec::new(),
            read: Vec::new(),
            owed: Vec::new(),
            returned: Vec::new(),
            answers: 0,
            inquiries: BTreeMap::new(),
            silent: BTreeMap::new(),
        }
    }

    /// Takes another asker, for these peers.
    pub(super) fn renew(&mut self, peers: &[Pid]) {
        let (table, outboxes) = (Arc::clone(&self.table), Arc::clone(&self.outboxes));
        self.asker = Some(Asker::new(table, outboxes, peers));
        self.askers += 1;
    }

    /// Whether it has ever had an asker.
    pub(super) fn has_asked(&self) -> bool {
        self.askers > 0
    }

    /// By which outbox questions go, and answers.
    pub(super) fn lanes(&self) -> (u32, u32) {
        let questions = ASKERS + 2 * self.askers;
        (questions, questions + 1)
    }

    /// A question came out of the inbox.
    pub(super) fn take_up(&mut self, question: Envelope) {
        self.read.push(question);
    }

    /// How many answers are to be written.
    pub(in crate::sim) fn owes(&self) -> usize {
        self.read.len() + self.owed.len()
    }

    /// Whether there is something to put in the outboxes.
    pub(super) fn is_busy(&self) -> bool {
        let unsent = |question: &Question| question.unsent.is_some();
        self.owes() > 0 || !self.inquiries.is_empty() || self.open.iter().any(unsent)
    }

    /// Whether it waits for an answer that has to come.
    pub(in crate::sim) fn is_inquiring(&self) -> bool {
        let waits = |question: &Question| question.until == NEVER && !question.is_over;
        !self.inquiries.is_empty() || self.open.iter().any(waits)
    }

    /// It asks and answers nothing more. What is on its way may be answered yet.
    pub(super) fn leave(&mut self, audit: &mut Audit) {
        self.asker = None;
        self.read.clear();
        self.owed.clear();
        self.inquiries.clear();
        self.drop_questions(audit, |question| question.unsent.is_some());
    }

    pub(super) fn drop_questions(
        &mut self,
        audit: &mut Audit,
        is_dropped: impl Fn(&Question) -> bool,
    ) {
        self.open.retain(|question| {
            let dropped = is_dropped(question);
            if dropped {
                audit.questions.abandon(question.id);
            }
            !dropped
        });
    }
}
