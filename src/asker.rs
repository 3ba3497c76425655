//! Questions that wait for an answer.

mod outboxes;
mod questions;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};
use thiserror::Error;

use self::outboxes::AskerOutboxes;
#[cfg(test)]
pub(crate) use self::questions::Passed;
pub(crate) use self::questions::{Asked, Questions};
use crate::envelope::{Envelope, Pid};
use crate::event::Reason;
use crate::server::outboxes::Outboxes;

/// A deadline that is none.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Puts questions to peers and waits for the answers, from any number of threads: see
/// [`Server::asker`](crate::Server::asker).
///
/// A question arrives in the peer's inbox as any envelope does, and says so by
/// [`is_question`](Envelope::is_question). Its [`reply`](Envelope::reply) goes to the thread that
/// asked, past the inbox of that server, whoever sends it and by whatever outbox;
/// [`answer`](Self::answer) sends it without waiting for anybody.
///
/// A question is for one process of the peer, the one that is up when it is asked: no other ever
/// gets it, and no answer of another is taken for that of this one. If there is no answer, nobody
/// can tell whether it was acted upon.
///
/// Each peer has two outboxes of its own here, for questions and for answers, so that nobody waits
/// for somebody else's peer, and no answer behind questions. The server ends when all askers are
/// gone, as it does with its outboxes.
///
/// ```
/// use std::thread;
/// use std::time::Duration;
/// use raft_cluster::{Config, Pid, Server};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = |name: &str| folder.path().join(name).display().to_string();
/// # let json_text = format!(
/// #     r#"{{"object": {{"total": 2, "Servers": [
/// #         {{"mypid": 1, "url": "ipc://{}"}}, {{"mypid": 2, "url": "ipc://{}"}}]}}}}"#,
/// #     path("one"), path("two"));
/// let config: Config = json_text.parse()?;
/// let (mailbox, server) = Server::start(&config, Pid::new(2))?;
/// let answerer = server.asker();
/// thread::spawn(move || {
///     for question in mailbox.inbox.iter().filter(|envelope| envelope.is_question()) {
///         let answer = question.msg.to_ascii_uppercase();
///         answerer.answer(&question, answer).ok(); // who asked knows when to give up
///     }
/// });
///
/// let (_mailbox, server_one) = Server::start(&config, Pid::new(1))?;
/// let answer = server_one.asker().ask(Pid::new(2), "who leads?", Duration::from_secs(5))?;
/// assert_eq!(answer.msg, "WHO LEADS?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Asker {
    questions: Arc<Questions>,
    outboxes: Arc<AskerOutboxes>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoAnswer {
    /// No server that is listed, other than this one, has the pid.
    #[error("no peer of this server has that pid")]
    NoSuchPeer,
    /// The time is over. An answer that comes later is dropped.
    #[error("there was no answer in time")]
    TimedOut,
    /// The peer that was asked is down, has left, or another process speaks for it by now.
    #[error("the peer that was asked is gone")]
    PeerGone,
    /// The question came back.
    #[error("the question is undeliverable: {0}")]
    Undeliverable(Reason),
    /// This server has ended, or its inbox has, with which answers end.
    #[error("this server has ended")]
    Ended,
}

impl Asker {
    /// Asks these peers, and others that are added.
    pub(crate) fn new(questions: Arc<Questions>, outboxes: Arc<Outboxes>, peers: &[Pid]) -> Self {
        Self { questions, outboxes: Arc::new(AskerOutboxes::new(outboxes, peers)) }
    }

    /// Puts a question to a peer and waits for the answer, for no longer than `timeout`: for the
    /// peer to be up, for room at the peer, and for the answer.
    ///
    /// It blocks: the thread that reads the inbox should not ask. If nobody reads it and it is full,
    /// answers wait behind what waits to enter it. With the inbox all questions end, also on the
    /// [idle timeout](crate::Builder::idle_timeout), which by default is 2 s without an envelope or
    /// an answer.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] says why there is none: at once when the peer goes, and when the time is over at
    /// the latest.
    ///
    /// ```
    /// use std::time::Duration;
    /// use raft_cluster::{Asker, NoAnswer, Pid};
    ///
    /// fn who_leads(asker: &Asker, peers: &[Pid]) -> Option<String> {
    ///     let ask = |peer: &Pid| asker.ask(*peer, "who leads?", Duration::from_millis(200));
    ///     let answer = peers.iter().find_map(|peer| ask(peer).ok())?;
    ///     String::from_utf8(answer.msg.to_vec()).ok()
    /// }
    /// ```
    pub fn ask(
        &self,
        peer: Pid,
        msg: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Envelope, NoAnswer> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + NEVER);
        let (question, outbox, asked) = self.open(peer, msg.into(), deadline)?;
        match outbox.send_deadline(question, deadline) {
            Ok(()) => asked.wait(deadline),
            Err(SendTimeoutError::Timeout(_)) => Err(NoAnswer::TimedOut),
            Err(SendTimeoutError::Disconnected(_)) => Err(NoAnswer::Ended),
        }
    }

    /// Opens a question to the process that is up, or will be by the deadline, and tells by which
    /// outbox it is to go.
    pub(crate) fn open(
        &self,
        peer: Pid,
        msg: Bytes,
        deadline: Instant,
    ) -> Result<(Envelope, Sender<Envelope>, Asked), NoAnswer> {
        let (question, asked) = self.questions.open(peer, msg, deadline)?;
        let outbox = self.outboxes.to(peer, &self.questions).questions;
        Ok((question, outbox, asked))
    }

    /// Sends the answer to a question, without waiting: so the thread that reads the inbox can
    /// answer, whatever the peers do.
    ///
    /// To an envelope that is no question this is a [`reply`](Envelope::reply) like any other.
    ///
    /// # Errors
    ///
    /// When as many answers wait for the peer as an [outbox](crate::Builder::outbox_capacity) holds,
    /// the answer comes back as [`Full`](TrySendError::Full); when the server has ended, or the
    /// question is from no peer of it, as [`Disconnected`](TrySendError::Disconnected). Who asked
    /// has a deadline.
    pub fn answer(
        &self,
        question: &Envelope,
        msg: impl Into<Bytes>,
    ) -> Result<(), TrySendError<Envelope>> {
        let answer = question.reply(msg);
        if !self.questions.lists(question.from) {
            return Err(TrySendError::Disconnected(answer));
        }
        self.outboxes.to(question.from, &self.questions).answers.try_send(answer)
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}
