//! What is known of one process: what it was promised, and what it said itself.

use std::collections::BTreeSet;

use raft_cluster::Pid;
use serde::Deserialize;

use crate::children::Ending;

/// The message of one server to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: Pid,
    pub(super) text: String,
}

/// What a server says of itself when it has stopped. Messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) undelivered: u64,
}

/// A line of `--json`, as far as the demo wants to know.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line {
    Listening,
    Message {
        from: Pid,
        msg: String,
    },
    Up {
        peer: Pid,
    },
    Restarted {
        peer: Pid,
    },
    Missed {
        from: Pid,
        count: u64,
    },
    Undeliverable {
        peer: Pid,
        msg: String,
        reason: String,
    },
    Stopped(Counts),
    #[serde(other)]
    Other,
}

/// The record of one process.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) pid: Pid,
    /// The number by which the system knows the process.
    pub(super) id: u32,
    /// What it is to receive, in the order in which each of the others was told to send it.
    pub(super) promised: Vec<Message>,
    /// What it has received, in that order.
    pub(super) received: Vec<Message>,
    /// What it was told to send, and to how many.
    pub(super) told: Vec<(String, u64)>,
    pub(super) listens: bool,
    /// The peers of which it has met the process that runs now.
    pub(super) met: BTreeSet<Pid>,
    /// What should not have happened.
    pub(super) troubles: Vec<String>,
    /// Whether the demo has killed it.
    pub(super) killed: bool,
    pub(super) counts: Option<Counts>,
    pub(super) ending: Option<Ending>,
}

impl Record {
    pub(super) fn new(pid: Pid, id: u32) -> Self {
        Self { pid, id, ..Self::default() }
    }

    /// Takes down what the process has said.
    pub(super) fn note(&mut self, line: &[u8]) -> serde_json::Result<()> {
        let pid = self.pid;
        match serde_json::from_slice(line)? {
            Line::Listening => self.listens = true,
            Line::Message { from, msg } => self.received.push(Message { from, text: msg }),
            Line::Up { peer } | Line::Restarted { peer } => {
                self.met.insert(peer);
            }
            Line::Missed { from, count } => self
                .troubles
                .push(format!("server {pid} has missed {count} messages of server {from}")),
            Line::Undeliverable { peer, msg, reason } => self
                .troubles
                .push(format!("server {pid} could not deliver {msg:?} to server {peer}: {reason}")),
            Line::Stopped(counts) => self.counts = Some(counts),
            Line::Other => {}
        }
        Ok(())
    }

    /// Whether it has received the last that it was promised by each of the others.
    pub(super) fn has_received_all(&self) -> bool {
        let senders: BTreeSet<_> = self.promised.iter().map(|message| message.from).collect();
        senders.into_iter().all(|from| self.has_received(from))
    }

    /// Whether it has received the last that it was promised by this one.
    pub(super) fn has_received(&self, from: Pid) -> bool {
        last(&self.promised, from) == last(&self.received, from)
    }

    pub(super) fn promised_by(&self, from: Pid) -> Vec<&str> {
        texts(&self.promised, from)
    }

    pub(super) fn received_from(&self, from: Pid) -> Vec<&str> {
        texts(&self.received, from)
    }

    /// How many messages it was told to send.
    pub(super) fn to_send(&self) -> u64 {
        self.told.iter().map(|(_, recipients)| recipients).sum()
    }
}

fn last(messages: &[Message], from: Pid) -> Option<&Message> {
    messages.iter().rfind(|message| message.from == from)
}

fn texts(messages: &[Message], from: Pid) -> Vec<&str> {
    messages.iter().filter(|message| message.from == from).map(|message| &*message.text).collect()
}
