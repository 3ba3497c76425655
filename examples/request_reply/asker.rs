//! Questions and answers over a server, to be copied. Nothing that reads the inbox ever waits, an
//! answer goes to the process that asked and no other, and every question ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use raft_cluster::{Envelope, Event, Pid, Server};
use serde::{Deserialize, Serialize};

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
    #[error("there is no such peer")]
    NoSuchPeer,
    #[error("the question cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Asks questions from any thread, and answers those of the peers.
pub struct Asker {
    outboxes: HashMap<Pid, Outboxes>,
    next_id: AtomicI64,
    open: Mutex<Open>,
}

/// What goes to one peer, held up by that peer alone. Answers have an outbox of their own: they
/// never wait behind questions, for which the peer may have no room while it waits for answers.
struct Outboxes {
    questions: Sender<Envelope>,
    answers: Sender<Envelope>,
}

/// The questions that are open: whom each was put to, its id, and the thread that waits. To remove
/// one without an answer tells that thread that there will be none.
type Open = HashMap<(Pid, i64), Sender<String>>;

impl Asker {
    pub fn new(server: &Server) -> Self {
        let to_peer = |pid: &Pid| {
            let (questions, answers) = (server.outbox_to(*pid)?, server.outbox_to(*pid)?);
            Some((*pid, Outboxes { questions, answers }))
        };
        let outboxes = server.peers().iter().filter_map(to_peer).collect();
        // An answer is for one process only, so each may count from zero.
        Self { outboxes, next_id: AtomicI64::new(0), open: Mutex::default() }
    }

    /// Puts a question to a peer, and waits for the answer, no longer than `patience`.
    pub fn ask(&self, peer: Pid, question: &str, patience: Duration) -> Result<String, NoAnswer> {
        let deadline = Instant::now() + patience;
        let outbox = &self.outboxes.get(&peer).ok_or(NoAnswer::NoSuchPeer)?.questions;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let envelope = Envelope::json(peer, &Message::Question(question.to_owned()))?.with_id(id);
        // First the entry, then the question: its answer may be here before the send returns.
        let (answer, answered) = bounded(1);
        self.open().insert((peer, id), answer);
        // A thread that asks may wait for room in the outbox, but not beyond its deadline.
        let result = match outbox.send_deadline(envelope, deadline) {
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
        loop {
            select! {
                recv(inbox) -> envelope => match envelope {
                    Ok(envelope) => self.take(&envelope, &answer),
                    Err(_) => break,
                },
                recv(events) -> event => {
                    // What a peer said before it went is in the inbox by now, and counts.
                    inbox.try_iter().for_each(|envelope| self.take(&envelope, &answer));
                    match event {
                        Ok(event) => self.note(&event),
                        Err(_) => break,
                    }
                }
            }
        }
        self.open().clear();
    }

    fn take(&self, envelope: &Envelope, answer: impl Fn(&str) -> Option<String>) {
        match envelope.parse_json() {
            Ok(Message::Question(question)) => {
                let Some(text) = answer(&question) else { return };
                self.answer(envelope, text);
            }
            Ok(Message::Answer(text)) => {
                // One that nobody waits for is late.
                if let Some(waiting) = self.open().remove(&(envelope.from, envelope.msg_id)) {
                    let _ = waiting.try_send(text);
                }
            }
            Err(error) => eprintln!("what server {} says is no message: {error}", envelope.from),
        }
    }

    /// Never waits: while this thread did, nobody would read the inbox, and two servers of which
    /// each waits for the other to read do so for good.
    fn answer(&self, question: &Envelope, text: String) {
        let Some(outboxes) = self.outboxes.get(&question.from) else { return };
        if let Ok(json) = serde_json::to_vec(&Message::Answer(text)) {
            // If the one who asked has died, its successor does not get this. Where the outbox is
            // full of answers, this one is given up: who asked has a deadline.
            let _ = outboxes.answers.try_send(question.reply(json));
        }
    }

    /// Who waits for one that is gone learns it now, not at the deadline.
    fn note(&self, event: &Event) {
        match event {
            Event::Down(gone) | Event::Left(gone) | Event::Restarted(gone) => {
                self.open().retain(|(peer, _), _| peer != gone);
            }
            // An answer of ours may come back too; it has the session of the one who asked, and
            // its id may be that of a question of ours.
            Event::Undeliverable { peer, envelope, .. } if is_question(envelope) => {
                self.open().remove(&(*peer, envelope.msg_id));
            }
            _ => {}
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_question(envelope: &Envelope) -> bool {
    matches!(envelope.parse_json(), Ok(Message::Question(_)))
}
