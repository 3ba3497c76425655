//! The application answers what its peers ask: some of it late, twice or never.

use std::time::Duration;

use crossbeam_channel::TrySendError;

use super::Process;
use super::asking::REPLIES;
use crate::envelope::Envelope;
use crate::server::outboxes;
use crate::sim::message::{self, QuestionId, Record, Wish};
use crate::sim::plan::up_to;
use crate::sim::world::Surroundings;

/// How late an application answers, at most.
const LATE: Duration = Duration::from_secs(6);

/// There is no room for an answer.
struct Full;

impl Process {
    /// What was read is to be answered: at once or late, twice or never; in the end, at once.
    pub(super) fn take_up_questions(&mut self, calm: bool, world: &mut Surroundings<'_>) {
        for question in std::mem::take(&mut self.app.asking.read) {
            if !calm && world.rng.u32(..8) == 0 {
                self.send_on(&question, world);
            }
            let times = match world.rng.u32(..8) {
                0 if !calm => 0,
                1 => 2,
                _ => 1,
            };
            for _ in 0..times {
                let late = if world.rng.bool() { up_to(world.rng, LATE) } else { Duration::ZERO };
                self.app.asking.owed.push((world.now + late, question.clone()));
            }
        }
    }

    /// Tells a peer what was asked, by the outbox for all, if there is room.
    fn send_on(&mut self, question: &Envelope, world: &mut Surroundings<'_>) {
        let outbox = self.app.outbox.as_ref().filter(|_| self.app.unsent.is_none());
        let Some(outbox) = outbox else { return };
        let to = self.ways[world.rng.usize(..self.ways.len())].peer;
        let record = Record { writer: self.id, serial: self.app.written };
        let message = message::sent_on(question, to, record, self.draw_length(world));
        if outbox.try_send(message).is_ok() {
            self.note_sent(to, outboxes::FIRST, Wish::None, world);
        }
    }

    /// What finds no room is tried again.
    pub(super) fn send_answers(&mut self, calm: bool, world: &mut Surroundings<'_>) {
        for (due, question) in std::mem::take(&mut self.app.asking.owed) {
            let is_due = calm || due <= world.now;
            if !is_due || self.answer(&question, calm, world).is_err() {
                self.app.asking.owed.push((due, question));
            }
        }
    }

    /// Answers by the asker, or by the outbox for all. Fails if there is no room.
    fn answer(
        &mut self,
        question: &Envelope,
        calm: bool,
        world: &mut Surroundings<'_>,
    ) -> Result<(), Full> {
        let (id, to) = (QuestionId::of(question), question.from);
        let bytes = if calm { QuestionId::LEN } else { self.draw_length(world) };
        let msg = id.write(Record { writer: self.id, serial: self.app.written }, bytes);
        let aside = self.app.outbox.as_ref().filter(|_| self.app.unsent.is_none());
        let aside = aside.filter(|_| world.rng.u32(..4) == 0);
        let (sent, lane) = match (aside, &self.app.asking.asker) {
            (Some(outbox), _) => (outbox.try_send(question.reply(msg)), REPLIES),
            (None, Some(asker)) => (asker.answer(question, msg), self.app.asking.lanes().1),
            (None, None) => return Ok(()),
        };
        match sent {
            Ok(()) => {
                world.audit.questions.answer(id);
                self.note_sent(to, lane, Wish::ForSession(question.session), world);
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(Full),
            // Nobody waits for it any more.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}
