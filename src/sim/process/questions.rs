//! The application asks its peers, and hears what becomes of its questions.
//!
//! All is one thread, so nobody waits: what a thread that asks would wait for is looked at again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Sender, TrySendError};

use super::asking::Question;
use super::{NEVER, Process};
use crate::asker::{Asked, NoAnswer, Passed};
use crate::envelope::{Envelope, Pid};
use crate::event::Reason;
use crate::frame::Incarnation;
use crate::input::Input;
use crate::sim::audit::Audit;
use crate::sim::message::{QuestionId, Record, Wish};
use crate::sim::plan::up_to;
use crate::sim::world::Surroundings;

/// How long an application waits for an answer, at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many questions an application has open, while it asks of itself.
const MOST_OPEN: usize = 6;

/// When an application looks again that has something to ask or to answer although all is calm.
const SOON: Duration = Duration::from_millis(1);

/// The outboxes are closed.
struct ShuttingDown;

impl Process {
    /// The application asks, and answers what it has read.
    pub(super) fn use_asker(&mut self, calm: bool, world: &mut Surroundings<'_>) {
        let now = world.now;
        self.app.asking.drop_questions(world.audit, |question| question.until <= now);
        if !self.is_relisting() {
            self.renew_asker(calm, world);
            self.ask_peers(calm, world);
            self.send_questions(world);
            self.take_up_questions(calm, world);
            self.send_answers(calm, world);
        }
        if calm && self.app.asking.is_busy() {
            self.app.leisure_until = now + SOON;
        }
    }

    /// The first asker is for all who are peers then; another one is made once in a while.
    fn renew_asker(&mut self, calm: bool, world: &mut Surroundings<'_>) {
        let leaves = self.app.outbox.is_none();
        let renews = !self.app.asking.has_asked() || !calm && world.rng.u32(..30) == 0;
        if renews && !leaves {
            let listed = self.ways.iter().filter(|way| way.unlisted.is_none());
            let listed: Vec<_> = listed.map(|way| way.peer).collect();
            self.app.asking.renew(&listed);
            self.notice_end();
        }
    }

    fn ask_peers(&mut self, calm: bool, world: &mut Surroundings<'_>) {
        if calm {
            for (peer, count) in std::mem::take(&mut self.app.asking.inquiries) {
                let asked = (0..count).take_while(|_| self.ask(peer, NEVER, world)).count() as u32;
                if asked < count {
                    self.app.asking.inquiries.insert(peer, count - asked);
                }
            }
        } else if self.app.asking.open.len() < MOST_OPEN && world.rng.bool() {
            let peer = self.ways[world.rng.usize(..self.ways.len())].peer;
            let until = world.now + up_to(world.rng, PATIENCE);
            self.ask(peer, until, world);
        }
    }

    /// Opens a question to a peer, and tells whether there is one who can be asked.
    fn ask(&mut self, peer: Pid, until: Duration, world: &mut Surroundings<'_>) -> bool {
        let Some(asker) = &self.app.asking.asker else { return false };
        match asker.open(peer, Bytes::new(), Instant::now()) {
            Ok(opened) => {
                assert!(self.standings.is_told_up(peer), "{} asks {peer}: not up", self.id);
                self.note_opened(peer, opened, until, world);
                true
            }
            Err(no_answer) => {
                self.check_refusal(peer, no_answer);
                false
            }
        }
    }

    fn note_opened(
        &mut self,
        peer: Pid,
        (question, outbox, asked): (Envelope, Sender<Envelope>, Asked),
        until: Duration,
        world: &mut Surroundings<'_>,
    ) {
        let listener = question.session.process().map(Incarnation::to_wire).expect("a process");
        self.standings.check_writer(peer, listener);
        let bytes = if until == NEVER { QuestionId::LEN } else { self.draw_length(world) };
        let asking = &mut self.app.asking;
        let id = QuestionId { asker: self.id, number: asking.asked };
        asking.asked += 1;
        world.audit.questions.open(id, peer, listener);
        asking.open.push(Question {
            id,
            peer,
            msg_id: question.msg_id,
            asked,
            unsent: Some((question, outbox)),
            lane: asking.lanes().0,
            record: Record { writer: self.id, serial: 0 },
            bytes,
            until,
            partings: self.standings.partings(peer),
            came_back: false,
            is_over: false,
        });
    }

    /// Nobody is asked who could be.
    fn check_refusal(&self, peer: Pid, no_answer: NoAnswer) {
        let makes_sense = match no_answer {
            NoAnswer::TimedOut => !self.standings.is_told_up(peer),
            NoAnswer::NoSuchPeer => {
                self.ways.iter().any(|way| way.peer == peer && way.was_unlisted)
            }
            NoAnswer::Ended => !self.takes_answers(),
            _ => false,
        };
        assert!(makes_sense, "{} cannot ask {peer}: {no_answer}", self.id);
    }

    /// Whether the input thread still has an inbox, with which answers end.
    fn takes_answers(&self) -> bool {
        self.input.logic.as_ref().is_some_and(Input::is_inbox_open)
    }

    /// A few are larger than the sender allows, or than the peer does.
    pub(super) fn draw_length(&self, world: &mut Surroundings<'_>) -> usize {
        let largest = self.limits.max_message as usize * 21 / 20;
        match world.rng.u32(..8) {
            0 => world.rng.usize(QuestionId::LEN..=largest),
            _ => world.rng.usize(QuestionId::LEN..=60),
        }
    }

    /// What is open and not in the outbox yet is put there, as far as there is room.
    fn send_questions(&mut self, world: &mut Surroundings<'_>) {
        for mut question in std::mem::take(&mut self.app.asking.open) {
            if self.send_question(&mut question, world).is_ok() {
                self.app.asking.open.push(question);
            } else {
                world.audit.questions.abandon(question.id);
                self.app.asking.asker = None;
            }
        }
    }

    /// Fails if the server is shutting down.
    fn send_question(
        &mut self,
        question: &mut Question,
        world: &mut Surroundings<'_>,
    ) -> Result<(), ShuttingDown> {
        let Some((mut envelope, outbox)) = question.unsent.take() else { return Ok(()) };
        let session = envelope.session;
        question.record = Record { writer: self.id, serial: self.app.written };
        envelope.msg = question.id.write(question.record, question.bytes);
        match outbox.try_send(envelope) {
            Ok(()) => {
                self.note_sent(question.peer, question.lane, Wish::ForSession(session), world);
            }
            Err(TrySendError::Full(envelope)) => question.unsent = Some((envelope, outbox)),
            Err(TrySendError::Disconnected(_)) => return Err(ShuttingDown),
        }
        Ok(())
    }

    /// An envelope was put in an outbox for one peer, which may be none any more.
    pub(super) fn note_sent(
        &mut self,
        peer: Pid,
        lane: u32,
        wish: Wish,
        world: &mut Surroundings<'_>,
    ) {
        let record = Record { writer: self.id, serial: self.app.written };
        self.app.written += 1;
        if self.ways.iter().any(|way| way.peer == peer && way.unlisted.is_none()) {
            world.audit.put(peer, record, lane, wish);
        }
    }

    /// After a turn of a thread: what it has told to those who ask, and that it has told all it
    /// knows.
    pub(super) fn hear_answers(&mut self, world: &mut Surroundings<'_>) {
        for passed in self.app.asking.table.take_passed() {
            match passed {
                Passed::Answer(answer) => self.note_answer(&answer, world.audit),
                Passed::GivenUp { peer, id, reason } => self.note_return(peer, id, reason, world),
            }
        }
        let mut open = std::mem::take(&mut self.app.asking.open);
        for question in &mut open {
            while let Some(told) = question.asked.poll() {
                world.audit.questions.tell(question.id, &told);
                question.is_over = true;
                self.check_told(question, &told);
            }
            self.check_open(question);
        }
        for (id, reason) in self.app.asking.returned.drain(..) {
            let waits = open.iter().any(|question| question.id == id && !question.is_over);
            assert!(!waits, "{id:?} came back ({reason}), and who waits for it was not told");
        }
        let still_open = open.iter().filter(|question| !question.is_over).count();
        assert_eq!(self.app.asking.table.open_count(), still_open, "{}: open questions", self.id);
        self.app.asking.open = open;
    }

    /// An answer has come, past the inbox.
    fn note_answer(&mut self, answer: &Envelope, audit: &mut Audit) {
        let record = Record::of(answer);
        self.standings.check_writer(answer.from, record.writer);
        self.app.asking.answers += 1;
        audit.enter((self.id, self.pid), record);
    }

    /// A question has come back, and who asked it was told.
    fn note_return(
        &mut self,
        peer: Pid,
        msg_id: i64,
        reason: Reason,
        world: &mut Surroundings<'_>,
    ) {
        let mut open = self.app.asking.open.iter_mut();
        let question = open.find(|question| (question.peer, question.msg_id) == (peer, msg_id));
        let question = question.expect("a question that is open");
        question.came_back = true;
        let own = question.bytes > self.limits.max_message as usize;
        let speaker = self.feedback.speakers.get(&peer).copied().flatten();
        world.audit.give_up((peer, speaker), question.record, reason, own);
    }

    /// What is told without an answer is true.
    fn check_told(&mut self, question: &Question, told: &Result<Envelope, NoAnswer>) {
        let Err(no_answer) = *told else { return };
        let gone = self.standings.partings(question.peer) > question.partings;
        let makes_sense = match no_answer {
            NoAnswer::PeerGone => question.came_back || gone,
            NoAnswer::Undeliverable(_) => question.came_back,
            NoAnswer::Ended => !self.takes_answers(),
            _ => false,
        };
        assert!(makes_sense, "{:?} is told: {no_answer}", question.id);
        if question.until == NEVER {
            self.app.asking.silent.insert(question.peer, no_answer);
        }
    }

    /// Nobody waits in vain.
    fn check_open(&self, question: &Question) {
        let gone = self.standings.partings(question.peer) > question.partings;
        let in_vain = gone || !self.takes_answers();
        assert!(question.is_over || !in_vain, "{:?} is still open", question.id);
    }
}
