//! The options of a server, and its start.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::envelope::Pid;
use crate::feedback;
use crate::frame::{ClusterId, Incarnation};
use crate::idle::Idle;
use crate::key::{Keyring, SecretKey};
use crate::link::{FrameSizes, Limits};
use crate::server::assembly::{Plan, Ways};
use crate::server::membership::Listed;
use crate::server::routes::Access;
use crate::server::{Mailbox, Origin, Server, StartError, keyring};
use crate::session::Session;
use crate::trace::Scope;
use crate::wire::MAX_MESSAGE;

/// How much a living peer takes at least, on its way or waiting for it, in bytes. It is some
/// batches.
const MIN_BACKLOG: usize = 1024 * 1024;

/// How many envelopes an outbox or an inbox holds at the most.
const MAX_CAPACITY: usize = 1 << 20;

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
    reconnect_grace: Duration,
    idle: Idle,
    #[cfg(feature = "testing")]
    network: Option<crate::testing::Network>,
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
            reconnect_grace: Duration::from_millis(500),
            idle: Idle::default(),
            #[cfg(feature = "testing")]
            network: None,
        }
    }

    /// The key by which the server proves who it is. It must be set if the configuration has public
    /// keys, and must not be if it has none: see [security](crate#security).
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// How many envelopes the outbox holds: 4,096 unless set, and 1,048,576 at the most. The memory
    /// for so many, 72 bytes each, is taken at the start.
    pub fn outbox_capacity(mut self, envelopes: usize) -> Self {
        self.outbox_capacity = envelopes;
        self
    }

    /// How many envelopes the inbox holds: 4,096 unless set, and 1,048,576 at the most. The memory
    /// for so many, 72 bytes each, is taken at the start.
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

    /// How many bytes may be on their way to a peer, and wait for it while it is down: 8 MiB for
    /// each peer unless set. A message larger than that travels alone.
    ///
    /// For a peer that is up it is less, at times: what the peer acknowledges within some
    /// milliseconds, but 1 MiB at least, so that no long queue is before what is sent next.
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

    /// How often a peer is given a sign of life when there is nothing else to send: every second
    /// unless set.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// How long a peer may be silent before it counts as down: 5 s unless set. At least three
    /// heartbeats of the peer, so that one that is late does no harm; all servers best have the
    /// same.
    pub fn peer_timeout(mut self, timeout: Duration) -> Self {
        self.peer_timeout = timeout;
        self
    }

    /// How long a peer whose side has closed the connection may refuse another before it counts as
    /// down: 500 ms unless set. `Duration::MAX` leaves it to the
    /// [peer timeout](Self::peer_timeout).
    ///
    /// So a process that was killed is noticed soon, and not only by its silence; one that is
    /// started again within this time is not reported as down. A connection that breaks and can be
    /// made again says nothing of the peer, nor does an attempt that gets no answer. It is seen at
    /// the next attempt to connect, of which there are five in a second. Only a firewall that
    /// resets connections and refuses new ones for so long looks the same; the peer is up again as
    /// soon as it is heard.
    ///
    /// This takes file descriptors: where the process may not open five for each peer, and 128
    /// more, the peer timeout alone decides.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use raft_cluster::{Config, Pid, Server};
    ///
    /// let config = Config::load("config.json")?;
    /// // A supervisor starts crashed servers again within two seconds.
    /// let builder = Server::builder(&config, Pid::new(1)).reconnect_grace(Duration::from_secs(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reconnect_grace(mut self, grace: Duration) -> Self {
        self.reconnect_grace = grace;
        self
    }

    /// What the two threads do between two messages: [`Idle::Adaptive`] unless set.
    ///
    /// `docs/performance.md` in the repository has the figures of each.
    ///
    /// ```no_run
    /// use raft_cluster::{Config, Idle, Pid, Server};
    ///
    /// let config = Config::load("config.json")?;
    /// // A machine that has two cores to spare.
    /// let builder = Server::builder(&config, Pid::new(1)).idle(Idle::Spin);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// Starts it on a network of this process instead of the system's: without sockets and ports, and
    /// with the faults that a test asks for. It takes the feature `testing`.
    ///
    /// ```
    /// use raft_cluster::testing::Network;
    /// use raft_cluster::{Config, Pid, Server};
    ///
    /// let network = Network::new(4711);
    /// let config = Config::local(3);
    /// let builder = Server::builder(&config, Pid::new(1)).idle_timeout(None);
    /// let (mailbox, server) = builder.network(&network).start()?;
    /// # Ok::<(), raft_cluster::StartError>(())
    /// ```
    #[cfg(feature = "testing")]
    pub fn network(mut self, network: &crate::testing::Network) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Starts the server. It is bound to its url when this returns.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn start(self) -> Result<(Mailbox, Server), StartError> {
        let plan = self.plan()?;
        let url = self.config.url(self.pid).ok_or_else(|| StartError::NotListed {
            pid: self.pid,
            listed: self.config.pids().to_vec(),
        })?;
        let keys = keyring::gather(self.config, self.pid, self.secret_key.as_ref())?.map(Arc::new);
        let access = self.listen(url, keys.as_deref(), &plan)?;
        self.start_bound(plan, access, keys.as_ref())
            .map_err(|source| StartError::System { source })
    }

    /// Binds to the url.
    fn listen(&self, url: &str, keys: Option<&Keyring>, plan: &Plan) -> Result<Access, StartError> {
        let bind = |source| StartError::Bind { url: url.to_owned(), source };
        #[cfg(feature = "testing")]
        if let Some(network) = &self.network {
            return network.listen(self.pid, url, plan.limits).map_err(bind);
        }
        if keys.is_some() {
            keyring::require_curve()?;
        }
        Access::over_zmq(url, keys, plan.limits, plan.peers.len()).map_err(bind)
    }

    /// What the server is to be.
    pub(crate) fn plan(&self) -> Result<Plan, StartError> {
        let limits = self.limits()?;
        let envelopes = self.outbox_capacity.max(self.inbox_capacity);
        if envelopes > MAX_CAPACITY {
            return Err(StartError::Capacity { envelopes, most: MAX_CAPACITY });
        }
        let pids = self.config.pids().iter().copied();
        Ok(Plan {
            own: self.pid,
            peers: pids.filter(|pid| *pid != self.pid).collect(),
            cluster: ClusterId::new(self.config.cluster()),
            incarnation: Incarnation::draw(),
            limits,
            outbox_capacity: self.outbox_capacity,
            inbox_capacity: self.inbox_capacity,
            idle_timeout: self.idle_timeout,
            linger: self.linger.min(FOREVER),
        })
    }

    fn limits(&self) -> Result<Limits, StartError> {
        let (heartbeat, peer_timeout) = (self.heartbeat, self.peer_timeout.min(FOREVER));
        if heartbeat < Duration::from_millis(1) || heartbeat.saturating_mul(3) > peer_timeout {
            return Err(StartError::Heartbeat { heartbeat, peer_timeout });
        }
        let most = MAX_MESSAGE;
        let max_message =
            u32::try_from(self.max_message).ok().filter(|size| *size as usize <= most);
        let Some(max_message) = max_message else {
            return Err(StartError::MaxMessage { bytes: self.max_message, most });
        };
        let min_backlog = MIN_BACKLOG.min(self.window);
        let (window, frames) = (self.window, FrameSizes::DEFAULT);
        Ok(Limits {
            window,
            min_backlog,
            frames,
            max_message,
            heartbeat,
            peer_timeout,
            reconnect_grace: self.reconnect_grace,
        })
    }

    fn start_bound(
        &self,
        plan: Plan,
        access: Access,
        keys: Option<&Arc<Keyring>>,
    ) -> io::Result<(Mailbox, Server)> {
        let clock = Clock::start();
        let now = clock.now();
        let scope = Scope::of_server(plan.own, Session::of(plan.incarnation));
        let Access { routes, inlet, waker, resolved } = access;
        let outlet = |peer: &Pid| {
            let url = self.config.url(*peer).unwrap_or_default();
            routes.to(*peer, url, keys, now)
        };
        let outlets = || plan.peers.iter().map(outlet).collect::<io::Result<_>>();
        let outlets = scope.within(outlets)?;
        let feedback = feedback::channel(plan.peers.len());
        let ways = Ways { outlets, inlet, waker, feedback };
        let listed = Listed { config: self.config.clone(), secret: self.secret_key.clone() };
        let origin = Origin { scope, clock, now, idle: self.idle, routes, listed };
        Server::spawn(plan, ways, resolved, origin)
    }
}
