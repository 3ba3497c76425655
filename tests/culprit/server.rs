//! A server in a process of its own, which talks all the time and serves what it counts: the test
//! program again, told to run [`play`] alone.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio, exit};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, select, tick, unbounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as Id;
use raft_cluster::prometheus::Collector;
use raft_cluster::prometheus::prometheus_client::encoding::prometheus_text::{self, CONTENT_TYPE};
use raft_cluster::prometheus::prometheus_client::registry::Registry;
use raft_cluster::{Envelope, Mailbox, Pid, SecretKey, Server};
use serde::{Deserialize, Serialize};

use crate::support::process::{own_role, program_with};
use crate::support::{BOUND, within};

/// What the process is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its configuration file.
    pub config: String,
    pub pid: u32,
    /// Where it serves what it counts.
    pub metrics: SocketAddr,
    /// The file of its secret key, if the cluster has keys.
    pub secret_key: Option<PathBuf>,
}

/// What it is told meanwhile, one order a line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Order {
    /// It reads its inbox no more.
    StopReading,
    /// It sends this peer as much as that takes, by an outbox of its own.
    Flood(u32),
}

/// How often each server says something to all others, and how much.
const PERIOD: Duration = Duration::from_millis(20);
const MESSAGE: usize = 1_000;

/// The pieces of a flood: small enough for a slow line to carry one within a heartbeat.
const FLOOD: usize = 4_096;

/// A running process. It is killed when it goes out of scope.
pub struct Process {
    child: Child,
    orders: ChildStdin,
}

impl Process {
    /// Starts the process, whose part the test program takes by [`play`].
    pub fn start(role: &Role) -> Self {
        let mut program = program_with(role);
        let mut child = program.process_group(0).stdout(Stdio::null()).spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        Self { child, orders }
    }

    pub fn order(&mut self, order: Order) {
        writeln!(self.orders, "{}", serde_json::to_string(&order).unwrap()).unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Id::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end that it comes to by itself.
    pub fn await_end(mut self) {
        within(BOUND, "a server that cannot start to end", || self.child.wait()).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = within(BOUND, "a killed process to end", || self.child.wait());
    }
}

/// Is the server that the environment says, if any.
pub fn play() {
    let Some(role) = own_role::<Role>() else { return };
    let orders = read_orders();
    let config = role.config.parse().unwrap();
    let mut builder = Server::builder(&config, Pid::new(role.pid))
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(100))
        .peer_timeout(Duration::from_secs(1))
        .outbox_capacity(64)
        .inbox_capacity(64);
    if let Some(file) = role.secret_key {
        builder = builder.secret_key(SecretKey::load(file).unwrap());
    }
    let Ok((mailbox, server)) = builder.start() else { exit(1) };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collector::new(server.monitor())));
    let listener = TcpListener::bind(role.metrics).unwrap();
    thread::spawn(move || serve(&listener, &registry));
    let outbox = mailbox.outbox.clone();
    thread::spawn(move || {
        let ticks = tick(PERIOD);
        // A server that has ended takes nothing more.
        ticks.iter().try_for_each(|_| outbox.send(Envelope::broadcast(vec![0; MESSAGE])))
    });
    live(&mailbox, &server, &orders);
}

/// Reads the orders. Nobody is left to give any when the parent has gone, however it went.
fn read_orders() -> Receiver<Order> {
    let (given, orders) = unbounded();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            given.send(serde_json::from_str(&line).unwrap()).unwrap();
        }
        exit(1);
    });
    orders
}

/// Reads its inbox, and does what it is told, for good.
fn live(mailbox: &Mailbox, server: &Server, orders: &Receiver<Order>) {
    let mut inbox = mailbox.inbox.clone();
    loop {
        select! {
            recv(inbox) -> envelope => drop(envelope.unwrap()),
            recv(orders) -> order => match order.unwrap() {
                Order::StopReading => inbox = crossbeam_channel::never(),
                Order::Flood(peer) => {
                    let outbox = server.outbox_to(Pid::new(peer)).unwrap();
                    thread::spawn(move || {
                        let piece = || Envelope::to(Pid::new(peer), vec![0; FLOOD]);
                        while outbox.send(piece()).is_ok() {}
                    });
                }
            },
        }
    }
}

/// Answers whatever is asked with what is counted.
fn serve(listener: &TcpListener, registry: &Registry) {
    for connection in listener.incoming() {
        // Who asks may have gone.
        let _ = connection.and_then(|connection| answer(connection, registry));
    }
}

fn answer(mut connection: TcpStream, registry: &Registry) -> io::Result<()> {
    connection.set_read_timeout(Some(BOUND))?;
    let (mut request, mut bytes) = (Vec::new(), [0; 1_024]);
    while !request.ends_with(b"\r\n\r\n") {
        match connection.read(&mut bytes)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&bytes[..read]),
        }
    }
    let mut body = String::new();
    prometheus_text::encode(&mut body, registry).map_err(io::Error::other)?;
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
