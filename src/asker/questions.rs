//! The questions that are open, where the threads of the server bring what becomes of them.

#[cfg(test)]
mod inspect;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::asker::NoAnswer;
use crate::envelope::{Envelope, Pid, Role};
use crate::event::Reason;
use crate::session::Session;
#[cfg(test)]
pub(crate) use inspect::Passed;

type Answer = Result<Envelope, NoAnswer>;

/// The open questions of a server. Whoever brings something never waits for those who ask.
#[derive(Debug)]
pub(crate) struct Questions {
    state: Mutex<State>,
    /// A peer is up, or the end has come.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    peers: HashMap<Pid, Peer>,
    next_id: i64,
    /// No answer comes any more.
    has_ended: bool,
    /// What the threads have brought, for whoever looks at what passes.
    #[cfg(test)]
    passed: Vec<Passed>,
}

#[derive(Debug, Default)]
struct Peer {
    /// The process that can be asked.
    listener: Option<Session>,
    /// The questions to it that are open, by their ids.
    open: HashMap<i64, Sender<Answer>>,
}

/// A question that is open, until this goes.
#[derive(Debug)]
pub(crate) struct Asked {
    questions: Arc<Questions>,
    peer: Pid,
    id: i64,
    answer: Receiver<Answer>,
}

impl Questions {
    pub(crate) fn new(peers: &[Pid]) -> Arc<Self> {
        let state = State {
            peers: peers.iter().map(|pid| (*pid, Peer::default())).collect(),
            next_id: 0,
            has_ended: false,
            #[cfg(test)]
            passed: Vec::new(),
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Arc::new(Self { state, changed })
    }

    pub(crate) fn lists(&self, peer: Pid) -> bool {
        self.state().peers.contains_key(&peer)
    }

    /// Another server is a peer from now on.
    pub(crate) fn add(&self, peer: Pid) {
        self.state().peers.entry(peer).or_default();
    }

    /// A peer is none any more: who asks it, or waits to, need not wait.
    pub(crate) fn remove(&self, peer: Pid) {
        let removed = self.state().peers.remove(&peer);
        settle(removed.into_iter().flat_map(|peer| peer.open), NoAnswer::PeerGone);
        self.changed.notify_all();
    }

    /// Opens a question to the process that is up, or will be by the deadline.
    pub(crate) fn open(
        self: &Arc<Self>,
        peer: Pid,
        msg: Bytes,
        deadline: Instant,
    ) -> Result<(Envelope, Asked), NoAnswer> {
        let mut state = self.state();
        loop {
            if state.has_ended {
                return Err(NoAnswer::Ended);
            }
            let asked = state.peers.get(&peer).ok_or(NoAnswer::NoSuchPeer)?;
            if let Some(listener) = asked.listener {
                return Ok(self.enter(&mut state, peer, listener, msg));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NoAnswer::TimedOut);
            }
            let changed = self.changed.wait_timeout(state, left);
            state = changed.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn enter(
        self: &Arc<Self>,
        state: &mut State,
        peer: Pid,
        listener: Session,
        msg: Bytes,
    ) -> (Envelope, Asked) {
        let id = state.next_id;
        state.next_id = id.wrapping_add(1);
        let (sender, answer) = bounded(1);
        state.peers.entry(peer).or_default().open.insert(id, sender);
        let question = Envelope {
            role: Role::QUESTION,
            ..Envelope::to(peer, msg).with_id(id).for_session(listener)
        };
        (question, Asked { questions: Arc::clone(self), peer, id, answer })
    }

    /// A process of a peer can be asked from now on.
    pub(crate) fn note_up(&self, peer: Pid, process: Option<Session>) {
        self.note_listener(peer, process);
        self.changed.notify_all();
    }

    /// The process that could be asked cannot any more; what it was asked may be answered yet.
    pub(crate) fn note_deaf(&self, peer: Pid) {
        self.note_listener(peer, None);
    }

    fn note_listener(&self, peer: Pid, process: Option<Session>) {
        if let Some(peer) = self.state().peers.get_mut(&peer) {
            peer.listener = process;
        }
    }

    /// The process that was asked is gone.
    pub(crate) fn note_gone(&self, peer: Pid) {
        if let Some(peer) = self.state().peers.get_mut(&peer) {
            peer.listener = None;
            settle(peer.open.drain(), NoAnswer::PeerGone);
        }
    }

    /// An answer has come. One that nobody waits for is late.
    pub(crate) fn answer(&self, answer: Envelope) {
        #[cfg(test)]
        self.note(Passed::Answer(answer.clone()));
        let asker = self.take(answer.from, answer.msg_id);
        if let Some(asker) = asker {
            // Who asked may have given up in this moment.
            let _ = asker.try_send(Ok(answer));
        }
    }

    /// An envelope comes back. If it is a question and somebody waits for the answer, that one is
    /// told. Returns whether it was so.
    pub(crate) fn has_told_asker(&self, peer: Pid, envelope: &Envelope, reason: Reason) -> bool {
        envelope.is_question() && self.give_up(peer, envelope.msg_id, reason)
    }

    /// A question comes back. Returns whether somebody was still waiting for its answer.
    fn give_up(&self, peer: Pid, id: i64, reason: Reason) -> bool {
        let no_answer = match reason {
            Reason::Restarted | Reason::PeerDown | Reason::Removed => NoAnswer::PeerGone,
            reason => NoAnswer::Undeliverable(reason),
        };
        let asker = self.take(peer, id);
        let told = asker.is_some_and(|asker| asker.try_send(Err(no_answer)).is_ok());
        #[cfg(test)]
        if told {
            self.note(Passed::GivenUp { peer, id, reason });
        }
        told
    }

    /// Who asked this, if the question is open, which it is no more.
    fn take(&self, peer: Pid, id: i64) -> Option<Sender<Answer>> {
        self.state().peers.get_mut(&peer)?.open.remove(&id)
    }

    /// No answer comes any more.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.has_ended = true;
        for peer in state.peers.values_mut() {
            settle(peer.open.drain(), NoAnswer::Ended);
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn settle(open: impl Iterator<Item = (i64, Sender<Answer>)>, no_answer: NoAnswer) {
    for (_, asker) in open {
        let _ = asker.try_send(Err(no_answer));
    }
}

impl Asked {
    pub(crate) fn wait(self, deadline: Instant) -> Answer {
        self.answer.recv_deadline(deadline).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => NoAnswer::TimedOut,
                RecvTimeoutError::Disconnected => NoAnswer::Ended,
            })
        })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        drop(self.questions.take(self.peer, self.id));
    }
}
