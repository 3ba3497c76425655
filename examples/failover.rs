//! One leads and the others stand by: `cargo run --example failover`.
//!
//! Of three servers, the one with the lowest pid that is alive leads, and carries out the commands
//! that anybody is given. When it goes, the next one takes over; when it is back, it leads again.
//!
//! **This is no consensus.** Each server decides by what it sees itself: while the network is cut
//! in two, or for the moment until a `Down` or `Up` has come to all, two servers may lead at once,
//! or none. That is fine where two leaders do no harm, such as for who sends a report. Where they
//! do, run a consensus protocol, such as Raft, on top of this library.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, RecvError, Sender, select, unbounded};
use raft_cluster::{Bytes, Config, Envelope, Event, Mailbox, Pid, Server, StartError};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const THREE: Pid = Pid::new(3);

/// What the servers tell the program that runs them.
enum Told {
    Sees { server: Pid, living: BTreeSet<Pid> },
    Done { server: Pid, command: Bytes },
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().display();
    let config: Config = format!(
        r#"{{"object": {{"total": 3, "Servers": [
            {{"mypid": 1, "url": "ipc://{path}/one"}},
            {{"mypid": 2, "url": "ipc://{path}/two"}},
            {{"mypid": 3, "url": "ipc://{path}/three"}}]}}}}"#
    )
    .parse()?;
    let (tell, told) = unbounded();
    let mut watch = Watch { told, seen: BTreeMap::new() };
    let start = |pid| Replica::start(&config, pid, tell.clone());
    let (one, two, three) = (start(ONE)?, start(TWO)?, start(THREE)?);
    watch.await_living(&[ONE, TWO, THREE])?;
    three.commands.send("a".into())?;
    watch.await_done()?;

    one.stop();
    println!("server 1 has gone");
    // Server 3 may not know it yet. What it sends to server 1 then comes back, and goes to server
    // 2.
    three.commands.send("b".into())?;
    watch.await_done()?;
    watch.await_living(&[TWO, THREE])?;

    let one = start(ONE)?;
    println!("server 1 is back");
    watch.await_living(&[ONE, TWO, THREE])?;
    three.commands.send("c".into())?;
    watch.await_done()?;
    [one, two, three].into_iter().for_each(Replica::stop);
    Ok(())
}

/// What the program has been told.
struct Watch {
    told: Receiver<Told>,
    seen: BTreeMap<Pid, BTreeSet<Pid>>,
}

impl Watch {
    /// Waits until these servers all see each other, and nobody else.
    fn await_living(&mut self, servers: &[Pid]) -> Result<(), RecvError> {
        let living = BTreeSet::from_iter(servers.iter().copied());
        while servers.iter().any(|server| self.seen.get(server) != Some(&living)) {
            self.next()?;
        }
        println!("{} servers are alive, and server {} leads", servers.len(), servers[0]);
        Ok(())
    }

    /// Waits until the next command is carried out.
    fn await_done(&mut self) -> Result<(), RecvError> {
        while !self.next()? {}
        Ok(())
    }

    /// Takes one more of what the servers tell: whether it is that a command was carried out.
    fn next(&mut self) -> Result<bool, RecvError> {
        match self.told.recv()? {
            Told::Sees { server, living } => {
                self.seen.insert(server, living);
                Ok(false)
            }
            Told::Done { server, command } => {
                println!("server {server} has done {}", String::from_utf8_lossy(&command));
                Ok(true)
            }
        }
    }
}

/// One server, in a thread where in real life it is a process. It stops when its commands end.
struct Replica {
    commands: Sender<Bytes>,
    thread: JoinHandle<()>,
}

impl Replica {
    fn start(config: &Config, pid: Pid, tell: Sender<Told>) -> Result<Self, StartError> {
        let (mailbox, server) = Server::builder(config, pid).idle_timeout(None).start()?;
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

    fn stop(self) {
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
