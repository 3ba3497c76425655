//! How much may be on its way to a living peer.

use std::time::Duration;

use crate::frame::Sequence;

/// How much longer than twice its shortest time an acknowledgement may take, before it counts as held up
/// by what was sent ahead of it.
const SLACK: Duration = Duration::from_millis(5);

/// Finds out how much it takes to keep a peer busy: what is sent beyond that only waits in buffers, and
/// whatever is sent next has to wait behind it. It also has to go through memory instead of the
/// processor's cache, so that a short queue is the faster one, too.
///
/// It goes by how long the peer takes to acknowledge what it was asked to: more may be on its way while
/// that is soon, and less when it is late.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Allowance {
    bytes: usize,
    least: usize,
    most: usize,
    /// The shortest time that an acknowledgement takes.
    quickest: Option<Duration>,
    question: Option<Question>,
}

/// A frame of which the peer was asked to acknowledge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    sequence: Sequence,
    at: Duration,
    /// How much was on its way, in bytes.
    used: usize,
}

impl Allowance {
    /// Begins with the `least`.
    pub(super) fn new(least: usize, most: usize) -> Self {
        Self { bytes: least, least, most, quickest: None, question: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The peer is asked to acknowledge the frame with this sequence, while so much is on its way.
    pub(super) fn ask(&mut self, sequence: Sequence, used: usize, now: Duration) {
        self.question.get_or_insert(Question { sequence, at: now, used });
    }

    /// All before `next` is acknowledged.
    pub(super) fn answer(&mut self, next: Sequence, now: Duration) {
        let Some(question) = self.question.take_if(|question| question.sequence < next) else {
            return;
        };
        let took = now.saturating_sub(question.at);
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took));
        self.quickest = Some(quickest);
        let late = quickest * 2 + SLACK;
        if took > late && self.bytes == self.least {
            // It is not for what was sent ahead: the way has become longer, or the peer slower.
            self.quickest = Some(took);
        } else if took > late {
            self.bytes = (self.bytes - self.bytes / 4).max(self.least);
        } else if took < late / 2 && question.used > self.bytes / 2 {
            self.bytes = (self.bytes + self.bytes / 2).min(self.most);
        }
    }

    /// What was asked is sent again, so that nobody can tell which of the two is answered.
    pub(super) fn withdraw(&mut self) {
        self.question = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: usize = 1_000;
    const MOST: usize = 10_000;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// Asks with all of the allowance in use, and answers after so many milliseconds.
    fn ask_and_answer(allowance: &mut Allowance, took: u64) -> usize {
        let asked = Sequence::FIRST;
        allowance.ask(asked, allowance.bytes(), millis(100));
        allowance.answer(asked.next(), millis(100 + took));
        allowance.bytes()
    }

    #[test]
    fn it_grows_to_the_window_while_answers_come_soon() {
        let mut allowance = Allowance::new(LEAST, MOST);
        let grown: Vec<_> = (0..7).map(|_| ask_and_answer(&mut allowance, 1)).collect();
        assert_eq!(grown, [1_500, 2_250, 3_375, 5_062, 7_593, 10_000, 10_000]);
    }

    #[test]
    fn it_shrinks_to_the_least_while_they_are_late() {
        let mut allowance = Allowance::new(LEAST, MOST);
        for _ in 0..7 {
            ask_and_answer(&mut allowance, 1);
        }
        let shrunk: Vec<_> = (0..9).map(|_| ask_and_answer(&mut allowance, 8)).collect();
        assert_eq!(shrunk, [7_500, 5_625, 4_219, 3_165, 2_374, 1_781, 1_336, 1_002, 1_000]);
    }

    #[test]
    fn a_distant_peer_is_not_late() {
        let mut allowance = Allowance::new(LEAST, MOST);
        assert_eq!(ask_and_answer(&mut allowance, 50), 1_500);
        assert_eq!(ask_and_answer(&mut allowance, 60), 1_500);
        assert_eq!(ask_and_answer(&mut allowance, 104), 1_500);
        assert_eq!(ask_and_answer(&mut allowance, 106), 1_125);
    }

    #[test]
    fn a_peer_that_has_become_distant_is_late_for_a_while() {
        let mut allowance = Allowance::new(LEAST, MOST);
        let after: Vec<_> =
            [1, 60, 60, 60, 60].map(|took| ask_and_answer(&mut allowance, took)).into();
        assert_eq!(after, [1_500, 1_125, 1_000, 1_000, 1_500]);
    }

    #[test]
    fn it_does_not_grow_when_it_is_not_used() {
        let mut allowance = Allowance::new(LEAST, MOST);
        allowance.ask(Sequence::FIRST, LEAST / 2, millis(0));
        allowance.answer(Sequence::FIRST.next(), millis(1));
        assert_eq!(allowance.bytes(), LEAST);
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let mut allowance = Allowance::new(LEAST, MOST);
        let second = Sequence::FIRST.next();
        allowance.ask(second, LEAST, millis(0));
        allowance.answer(second, millis(1));
        assert_eq!(allowance.bytes(), LEAST);
        allowance.withdraw();
        allowance.answer(second.next(), millis(1));
        assert_eq!(allowance.bytes(), LEAST);
    }
}
