//! The inbox, seen from the side that fills it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Select, Sender, TrySendError};

use crate::asker::Questions;
use crate::envelope::Envelope;
use crate::idle::back_off;

/// The sending end of the inbox, which knows how many bytes wait in it: the channel bounds the
/// envelopes, and this their size.
#[derive(Debug)]
pub(crate) struct BoundedInbox {
    inbox: Sender<Envelope>,
    /// Where answers go instead.
    questions: Arc<Questions>,
    /// What was put in and may still be there, oldest first.
    chunks: VecDeque<Chunk>,
    envelopes: usize,
    bytes: usize,
    limit: usize,
    /// How many envelopes were ever put in, or were answers.
    entered: usize,
}

/// Envelopes that were put in together.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    envelopes: usize,
    bytes: usize,
}

/// What became of envelopes that were to go into the inbox.
#[derive(Debug)]
pub(crate) enum Put {
    All,
    /// This one was the first that found no room.
    Full(Envelope),
    /// The application has dropped the inbox.
    Closed,
}

impl BoundedInbox {
    /// An inbox that takes nothing while `limit` bytes wait in it. What comes in one frame fits
    /// into one that is below its limit, whatever its size.
    pub(crate) fn new(inbox: Sender<Envelope>, limit: usize, questions: Arc<Questions>) -> Self {
        let chunks = VecDeque::new();
        Self { inbox, questions, chunks, envelopes: 0, bytes: 0, limit, entered: 0 }
    }

    /// Puts in as many envelopes as there is room for. It must not be [over its
    /// limit](Self::is_over_limit).
    #[inline]
    pub(crate) fn put_all(&mut self, envelopes: impl Iterator<Item = Envelope>) -> Put {
        let mut chunk = Chunk::default();
        let mut put = Put::All;
        for envelope in envelopes {
            if envelope.role.answers() {
                self.take_answer(envelope);
                continue;
            }
            let bytes = envelope.msg.len();
            match self.inbox.try_send(envelope) {
                Ok(()) => {
                    chunk.envelopes += 1;
                    chunk.bytes += bytes;
                }
                Err(TrySendError::Full(envelope)) => {
                    put = Put::Full(envelope);
                    break;
                }
                Err(TrySendError::Disconnected(_)) => return Put::Closed,
            }
        }
        self.note(chunk);
        put
    }

    #[cold]
    fn take_answer(&mut self, answer: Envelope) {
        self.questions.answer(answer);
        self.entered += 1;
    }

    /// How many envelopes were ever put in, or were answers.
    pub(crate) fn entered(&self) -> usize {
        self.entered
    }

    fn note(&mut self, chunk: Chunk) {
        if chunk.envelopes > 0 {
            self.entered += chunk.envelopes;
            self.envelopes += chunk.envelopes;
            self.bytes += chunk.bytes;
            self.chunks.push_back(chunk);
            self.forget_taken();
        }
    }

    /// Whether as many bytes wait as may.
    pub(crate) fn is_over_limit(&mut self) -> bool {
        if self.bytes >= self.limit {
            self.forget_taken();
        }
        self.bytes >= self.limit && !self.chunks.is_empty()
    }

    /// Forgets the chunks of which nothing waits any more.
    fn forget_taken(&mut self) {
        let waiting = self.inbox.len();
        while let Some(chunk) = self.chunks.front().copied() {
            if self.envelopes - chunk.envelopes < waiting {
                break;
            }
            self.chunks.pop_front();
            self.envelopes -= chunk.envelopes;
            self.bytes -= chunk.bytes;
        }
    }

    /// Waits this long at most for the application to take something, or to drop its end: if it is
    /// reading fast, to take much.
    pub(crate) fn wait_for_room(&self, timeout: Duration) {
        let capacity = self.inbox.capacity().unwrap_or_default();
        back_off(|| capacity.saturating_sub(self.inbox.len()), capacity / 2);
        // What ended the wait shows when the next envelope is put in.
        let mut select = Select::new();
        select.send(&self.inbox);
        let _ = select.ready_timeout(timeout);
    }
}

impl Drop for BoundedInbox {
    /// With the inbox, answers end.
    fn drop(&mut self) {
        self.questions.end();
    }
}

#[cfg(any(test, feature = "internals"))]
impl BoundedInbox {
    /// Whether a wait for room would end at once, unless the application has dropped its end.
    pub(crate) fn has_room(&self) -> bool {
        !self.inbox.is_full()
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, bounded};

    use super::*;
    use crate::envelope::Pid;

    fn inbox(capacity: usize, limit: usize) -> (BoundedInbox, Receiver<Envelope>) {
        let (sender, receiver) = bounded(capacity);
        (BoundedInbox::new(sender, limit, Questions::new(&[])), receiver)
    }

    /// Envelopes of 100 bytes, numbered from this one on.
    fn envelopes(first: i64) -> impl Iterator<Item = Envelope> {
        (first..).map(|id| Envelope::to(Pid::new(1), vec![0; 100]).with_id(id))
    }

    #[test]
    fn it_takes_what_there_is_room_for_and_hands_back_the_next() {
        let (mut inbox, receiver) = inbox(3, 10_000);
        assert!(matches!(inbox.put_all(envelopes(0).take(2)), Put::All));
        let Put::Full(next) = inbox.put_all(envelopes(2)) else { panic!("it holds three") };
        assert_eq!((next.msg_id, inbox.entered(), inbox.has_room()), (3, 3, false));
        let ids: Vec<_> = receiver.try_iter().map(|envelope| envelope.msg_id).collect();
        assert_eq!(ids, [0, 1, 2]);
        drop(receiver);
        assert!(matches!(inbox.put_all(envelopes(3)), Put::Closed));
    }

    #[test]
    fn it_is_over_its_limit_until_enough_bytes_are_taken() {
        let (mut inbox, receiver) = inbox(100, 500);
        assert!(!inbox.is_over_limit());
        inbox.put_all(envelopes(0).take(4));
        assert!(!inbox.is_over_limit());
        inbox.put_all(envelopes(4).take(2));
        assert!(inbox.is_over_limit(), "600 bytes wait");
        // What came together counts until the last of it is taken.
        receiver.try_iter().take(3).for_each(drop);
        assert!(inbox.is_over_limit());
        receiver.recv().unwrap();
        assert!(!inbox.is_over_limit(), "200 bytes wait");
        inbox.put_all(envelopes(6).take(3));
        assert!(inbox.is_over_limit());
        receiver.try_iter().for_each(drop);
        assert!(!inbox.is_over_limit());
    }

    #[test]
    fn with_a_limit_of_nothing_one_frame_waits_at_a_time() {
        let (mut inbox, _receiver) = inbox(100, 0);
        assert!(!inbox.is_over_limit(), "nothing waits");
        inbox.put_all(envelopes(0).take(1));
        assert!(inbox.is_over_limit());
    }

    #[test]
    fn a_wait_for_room_ends_when_there_is_some_or_nobody_reads_any_more() {
        const LONG: Duration = Duration::from_secs(60);
        let (mut inbox, receiver) = inbox(1, 500);
        inbox.put_all(envelopes(0).take(1));
        inbox.wait_for_room(Duration::from_millis(1));
        std::thread::scope(|scope| {
            scope.spawn(|| receiver.recv().unwrap());
            inbox.wait_for_room(LONG);
        });
        assert!(inbox.has_room());
        inbox.put_all(envelopes(1).take(1));
        drop(receiver);
        inbox.wait_for_room(LONG);
        assert!(matches!(inbox.put_all(envelopes(2)), Put::Closed));
    }
}
