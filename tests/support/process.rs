//! A server in a process of its own, that can be killed, stopped and continued: the test program
//! again, told to run [`play`] alone.

use std::env;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use raft_cluster::{Envelope, Event, Mailbox, Pid, Recipient, Server};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{BOUND, within};

/// What the process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its configuration file.
    pub config: String,
    pub pid: u32,
    /// Tells the processes that play one server apart.
    pub generation: u32,
    pub window: usize,
    pub peer_timeout: Duration,
}

/// What the process says in every message: how it has received what server 1 sends, which are
/// messages with the numbers from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub generation: u32,
    /// The number of the first message.
    pub first: Option<u64>,
    /// How many there were, and how many it was told that it had missed.
    pub received: u64,
    pub missed: u64,
    /// How many messages came out of order, again, or after a gap that it was not told of.
    pub wrong: u64,
    /// How often it found a peer down.
    pub downs: u64,
    /// How many of its own messages it could not deliver.
    pub undelivered: u64,
}

const ROLE: &str = "RAFT_CLUSTER_TEST_ROLE";

/// A running process. It is killed when it goes out of scope.
pub struct Process(Child);

impl Process {
    /// Starts the process, whose part the test program takes by [`play`].
    pub fn start(role: &Role) -> Self {
        Self(program_with(role).stdout(Stdio::null()).spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// The end that no process can prepare for.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        within(BOUND, "a killed process to end", || self.0.wait()).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = within(BOUND, "a killed process to end", || self.0.wait());
    }
}

/// The test program again, to have this role. It must have an ignored test named
/// `a_server_of_its_own` that asks for [`own_role`], and ends when its standard input does.
pub fn program_with(role: &impl Serialize) -> Command {
    let mut program = Command::new(env::current_exe().unwrap());
    program
        .args(["--exact", "a_server_of_its_own", "--ignored", "--nocapture"])
        .env(ROLE, serde_json::to_string(role).unwrap())
        .stdin(Stdio::piped());
    program
}

/// The role of this process, if it was started with one.
pub fn own_role<R: DeserializeOwned>() -> Option<R> {
    Some(serde_json::from_str(&env::var(ROLE).ok()?).unwrap())
}

/// Has this process end with its parent, however that goes: nobody is left then.
pub fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        exit(1);
    });
}

/// Is the server that the environment says, if any: broadcasts its status as fast as it can.
pub fn play() {
    let Some(role) = own_role::<Role>() else { return };
    end_with_parent();
    let config = role.config.parse().unwrap();
    let (mailbox, server) = Server::builder(&config, Pid::new(role.pid))
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(50))
        .peer_timeout(role.peer_timeout)
        .window(role.window)
        .outbox_capacity(64)
        .start()
        .unwrap();
    talk(&mailbox, &server, role.generation);
}

fn talk(mailbox: &Mailbox, server: &Server, generation: u32) {
    let mut status = Status { generation, ..Status::default() };
    let mut place = 0;
    loop {
        for envelope in mailbox.inbox.try_iter().take(256) {
            if envelope.from == Pid::new(1) {
                status.note(&envelope, server);
            }
        }
        for event in server.events().try_iter() {
            status.downs += u64::from(matches!(event, Event::Down(_)));
            status.undelivered += u64::from(matches!(event, Event::Undeliverable { .. }));
        }
        let envelope = Envelope::json(Recipient::Broadcast, &status).unwrap().with_id(place);
        mailbox.outbox.send_timeout(envelope, BOUND).unwrap();
        place += 1;
    }
}

impl Status {
    fn note(&mut self, envelope: &Envelope, server: &Server) {
        let place = envelope.msg_id as u64;
        let missed = server.stats().peer(envelope.from).unwrap().missed;
        let first = *self.first.get_or_insert(place.saturating_sub(missed));
        let next = first + self.received + self.missed;
        // What was missed is known before the message after it comes in.
        let gap = place.saturating_sub(next);
        if place < next || self.missed + gap > missed {
            self.wrong += 1;
        }
        self.missed += gap;
        self.received += 1;
    }
}
