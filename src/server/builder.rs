//! The options of a server, and its start.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::clock::Clock;
use crate::config::Config;
use crate::counters::{Counters, EventSink};
use crate::envelope::Pid;
use crate::frame::{ClusterId, Incarnation};
use crate::input::{self, Input};
use crate::key::{Keyring, SecretKey};
use crate::link::{Ends, Incoming, Limits, Outgoing};
use crate::output::{self, Output};
use crate::server::{Mailbox, Server, StartError, Threads};
use crate::socket::{self, Context, Destination, Inlet, Outlet};
use crate::wire::LARGEST_MESSAGE;

/// How much a living peer is sent at first, and at least, before it has acknowledged any of it, in bytes.
/// It is some frames.
const AT_ONCE: usize = 1024 * 1024;

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
    secret_key: Option<SecretKey>,
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
            secret_key: None,
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

    /// The key by which the server proves who it is. It must be set if the configuration has public keys,
    /// and must not be if it has none: see [security](crate#security).
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
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
    /// A peer that is up is sent less, at times: as much as it acknowledges within some milliseconds, but
    /// 1 MiB at least, so that no long queue is before what is sent next.
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
        let keys = self.keys()?.map(Arc::new);
        let context = Context::new();
        let largest = self.max_message.max(output::BATCH);
        let inlet = Inlet::bind(&context, url, largest, keys.as_deref())
            .map_err(|source| StartError::Bind { url: url.to_owned(), source })?;
        self.start_bound(url, limits, context, inlet, keys.as_ref())
            .map_err(|source| StartError::System { source })
    }

    /// The server's own key and its peers', if the configuration has any.
    fn keys(&self) -> Result<Option<Keyring>, StartError> {
        let pid = self.pid;
        let (secret, listed) = match (&self.secret_key, self.config.public_key(pid)) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(StartError::NoSecretKey { pid }),
            (Some(_), None) => return Err(StartError::NoPublicKeys { pid }),
            (Some(secret), Some(listed)) => (secret.clone(), listed),
        };
        let keys = self.config.pids().iter().filter_map(|pid| {
            let key = self.config.public_key(*pid)?;
            Some((*pid, key))
        });
        let mut peers: BTreeMap<_, _> = keys.collect();
        let actual = secret.public_key();
        if actual != listed {
            let owner = peers.iter().find(|(_, key)| **key == actual).map(|(pid, _)| *pid);
            return Err(StartError::WrongSecretKey { pid, actual, owner });
        }
        let linked = socket::libzmq();
        if !linked.curve {
            return Err(StartError::NoCurve { linked });
        }
        peers.remove(&pid);
        Ok(Some(Keyring { secret, peers }))
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
        let at_once = AT_ONCE.min(self.window);
        Ok(Limits { window: self.window, at_once, largest, heartbeat, peer_timeout })
    }

    fn start_bound(
        &self,
        url: &str,
        limits: Limits,
        context: Context,
        inlet: Inlet,
        keys: Option<&Arc<Keyring>>,
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
        let (incoming, outgoing) = self.links(&peers, limits, clock, &context, keys)?;
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
        keys: Option<&Arc<Keyring>>,
    ) -> io::Result<(Vec<input::Lane>, Vec<output::Lane>)> {
        let incarnation = Incarnation::draw();
        let link = |peer: &Pid| {
            let (own, peer, now) = (self.pid, *peer, clock.now());
            let ends = Ends { cluster: self.cluster(), own, peer, incarnation };
            let url = self.config.url(peer).unwrap_or_default().to_owned();
            let destination = Destination { peer, url, keys: keys.cloned() };
            let outlet = Outlet::connect(context, &destination)?;
            let outgoing = Outgoing::new(ends, limits, now);
            let outgoing = output::Lane::new(own, peer, destination, outgoing, outlet);
            Ok((input::Lane::new(own, peer, Incoming::new(ends, limits, now)), outgoing))
        };
        peers.iter().map(link).collect()
    }

    fn cluster(&self) -> ClusterId {
        ClusterId::new(self.config.cluster())
    }
}
