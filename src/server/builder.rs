//! The options of a server, and its start.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use thiserror::Error;

use crate::clock::Clock;
use crate::config::Config;
use crate::counters::{Counters, EventSink};
use crate::envelope::Pid;
use crate::frame::{ClusterId, Incarnation};
use crate::input::{self, Input};
use crate::link::{Ends, Incoming, Limits, Outgoing};
use crate::output::{self, Output};
use crate::server::{Mailbox, Server, Threads};
use crate::socket::{self, Context, Inlet, Outlet};
use crate::wire::LARGEST_MESSAGE;

/// How many events wait for the application.
const EVENTS: usize = 1_024;

/// How much feedback for each peer waits for the output thread.
const FEEDBACK: usize = 16;

/// Longer than any server runs, and short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// The options of a server, out of [`Server::builder`].
///
/// ```no_run
/// use std::time::Duration;
/// use raft_cluster::{Config, Pid, Server};
///
/// let config = Config::load("config.json")?;
/// let (mailbox, server) = Server::builder(&config, Pid::new(1))
///     .idle_timeout(None)
///     .linger(Duration::from_secs(1))
///     .start()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<'a> {
    config: &'a Config,
    pid: Pid,
    outbox_capacity: usize,
    inbox_capacity: usize,
    idle_timeout: Option<Duration>,
    linger: Duration,
    window: usize,
    max_message: usize,
    heartbeat: Duration,
    peer_timeout: Duration,
}

impl<'a> Builder<'a> {
    pub(super) fn new(config: &'a Config, pid: Pid) -> Self {
        Self {
            config,
            pid,
            outbox_capacity: 4_096,
            inbox_capacity: 4_096,
            idle_timeout: Some(Duration::from_secs(2)),
            linger: Duration::from_secs(5),
            window: 8 << 20,
            max_message: 64 << 20,
            heartbeat: Duration::from_secs(1),
            peer_timeout: Duration::from_secs(5),
        }
    }

    /// How many envelopes the outbox holds: 4,096 unless set.
    pub fn outbox_capacity(mut self, envelopes: usize) -> Self {
        self.outbox_capacity = envelopes;
        self
    }

    /// How many envelopes the inbox holds: 4,096 unless set.
    pub fn inbox_capacity(mut self, envelopes: usize) -> Self {
        self.inbox_capacity = envelopes;
        self
    }

    /// How long the inbox waits for an envelope before it ends, or `None` for ever: 2 s unless set.
    ///
    /// What peers send after that comes back to them as undeliverable.
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long an ending server waits for its peers to acknowledge: 5 s unless set.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How many bytes may be on their way to a peer, and wait for it while it is down: 8 MiB for each
    /// peer unless set. A message larger than that travels alone.
    ///
    /// The inbox holds as many bytes too, whatever its capacity.
    pub fn window(mut self, bytes: usize) -> Self {
        self.window = bytes;
        self
    }

    /// The largest message that is sent and taken, in bytes: 64 MiB unless set.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// How often a peer is given a sign of life when there is nothing else to send: every second unless
    /// set.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// How long a peer may be silent before it counts as down: 5 s unless set. At least three heartbeats
    /// of the peer, so that one that is late does no harm; all servers best have the same.
    pub fn peer_timeout(mut self, timeout: Duration) -> Self {
        self.peer_timeout = timeout;
        self
    }

    /// Starts the server. It is bound to its url when this returns.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn start(self) -> Result<(Mailbox, Server), StartError> {
        let limits = self.limits()?;
        let url = self.config.url(self.pid).ok_or_else(|| StartError::NotListed {
            pid: self.pid,
            listed: self.config.pids().to_vec(),
        })?;
        let context = Context::new();
        let inlet = Inlet::bind(&context, url, self.max_message.max(output::BATCH))
            .map_err(|source| StartError::Bind { url: url.to_owned(), source })?;
        self.start_bound(url, limits, context, inlet)
            .map_err(|source| StartError::System { source })
    }

    fn limits(&self) -> Result<Limits, StartError> {
        let (heartbeat, peer_timeout) = (self.heartbeat, self.peer_timeout.min(FOREVER));
        if heartbeat < Duration::from_millis(1) || heartbeat.saturating_mul(3) > peer_timeout {
            return Err(StartError::Heartbeat { heartbeat, peer_timeout });
        }
        let most = LARGEST_MESSAGE;
        let largest = u32::try_from(self.max_message).ok().filter(|size| *size as usize <= most);
        let Some(largest) = largest else {
            return Err(StartError::MaxMessage { bytes: self.max_message, most });
        };
        Ok(Limits { window: self.window, largest, heartbeat, peer_timeout })
    }

    fn start_bound(
        &self,
        url: &str,
        limits: Limits,
        context: Context,
        inlet: Inlet,
    ) -> io::Result<(Mailbox, Server)> {
        let pids = self.config.pids().iter().copied();
        let peers: Vec<_> = pids.filter(|pid| *pid != self.pid).collect();
        let clock = Clock::start();
        let (bell, alarm) = socket::wake_up_line(&context)?;
        let counters = Arc::new(Counters::new(&peers));
        let (event_sender, events) = bounded(EVENTS);
        let event_sink = EventSink::new(event_sender, Arc::clone(&counters));
        let (outbox, outbox_end) = bounded(self.outbox_capacity);
        let (inbox_end, inbox) = bounded(self.inbox_capacity);
        let (feedback, feedback_end) = bounded(FEEDBACK * peers.len().max(1));
        let (stop, stop_end) = bounded(0);
        let (incoming, outgoing) = self.links(&peers, limits, clock, &context)?;
        let input = Input::new(input::Setup {
            own: self.pid,
            cluster: self.cluster(),
            clock,
            inlet,
            alarm,
            lanes: incoming,
            inbox: inbox_end,
            feedback,
            events: event_sink.clone(),
            counters: Arc::clone(&counters),
            window: self.window,
            idle_timeout: self.idle_timeout,
            heartbeat: limits.heartbeat,
        });
        let output = Output::new(output::Setup {
            own: self.pid,
            clock,
            context,
            lanes: outgoing,
            outbox: outbox_end,
            feedback: feedback_end,
            stop: stop_end,
            bell,
            events: event_sink,
            counters: Arc::clone(&counters),
            window: self.window,
            largest: self.max_message,
            linger: self.linger.min(FOREVER),
            heartbeat: limits.heartbeat,
        });
        let name = |direction| thread::Builder::new().name(format!("{direction}-{}", self.pid));
        let input = name("input").spawn(move || input.run())?;
        let output = name("output").spawn(move || output.run())?;
        let server = Server {
            pid: self.pid,
            url: url.to_owned(),
            peers,
            counters,
            events,
            stop: Some(stop),
            threads: Some(Threads { output, input }),
        };
        Ok((Mailbox { outbox, inbox }, server))
    }

    /// Both halves of the links to all peers.
    fn links(
        &self,
        peers: &[Pid],
        limits: Limits,
        clock: Clock,
        context: &Context,
    ) -> io::Result<(Vec<input::Lane>, Vec<output::Lane>)> {
        let incarnation = Incarnation::draw();
        let link = |peer: &Pid| {
            let (own, peer, now) = (self.pid, *peer, clock.now());
            let ends = Ends { cluster: self.cluster(), own, peer, incarnation };
            let url = self.config.url(peer).unwrap_or_default();
            let outlet = Outlet::connect(context, url)?;
            let outgoing = Outgoing::new(ends, limits, now);
            let outgoing = output::Lane::new(own, peer, url.to_owned(), outgoing, outlet);
            Ok((input::Lane::new(own, peer, Incoming::new(ends, limits, now)), outgoing))
        };
        peers.iter().map(link).collect()
    }

    fn cluster(&self) -> ClusterId {
        ClusterId::new(self.config.cluster())
    }
}

/// Why a server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The pid is not in the configuration.
    #[error("server {pid} is not listed in the configuration, which lists {}", list(.listed))]
    NotListed {
        /// The pid that was to start.
        pid: Pid,
        /// The pids that are listed.
        listed: Vec<Pid>,
    },
    /// The server's own url cannot be bound.
    #[error("cannot listen on {url}{}", advice(.source))]
    Bind {
        /// The url, from the configuration.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// The heartbeat is shorter than a millisecond, or longer than a third of the peer timeout.
    #[error(
        "a heartbeat of {heartbeat:?} does not go with a peer timeout of {peer_timeout:?}: \
         it must be at least 1 ms and at most a third of that"
    )]
    Heartbeat {
        /// How often a sign of life was to be given.
        heartbeat: Duration,
        /// How long a peer was to be silent before it counts as down.
        peer_timeout: Duration,
    },
    /// The largest message is larger than a frame can hold.
    #[error("messages of {bytes} bytes are too large: the most that can be allowed is {most}")]
    MaxMessage {
        /// What was to be the largest message.
        bytes: usize,
        /// The most it can be.
        most: usize,
    },
    /// The system has no sockets or threads left.
    #[error("the system has not enough sockets or threads for the server")]
    System {
        /// What the system said.
        source: io::Error,
    },
}

fn list(pids: &[Pid]) -> String {
    pids.iter().map(Pid::to_string).collect::<Vec<_>>().join(", ")
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program holds it: end that program, or give the server another url in every \
             server's configuration)"
        }
        io::ErrorKind::AddrNotAvailable => {
            " (it is no address of this machine: run the server where its url points, or correct the url)"
        }
        _ => "",
    }
}
