//! What becomes of the connections to the peers: libzmq's monitors.
//!
//! libzmq has each socket tell of its connections through a socket of its own, the monitor. The
//! outlet, in the output thread, starts it; the inlet reads it, in the input thread, which waits on
//! descriptors and decides who is down.
//!
//! What is told and not read yet has no bound in libzmq, whose I/O thread would otherwise wait for
//! the reader. But there are no more than four events for an attempt to connect, of which there are
//! five in a second, and the input thread reads them within moments: see [`LOOK_EVERY`].

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::process::{Resource, getrlimit};
use zmq::SocketEvent;

use super::Home;
use super::attempts::Attempts;
use super::readiness::EdgeTriggered;
use crate::envelope::Pid;
use crate::transport::connection::Connection;
use crate::transport::{ConnectionFailure, Refusal};

/// What is told of a connection.
const EVENTS: i32 = SocketEvent::CONNECTED as i32
    | SocketEvent::CONNECT_DELAYED as i32
    | SocketEvent::HANDSHAKE_SUCCEEDED as i32
    | SocketEvent::CLOSED as i32
    | SocketEvent::DISCONNECTED as i32;

/// How often the monitors are looked at while the thread is busy: they are not worth a system call
/// each time. One that has waited for as long waits for them, too.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often those of peers are looked at that are absent: each attempt to connect would wake the
/// thread twice, as long as they are.
const LOOK_AFTER_ABSENT: Duration = Duration::from_millis(500);

/// How long a peer without a connection has to be that to count as absent.
const ABSENT_AFTER: Duration = Duration::from_secs(10);

/// The end of a monitor at which it is read. The outlet keeps it open, too: libzmq's I/O thread
/// would wait for good to tell something at a monitor whose other end has gone.
type Reader = Arc<Mutex<EdgeTriggered>>;

/// How many descriptors it takes for each peer: the outlet's own, two for its monitor, and those of
/// the connections both ways.
const DESCRIPTORS: u64 = 5;

/// How many descriptors are left to everything else in the process.
const SPARE_DESCRIPTORS: u64 = 128;

/// Where the outlets hand over the monitors of their sockets.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    started: Sender<Monitored>,
    /// How many peers there are.
    peers: Arc<AtomicUsize>,
}

/// A monitor on its way to the input thread.
struct Monitored {
    peer: Pid,
    /// Whether the peer is at a path of this machine.
    at_path: bool,
    reader: Reader,
}

/// The monitor of one socket. It has to be [stopped](Self::stop) before the socket is closed.
pub(super) struct Monitor {
    reader: Reader,
    name: String,
}

/// All monitors of a server, to be read.
pub(crate) struct Monitors {
    started: Receiver<Monitored>,
    watched: Vec<Watched>,
    looked: Instant,
    /// Whether one of them may have something to tell.
    ready: bool,
    /// When they were read last.
    read_at: Duration,
    /// What became of sockets that were replaced, until that is told.
    failures: VecDeque<(Pid, ConnectionFailure)>,
}

/// The connection to one peer.
struct Watched {
    peer: Pid,
    reader: Reader,
    attempts: Attempts,
    connection: Connection,
    /// Whether there was no connection for long, so that no news is expected of it.
    absent: bool,
}

/// The monitors of a server with so many peers, and where they come from.
pub(crate) fn monitors(peers: usize) -> (Registry, Monitors) {
    let (registry, started) = unbounded();
    let monitors = Monitors {
        started,
        watched: Vec::new(),
        looked: Instant::now(),
        ready: true,
        read_at: Duration::ZERO,
        failures: VecDeque::new(),
    };
    (Registry { started: registry, peers: Arc::new(AtomicUsize::new(peers)) }, monitors)
}

/// Whether a process that may open so many files, if that is bounded, has room for the monitors of
/// so many peers.
fn has_room(peers: usize, most_files: Option<u64>) -> bool {
    let needed = (peers as u64).saturating_mul(DESCRIPTORS).saturating_add(SPARE_DESCRIPTORS);
    most_files.is_none_or(|most| needed <= most)
}

impl Monitors {
    /// Takes up what the outlets have started since. A socket that was replaced is forgotten.
    fn take_started(&mut self) {
        for Monitored { peer, at_path, reader } in self.started.try_iter() {
            if let Some(at) = self.watched.iter().position(|watched| watched.peer == peer) {
                let last = self.watched.swap_remove(at).end(self.read_at);
                self.failures.extend(last.into_iter().map(|failure| (peer, failure)));
            }
            let (attempts, connection) = (Attempts::new(at_path), Connection::default());
            self.watched.push(Watched { peer, reader, attempts, connection, absent: false });
            self.ready = true;
        }
    }

    /// How long the thread may do without them. None if it has done so for long enough.
    pub(super) fn next_look(&self) -> Option<Duration> {
        LOOK_EVERY.checked_sub(self.looked.elapsed())
    }

    /// What to poll. A wait for it that takes long counts as one that is without them: the thread
    /// is not busy.
    pub(super) fn poll_items(&mut self) -> io::Result<Vec<zmq::PollItem<'static>>> {
        self.looked = Instant::now();
        self.take_started();
        let present = self.watched.iter().filter(|watched| !watched.absent);
        present.map(|watched| lock(&watched.reader).poll_item()).collect()
    }

    /// How long to wait for them at most.
    pub(super) fn max_wait(&self) -> Option<Duration> {
        self.watched.iter().any(|watched| watched.absent).then_some(LOOK_AFTER_ABSENT)
    }

    /// Has those be read that were [polled](Self::poll_items) and show something, and those that
    /// were not.
    pub(super) fn rearm(&mut self, polled: &[zmq::PollItem<'_>]) {
        let mut polled = polled.iter();
        for watched in &self.watched {
            if watched.absent || polled.next().is_some_and(zmq::PollItem::is_readable) {
                lock(&watched.reader).rearm();
                self.ready = true;
            }
        }
    }

    /// Has all be read, if it is time.
    pub(super) fn rearm_all(&mut self) {
        if self.next_look().is_none() {
            self.looked = Instant::now();
            self.ready = true;
            self.watched.iter().for_each(|watched| lock(&watched.reader).rearm());
        }
    }

    /// The next peer that refuses connections, since its side has closed one.
    pub(super) fn poll_refusal(&mut self, now: Duration) -> Option<Refusal> {
        if !self.ready {
            return None;
        }
        self.read_at = now;
        self.take_started();
        let refusal = self.watched.iter_mut().find_map(|watched| watched.poll_refusal(now));
        self.ready = refusal.is_some();
        refusal
    }

    /// The next attempt that failed, of those that have been read.
    pub(super) fn poll_failure(&mut self) -> Option<(Pid, ConnectionFailure)> {
        self.failures.pop_front().or_else(|| {
            self.watched
                .iter_mut()
                .find_map(|watched| Some((watched.peer, watched.attempts.poll_failure()?)))
        })
    }

    /// Forgets the connection to a peer that is none any more.
    pub(super) fn forget(&mut self, peer: Pid) {
        self.take_started();
        self.watched.retain(|watched| watched.peer != peer);
    }

    pub(super) fn handle_pause(&mut self, pause: Duration) {
        self.watched.iter_mut().for_each(|watched| watched.connection.handle_pause(pause));
    }
}

impl Watched {
    fn read(&mut self, now: Duration) {
        let mut reader = lock(&self.reader);
        while let Some(message) = reader.receive() {
            let event = message.first().and_then(|event| parse(event));
            if let Some(event) = event.and_then(|event| self.attempts.interpret(event, now)) {
                self.connection.handle(event, now);
            }
        }
    }

    /// What there is still to say of a socket that was replaced: the failures, that of an attempt
    /// which was on its way among them.
    fn end(mut self, now: Duration) -> Vec<ConnectionFailure> {
        self.read(now);
        self.attempts.give_up();
        std::iter::from_fn(|| self.attempts.poll_failure()).collect()
    }

    fn poll_refusal(&mut self, now: Duration) -> Option<Refusal> {
        self.read(now);
        let closed_for = self.connection.closed_for(now);
        self.absent = closed_for.is_none_or(|time| time >= ABSENT_AFTER);
        let refused_for = self.connection.take_refusal(now)?;
        Some(Refusal { peer: self.peer, refused_for })
    }
}

impl Registry {
    /// From now on there are so many peers.
    pub(crate) fn expect(&self, peers: usize) {
        self.peers.store(peers, Ordering::Relaxed);
    }

    /// Whether the process may open as many files as the monitors take. What connections need comes
    /// first.
    fn has_room(&self) -> bool {
        has_room(self.peers.load(Ordering::Relaxed), getrlimit(Resource::Nofile).current)
    }

    /// Starts the monitor of a socket that does not connect yet, to this peer.
    pub(super) fn monitor(
        &self,
        home: &Home,
        socket: &zmq::Socket,
        peer: Pid,
        url: &str,
    ) -> io::Result<Monitor> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        if !self.has_room() {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let name = format!("inproc://monitor-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let reader = home.socket(zmq::PAIR)?;
        reader.set_linger(0)?;
        // Without a bound, or the I/O thread would wait for whoever is to read it.
        reader.set_rcvhwm(0)?;
        socket.monitor(&name, EVENTS)?;
        reader.connect(&name).inspect_err(|_| stop(socket, &name))?;
        let reader = Arc::new(Mutex::new(EdgeTriggered::new(reader)));
        let at_path = url.starts_with("ipc://");
        // When the input thread has ended, nobody wants to know.
        let _ = self.started.send(Monitored { peer, at_path, reader: Arc::clone(&reader) });
        Ok(Monitor { reader, name })
    }
}

impl Monitor {
    /// Has libzmq tell nothing more of the socket.
    pub(super) fn stop(self, socket: &zmq::Socket) {
        stop(socket, &self.name);
        drop(self.reader);
    }
}

/// Ends the monitor of this name. It takes another one to do that, without events; if there is no
/// room for it, the socket has none at all.
fn stop(socket: &zmq::Socket, name: &str) {
    let _ = socket.monitor(&format!("{name}-none"), 0);
}

fn lock(reader: &Reader) -> MutexGuard<'_, EdgeTriggered> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The event of a message: two bytes that say which, and four with a value.
pub(super) fn parse(message: &[u8]) -> Option<SocketEvent> {
    let event = message.get(..2)?.try_into().ok()?;
    Some(SocketEvent::from_raw(u16::from_ne_bytes(event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monitors_leave_room_for_the_connections() {
        assert!(has_room(179, Some(1_024)));
        assert!(!has_room(180, Some(1_024)));
        assert!(has_room(100_000, None));
    }

    #[test]
    fn the_failures_of_a_socket_outlive_it() {
        let (registry, mut monitors) = monitors(1);
        let home = super::super::Contexts::new().home();
        let socket = || home.socket(zmq::DEALER).unwrap();
        let monitor = |socket: &zmq::Socket| {
            registry.monitor(&home, socket, Pid::new(2), "tcp://127.0.0.1:1").unwrap()
        };
        let first = socket();
        let first_monitor = monitor(&first);
        monitors.take_started();
        let attempts = &mut monitors.watched[0].attempts;
        for event in [SocketEvent::CONNECT_DELAYED, SocketEvent::CONNECTED] {
            attempts.interpret(event, Duration::ZERO);
        }
        let second = socket();
        let second_monitor = monitor(&second);
        assert_eq!(monitors.poll_refusal(Duration::ZERO), None);
        assert_eq!(monitors.poll_failure(), Some((Pid::new(2), ConnectionFailure::Unanswered)));
        assert_eq!(monitors.poll_failure(), None);
        first_monitor.stop(&first);
        second_monitor.stop(&second);
    }
}
