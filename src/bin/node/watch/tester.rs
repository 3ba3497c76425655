//! Test messages, which tell whether a message gets through: each is for all, and it is told whose
//! inbox it has entered.

use crossbeam_channel::{Sender, TrySendError};
use raft_cluster::{Envelope, Pid};
use thiserror::Error;

/// Sends those of one server.
pub(crate) struct Tester {
    pid: Pid,
    outbox: Sender<Envelope>,
    sent: i64,
}

impl Tester {
    /// While it lives, the outbox is open and the server stays.
    pub(crate) fn new(pid: Pid, outbox: Sender<Envelope>) -> Self {
        Self { pid, outbox, sent: 0 }
    }

    /// Sends one, without waiting, and returns its number.
    pub(crate) fn send(&mut self) -> Result<i64, Unsent> {
        let (id, pid) = (self.sent + 1, self.pid);
        let envelope = Envelope::broadcast(format!("test message {id} of server {pid}"));
        self.outbox.try_send(envelope.with_id(id).with_receipt()).map_err(|error| match error {
            TrySendError::Full(_) => Unsent::Full,
            TrySendError::Disconnected(_) => Unsent::Leaving,
        })?;
        self.sent = id;
        Ok(id)
    }
}

/// Why no test message was sent.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Unsent {
    #[error("no test message was sent: the outbox is full")]
    Full,
    #[error("no test message was sent: the server is leaving")]
    Leaving,
}

/// Who sends a test message when somebody wants one.
pub(crate) enum Kick {
    /// The server that is watched.
    Server(Tester),
    /// The parent has all of them send one.
    Parent(Sender<()>),
}

impl Kick {
    /// What became of it.
    pub(crate) fn kick(&mut self) -> String {
        match self {
            Self::Server(tester) => match tester.send() {
                Ok(id) => format!("test message {id} is on its way to all peers"),
                Err(fault) => fault.to_string(),
            },
            Self::Parent(tell) => {
                // Where it is told already, that is the same.
                let _ = tell.try_send(());
                "every server sends a test message to all others".into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn a_test_message_waits_for_nobody() {
        let (outbox, taken) = bounded(1);
        let mut tester = Tester::new(Pid::new(4), outbox);
        assert_eq!((tester.send(), tester.send()), (Ok(1), Err(Unsent::Full)));
        let envelope = taken.recv().unwrap();
        assert_eq!((envelope.msg_id, &envelope.msg[..]), (1, &b"test message 1 of server 4"[..]));
        drop(taken);
        assert_eq!(tester.send(), Err(Unsent::Leaving));
    }
}
