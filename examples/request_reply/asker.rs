//! Questions and answers over a mailbox, to be copied. Nothing that reads the inbox ever waits, ids
//! differ between processes, and every question ends.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use raft_cluster::{Envelope, Event, Pid};
use serde::{Deserialize, Serialize};

/// How many answers wait for room in the outbox.
const OWED: usize = 4_096;

/// What travels. The `msg_id` of an answer is that of its question.
#[derive(Serialize, Deserialize)]
enum Message {
    Question(String),
    Answer(String),
}

/// Why there is no answer. Whether the question was acted upon, nobody can tell.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("the deadline has passed")]
    InTime,
    #[error("the peer is gone")]
    PeerGone,
    #[error("the question cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Asks questions from any thread, and answers those of the peers.
pub struct Asker {
    outbox: Sender<Envelope>,
    next_id: AtomicI64,
    open: Mutex<Open>,
}

/// The questions that are open: whom each was put to, its id, and the thread that waits. To remove
/// one without an answer tells that thread that there will be none.
type Open = HashMap<(Pid, i64), Sender<String>>;

impl Asker {
    pub fn new(outbox: Sender<Envelope>) -> Self {
        // An answer to a process that died before it came goes to the next process with that pid.
        // Had both counted from 0, that one would take it for the answer to its own first question.
        let first = RandomState::new().hash_one(0) as i64;
        Self { outbox, next_id: AtomicI64::new(first), open: Mutex::default() }
    }

    /// Puts a question to a peer, and waits for the answer, no longer than `patience`.
    pub fn ask(&self, peer: Pid, question: &str, patience: Duration) -> Result<String, NoAnswer> {
        let deadline = Instant::now() + patience;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let envelope = Envelope::json(peer, &Message::Question(question.to_owned()))?.with_id(id);
        // First the entry, then the question: its answer may be here before the send returns.
        let (answer, answered) = bounded(1);
        self.open().insert((peer, id), answer);
        // A thread that asks may wait for room in the outbox, but not beyond its deadline.
        let result = match self.outbox.send_deadline(envelope, deadline) {
            Ok(()) => answered.recv_deadline(deadline).map_err(|error| match error {
                RecvTimeoutError::Timeout => NoAnswer::InTime,
                RecvTimeoutError::Disconnected => NoAnswer::PeerGone,
            }),
            Err(error) if error.is_timeout() => Err(NoAnswer::InTime),
            Err(_) => Err(NoAnswer::PeerGone),
        };
        self.open().remove(&(peer, id));
        result
    }

    /// Takes what comes, until the server ends. `answer` must be quick and not ask anything itself:
    /// work that takes long belongs on other threads, as in the example `worker_pool`.
    pub fn run(
        &self,
        inbox: &Receiver<Envelope>,
        events: &Receiver<Event>,
        answer: impl Fn(&str) -> Option<String>,
    ) {
        let (replies, owed) = bounded(OWED);
        thread::scope(|scope| {
            // The one thread that waits for room for answers, so that the reader never does. While
            // it waited, nobody would read the inbox, and two servers of which each waits for the
            // other to read do so for good.
            scope.spawn(|| owed.iter().try_for_each(|reply| self.outbox.send(reply)));
            self.read(inbox, events, move |envelope| self.take(&envelope, &answer, &replies));
        });
        self.open().clear();
    }

    fn read(&self, inbox: &Receiver<Envelope>, events: &Receiver<Event>, take: impl Fn(Envelope)) {
        loop {
            select! {
                recv(inbox) -> envelope => match envelope {
                    Ok(envelope) => take(envelope),
                    Err(_) => return,
                },
                recv(events) -> event => {
                    // What a peer said before it went is in the inbox by now, and counts.
                    inbox.try_iter().for_each(&take);
                    match event {
                        Ok(event) => self.note(&event),
                        Err(_) => return,
                    }
                }
            }
        }
    }

    fn take(
        &self,
        envelope: &Envelope,
        answer: impl Fn(&str) -> Option<String>,
        replies: &Sender<Envelope>,
    ) {
        match envelope.parse_json() {
            Ok(Message::Question(question)) => {
                let Some(text) = answer(&question) else { return };
                if let Ok(reply) = Envelope::json(envelope.from, &Message::Answer(text)) {
                    // Where so many are owed, this one is given up: who asked has a deadline.
                    let _ = replies.try_send(reply.with_id(envelope.msg_id));
                }
            }
            Ok(Message::Answer(text)) => {
                // One that nobody waits for is late, or was meant for the process before this one.
                if let Some(waiting) = self.open().remove(&(envelope.from, envelope.msg_id)) {
                    let _ = waiting.try_send(text);
                }
            }
            Err(error) => eprintln!("what server {} says is no message: {error}", envelope.from),
        }
    }

    /// Who waits for one that is gone learns it now, not at the deadline.
    fn note(&self, event: &Event) {
        match event {
            Event::Down(gone) | Event::Left(gone) | Event::Restarted(gone) => {
                self.open().retain(|(peer, _), _| peer != gone);
            }
            Event::Undeliverable { peer, envelope, .. } => {
                self.open().remove(&(*peer, envelope.msg_id));
            }
            _ => {}
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
