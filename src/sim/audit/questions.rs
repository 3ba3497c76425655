//! The plain model of questions: whom each reached, and what who asked was told.

use std::collections::BTreeMap;

use super::ProcessId;
use crate::asker::NoAnswer;
use crate::envelope::{Envelope, Pid};
use crate::frame::Incarnation;
use crate::sim::message::QuestionId;

/// Checks what becomes of every question; what must not be ends the test.
#[derive(Default)]
pub(in crate::sim) struct QuestionAudit {
    questions: BTreeMap<QuestionId, Question>,
}

struct Question {
    peer: Pid,
    /// The process that it is for.
    listener: ProcessId,
    /// Whether that has read it, and has sent an answer.
    reached: bool,
    answered: bool,
    /// Whether who asked waits no more.
    is_over: bool,
}

impl QuestionAudit {
    fn question(&mut self, id: QuestionId) -> &mut Question {
        self.questions.get_mut(&id).unwrap_or_else(|| panic!("{id:?} was never asked"))
    }

    /// A question is put to the process that speaks for a peer.
    pub(in crate::sim) fn open(&mut self, id: QuestionId, peer: Pid, listener: ProcessId) {
        let (reached, answered, is_over) = (false, false, false);
        let question = Question { peer, listener, reached, answered, is_over };
        assert!(self.questions.insert(id, question).is_none(), "{id:?} is asked twice");
    }

    /// It came out of an inbox.
    pub(in crate::sim) fn reach(&mut self, id: QuestionId, at: ProcessId) {
        let question = self.question(id);
        assert_eq!(at, question.listener, "{id:?} is for another process");
        let again = std::mem::replace(&mut question.reached, true);
        assert!(!again, "{id:?} reached {at} twice");
    }

    /// Who has read it has put an answer in an outbox.
    pub(in crate::sim) fn answer(&mut self, id: QuestionId) {
        self.question(id).answered = true;
    }

    /// Who asked learns what became of it.
    pub(in crate::sim) fn tell(&mut self, id: QuestionId, told: &Result<Envelope, NoAnswer>) {
        let question = self.question(id);
        let again = std::mem::replace(&mut question.is_over, true);
        assert!(!again, "{id:?} is told of {told:?}, and was over");
        let Ok(answer) = told else { return };
        assert_eq!(QuestionId::of(answer), id, "the answer is to another question");
        assert!(question.reached && question.answered, "nobody answered {id:?}: {answer:?}");
        let from = (answer.from, answer.session.process().map(Incarnation::to_wire));
        assert_eq!(from, (question.peer, Some(question.listener)), "who answers {id:?}");
    }

    /// Who asked waits no longer.
    pub(in crate::sim) fn abandon(&mut self, id: QuestionId) {
        self.question(id).is_over = true;
    }

    /// An answer was acknowledged by this process: then it is there, and nobody waits for it.
    pub(in crate::sim) fn acknowledge(&mut self, id: QuestionId, by: Option<ProcessId>) {
        assert_eq!(by, Some(id.asker), "the answer to {id:?} is another's");
        assert!(self.question(id).is_over, "the answer to {id:?} was lost");
    }
}
