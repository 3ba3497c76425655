//! A server that leads or stands by.

use std::collections::BTreeSet;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, RecvError, Sender, select, unbounded};
use raft_cluster::{Builder, Bytes, Envelope, Event, Mailbox, Pid, StartError};

/// What the servers tell the program that runs them.
pub enum Told {
    Sees { server: Pid, living: BTreeSet<Pid> },
    Done { server: Pid, command: Bytes },
}

/// One server, in a thread where in real life it is a process. It stops when its commands end.
pub struct Replica {
    pub commands: Sender<Bytes>,
    thread: JoinHandle<()>,
}

impl Replica {
    pub fn start(builder: Builder<'_>, pid: Pid, tell: Sender<Told>) -> Result<Self, StartError> {
        let (mailbox, server) = builder.idle_timeout(None).start()?;
        let (commands, given) = unbounded();
        // It has heard nobody yet, so for a moment it leads.
        let living = BTreeSet::from([pid]);
        let _ = tell.send(Told::Sees { server: pid, living: living.clone() });
        let thread = thread::spawn(move || {
            let mut member = Member { pid, mailbox, living, returned: Vec::new(), tell };
            while member.turn(server.events(), &given).is_ok() {}
            // Here the server is dropped, which shuts it down: its peers see it leave.
        });
        Ok(Self { commands, thread })
    }

    pub fn stop(self) {
        drop(self.commands);
        let _ = self.thread.join();
    }
}

/// What a server knows.
struct Member {
    pid: Pid,
    mailbox: Mailbox,
    /// Itself, and the peers that it hears.
    living: BTreeSet<Pid>,
    /// Commands that came back, for the next leader.
    returned: Vec<Bytes>,
    tell: Sender<Told>,
}

impl Member {
    /// Waits for the next of all that can happen, and acts on it.
    fn turn(&mut self, events: &Receiver<Event>, given: &Receiver<Bytes>) -> Result<(), RecvError> {
        select! {
            recv(given) -> command => self.pass(command?),
            // Sent by one that takes this server for the leader; if it is not, it passes that on.
            recv(self.mailbox.inbox) -> envelope => self.pass(envelope?.msg),
            recv(events) -> event => self.note(event?),
        }
        Ok(())
    }

    fn note(&mut self, event: Event) {
        let leader = self.leader();
        match event {
            // A process that has taken the place of another is alive, though it knows nothing.
            Event::Up(peer) | Event::Restarted(peer) => self.living.insert(peer),
            // `Left` comes at once, from one that ends in order. `Down` comes after the peer
            // timeout, from one that was killed or cannot be reached.
            Event::Down(peer) | Event::Left(peer) => self.living.remove(&peer),
            // The peer had ended. (One that was killed sends nothing back: what is sent to it waits
            // for its successor. To be sure, ask for an answer, as the example `request_reply`
            // does.)
            Event::Undeliverable { peer, envelope, .. } if peer == leader => {
                return self.returned.push(envelope.msg);
            }
            Event::Undeliverable { envelope, .. } => return self.pass(envelope.msg),
            _ => return,
        };
        let _ = self.tell.send(Told::Sees { server: self.pid, living: self.living.clone() });
        if self.leader() != leader {
            std::mem::take(&mut self.returned).into_iter().for_each(|command| self.pass(command));
        }
    }

    /// The whole election: no messages, no votes.
    fn leader(&self) -> Pid {
        self.living.first().copied().unwrap_or(self.pid)
    }

    /// Carries a command out if this server leads, and gives it to the leader if not.
    fn pass(&self, command: Bytes) {
        let leader = self.leader();
        if leader == self.pid {
            let _ = self.tell.send(Told::Done { server: self.pid, command });
        } else {
            // So few commands never fill the outbox. It is full while some peer is slow; then
            // `send` waits, and so would the events. A busy server sends from another thread.
            let _ = self.mailbox.outbox.send(Envelope::to(leader, command));
        }
    }
}
