//! What the proxy is made of: addresses, sockets of either kind, and the bytes between two of them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// How much a pipe holds back at most, in bytes.
const HELD: usize = 4 << 20;

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(SocketAddr),
    Ipc(PathBuf),
}

impl FromStr for Address {
    type Err = io::Error;

    fn from_str(url: &str) -> io::Result<Self> {
        match url.strip_prefix("ipc://") {
            Some(path) => Ok(Self::Ipc(path.into())),
            None => {
                url.trim_start_matches("tcp://").parse().map(Self::Tcp).map_err(io::Error::other)
            }
        }
    }
}

/// Where one route of the proxy begins.
pub enum Listener {
    Tcp(TcpListener),
    Ipc(UnixListener, PathBuf),
}

impl Listener {
    /// Listens on an address of the same kind.
    pub fn beside(back: &Address) -> io::Result<Self> {
        static FRONTS: AtomicUsize = AtomicUsize::new(0);
        match back {
            Address::Tcp(back) => Ok(Self::Tcp(TcpListener::bind(SocketAddr::new(back.ip(), 0))?)),
            Address::Ipc(back) => {
                let front = FRONTS.fetch_add(1, Ordering::Relaxed);
                let path = back.with_extension(format!("front{front}"));
                Ok(Self::Ipc(UnixListener::bind(&path)?, path))
            }
        }
    }

    pub fn url(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(format!("tcp://{}", listener.local_addr()?)),
            Self::Ipc(_, path) => Ok(format!("ipc://{}", path.display())),
        }
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Self::Ipc(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }

    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Ok(Stream::Tcp(listener.accept()?.0)),
            Self::Ipc(listener, _) => Ok(Stream::Ipc(listener.accept()?.0)),
        }
    }
}

/// One end of a connection.
pub enum Stream {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

impl Stream {
    /// Begins to connect.
    pub fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpStream::connect(*address).map(Self::Tcp),
            Address::Ipc(path) => UnixStream::connect(path).map(Self::Ipc),
        }
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, interest),
            Self::Ipc(stream) => registry.register(stream, token, interest),
        }
    }

    /// Makes the coming close a reset. On a Unix socket every close is one while bytes are unread.
    pub fn arm_reset(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Self::Ipc(_) => Ok(()),
        }
    }

    /// Whether there are bytes to read.
    fn has_input(&self) -> bool {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Ipc(stream) => SockRef::from(stream),
        };
        socket.peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0)
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Ipc(stream) => stream.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Ipc(stream) => stream.write(bytes),
        }
    }
}

/// What a route does with the bytes that go one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Pass,
    /// Takes nothing, so that the sender's buffers fill. All of it arrives afterwards.
    Stall,
    /// Takes everything and forgets it. A connection that has lost bytes is never healed.
    Swallow,
    /// Holds each byte for a random time, in order.
    Delay(Range<Duration>),
    /// Carries so many bits per second and no more, like a slow line. What comes faster waits in
    /// the buffers of whoever sends it.
    Limit(u64),
}

/// One direction of a route, which all its connections share.
#[derive(Default)]
pub struct Lane {
    pub mode: Mode,
    /// How far the bytes that have passed reach into the future, at the rate of the lane: a token
    /// bucket, seen from the other side (GCRA).
    busy_until: Option<Instant>,
}

impl Lane {
    /// How long a slow line may be used ahead of its rate. It is the lag of a timer, made up for.
    const BURST: Duration = Duration::from_millis(20);

    /// How many bytes may pass now, or when there is something to pass again.
    fn admits(&self, now: Instant) -> Result<usize, Instant> {
        let Mode::Limit(rate) = self.mode else { return Ok(usize::MAX) };
        let ahead =
            self.busy_until.map_or(Duration::ZERO, |busy| busy.saturating_duration_since(now));
        match Self::BURST.saturating_sub(ahead) {
            // Half of it at least, so that no time goes by with a byte at a time.
            free if free < Self::BURST / 2 => Err(now + ahead - Self::BURST / 2),
            free => Ok(((rate as f64 / 8.0 * free.as_secs_f64()) as usize).max(1)),
        }
    }

    fn note(&mut self, bytes: usize, now: Instant) {
        if let Mode::Limit(rate) = self.mode {
            let begins = self.busy_until.map_or(now, |busy| busy.max(now));
            self.busy_until =
                Some(begins + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64));
        }
    }
}

/// The bytes that go one way through one connection.
#[derive(Default)]
pub struct Pipe {
    held: VecDeque<Held>,
    bytes: usize,
    /// Whether bytes have been swallowed.
    torn: bool,
    /// Whether bytes wait that it does not take.
    stalled: bool,
    /// When a slow line carries more.
    resumes: Option<Instant>,
    /// How many bytes pass before the connection is cut, if it is to be.
    pub budget: Option<u64>,
}

struct Held {
    /// None if at once.
    due: Option<Instant>,
    bytes: Vec<u8>,
    written: usize,
}

/// Why a pipe has come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is nothing to do before the next event.
    Waiting,
    /// The budget is used up.
    Spent,
    /// One of the ends has closed.
    Ended,
}

impl Pipe {
    pub fn new(budget: Option<u64>) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Whether bytes have been swallowed, or are held up.
    pub fn is_hindered(&self) -> bool {
        self.torn || self.stalled
    }

    /// Carries what it can.
    pub fn carry(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        lane: &mut Lane,
        random: &mut fastrand::Rng,
    ) -> Flow {
        let stalls = lane.mode == Mode::Stall;
        self.stalled = stalls && (!self.held.is_empty() || from.has_input());
        self.resumes = None;
        if stalls {
            return Flow::Waiting;
        }
        self.carry_on(from, to, lane, random).unwrap_or_else(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::NotConnected => Flow::Waiting,
            _ => Flow::Ended,
        })
    }

    fn carry_on(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        lane: &mut Lane,
        random: &mut fastrand::Rng,
    ) -> io::Result<Flow> {
        let mut scratch = [0; 64 * 1024];
        loop {
            let written = self.write(to);
            if self.budget == Some(0) && self.held.is_empty() {
                return Ok(Flow::Spent);
            }
            if self.bytes > 0 && !matches!(lane.mode, Mode::Delay(_)) || self.bytes > HELD {
                return written.map(|()| Flow::Waiting);
            }
            let now = Instant::now();
            let admitted = match lane.admits(now) {
                Ok(bytes) => bytes.min(scratch.len()),
                Err(resumes) => {
                    self.resumes = Some(resumes);
                    return Ok(Flow::Waiting);
                }
            };
            let most = self.budget.map_or(admitted, |left| admitted.min(left as usize));
            let read = from.read(&mut scratch[..most.max(1)])?;
            if read == 0 {
                return Ok(Flow::Ended);
            }
            lane.note(read, now);
            self.torn |= lane.mode == Mode::Swallow;
            if !self.torn {
                self.hold(&scratch[..read], &lane.mode, random);
            }
        }
    }

    fn hold(&mut self, bytes: &[u8], mode: &Mode, random: &mut fastrand::Rng) {
        let before = self.held.back().and_then(|last| last.due);
        let due = match mode {
            Mode::Delay(range) => {
                let spread = (range.end - range.start).as_micros() as u64;
                let delay = range.start + Duration::from_micros(random.u64(0..=spread));
                Some(Instant::now() + delay).max(before)
            }
            _ => before,
        };
        self.bytes += bytes.len();
        self.budget = self.budget.map(|left| left.saturating_sub(bytes.len() as u64));
        self.held.push_back(Held { due, bytes: bytes.to_vec(), written: 0 });
    }

    /// Writes what is due.
    fn write(&mut self, to: &mut Stream) -> io::Result<()> {
        while let Some(front) = self.held.front_mut() {
            if front.due.is_some_and(|due| due > Instant::now()) {
                break;
            }
            let written = to.write(&front.bytes[front.written..])?;
            front.written += written;
            self.bytes -= written;
            if front.written == front.bytes.len() {
                self.held.pop_front();
            }
        }
        Ok(())
    }

    /// When there is something to write although nothing has come in.
    pub fn due(&self) -> Option<Instant> {
        let held = self.held.front().and_then(|front| front.due);
        held.into_iter().chain(self.resumes).min()
    }
}
