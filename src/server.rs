//! The handle: a [`Server`] is two threads, started by a [`Builder`] and joined at the end.

#[cfg(feature = "testing")]
mod abort;
pub(crate) mod assembly;
mod builder;
mod keyring;
mod membership;
mod monitor;
pub(crate) mod outboxes;
pub(crate) mod routes;
mod start_error;

use std::io;
use std::panic;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

pub use self::builder::Builder;
pub use self::membership::{Changes, ReconfigureError};
pub use self::monitor::Monitor;
pub use self::start_error::StartError;
use crate::asker::{Asker, Questions};
use crate::clock::Clock;
use crate::config::Config;
use crate::envelope::{Envelope, Pid};
use crate::event::Event;
use crate::idle::Idle;
use crate::key::SecretKey;
use crate::lifecycle::Order;
use crate::report::{Ending, PeerReport, Report};
use crate::server::assembly::{Parts, Plan, Ways};
use crate::server::membership::{Listed, Membership};
use crate::server::outboxes::Outboxes;
use crate::server::routes::Routes;
use crate::session::Session;
use crate::stats::{PeerStats, Stats};
use crate::trace::{self, Scope};
use crate::transport::Resolved;

/// The two ends an application holds: what it puts in the outbox goes to the peers, and what they
/// send comes out of the inbox.
///
/// Either end can be moved out, cloned or dropped on its own. Dropping every outbox sender says
/// that this server has nothing more to send; dropping the inbox, that it wants to hear nothing
/// more.
///
/// It may get more fields: take it apart with `let Mailbox { outbox, inbox, .. } = mailbox`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mailbox {
    /// Where to put what goes out. It blocks while it is full, which it stays while a living peer
    /// takes no more.
    pub outbox: Sender<Envelope>,
    /// Where what came in is found. It ends when this server is leaving and its peers have left
    /// too, or on the idle timeout: by default, after 2 s without an envelope.
    pub inbox: Receiver<Envelope>,
}

/// A running server: the handle to its two threads.
///
/// Dropping it is [`shutdown`](Server::shutdown) without the report.
///
/// ```
/// use raft_cluster::{Config, Envelope, Pid, Server};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = |name: &str| folder.path().join(name).display().to_string();
/// # let json_text = format!(
/// #     r#"{{"object": {{"total": 2, "Servers": [
/// #         {{"mypid": 1, "url": "ipc://{}"}}, {{"mypid": 2, "url": "ipc://{}"}}]}}}}"#,
/// #     path("one"), path("two"));
/// let config: Config = json_text.parse()?;
/// let (one, server_one) = Server::start(&config, Pid::new(1))?;
/// let (two, server_two) = Server::start(&config, Pid::new(2))?;
/// one.outbox.send(Envelope::broadcast("hello there"))?;
/// drop((one.outbox, two.outbox));
/// let envelope = two.inbox.recv()?;
/// assert_eq!(envelope.from, Pid::new(1));
/// assert_eq!(&envelope.msg[..], b"hello there");
/// assert!(server_one.join().all_acknowledged());
/// assert!(server_two.join().all_acknowledged());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a server ends when its handle is dropped"]
pub struct Server {
    monitor: Monitor,
    url: String,
    outboxes: Arc<Outboxes>,
    questions: Arc<Questions>,
    membership: Membership,
    events: Receiver<Event>,
    /// Dropped to tell the threads to end.
    stop: Option<Sender<Order>>,
    threads: Option<Threads>,
}

#[derive(Debug)]
struct Threads {
    output: JoinHandle<Vec<PeerReport>>,
    input: JoinHandle<io::Result<Ending>>,
}

/// When a server began, how it waits, and what it needs to change.
struct Origin {
    scope: Scope,
    clock: Clock,
    /// When its ways were made.
    now: Duration,
    idle: Idle,
    routes: Box<dyn Routes>,
    listed: Listed,
}

impl Server {
    /// Starts server `pid` of the cluster with all defaults.
    ///
    /// It is bound to its url when this returns.
    ///
    /// # The inbox ends after two seconds of silence
    ///
    /// By default there is an [idle timeout](Builder::idle_timeout): once no envelope has entered
    /// the inbox for 2 s, also right after the start, the inbox ends, and a loop over it with it.
    /// What peers send from then on comes back to them as undeliverable. A server that is to stay
    /// switches it off:
    ///
    /// ```no_run
    /// use raft_cluster::{Config, Pid, Server};
    ///
    /// let config = Config::load("config.json")?;
    /// let (mailbox, server) = Server::builder(&config, Pid::new(1)).idle_timeout(None).start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the pid is not listed, its url cannot be bound, or the configuration has keys, which
    /// only a [`builder`](Self::builder) takes: see [`StartError`].
    pub fn start(config: &Config, pid: Pid) -> Result<(Mailbox, Self), StartError> {
        Self::builder(config, pid).start()
    }

    /// Puts a server together and starts its threads.
    fn spawn(
        plan: Plan,
        ways: Ways,
        resolved: Receiver<Resolved>,
        Origin { scope, clock, now, idle, routes, listed }: Origin,
    ) -> io::Result<(Mailbox, Self)> {
        let (pid, session) = (plan.own, Session::of(plan.incarnation));
        let url = listed.config.url(pid).unwrap_or_default().to_owned();
        scope.within(|| trace::started(&plan, &url, listed.secret.is_some()));
        let parts = plan.assemble(ways, now);
        let Parts { mailbox, outboxes, mut output, input, stop, events, .. } = parts;
        let (counters, questions) = (parts.counters, parts.questions);
        let (workshop, changes) = (parts.workshop, parts.changes);
        let membership =
            Membership::new(pid, listed, routes, workshop, changes, clock, scope.clone());
        output.listen_to(resolved);
        let name = |direction| thread::Builder::new().name(format!("{direction}-{pid}"));
        let (of_input, of_output) = (scope.clone(), scope.clone());
        let run_input = move || {
            let ended = input.run(clock, idle);
            trace::ended(&ended);
            ended
        };
        let input = name("input").spawn(move || of_input.within(run_input))?;
        let output = name("output").spawn(move || of_output.within(|| output.run(clock, idle)))?;
        let (stop, threads) = (Some(stop), Some(Threads { output, input }));
        let monitor = Monitor::new(pid, session, counters, clock);
        let outboxes = Arc::new(outboxes);
        let server = Self { monitor, url, outboxes, questions, membership, events, stop, threads };
        Ok((mailbox, server))
    }

    /// The options of a server, to be set before it starts.
    pub fn builder(config: &Config, pid: Pid) -> Builder<'_> {
        Builder::new(config, pid)
    }

    /// Which server this is.
    pub fn pid(&self) -> Pid {
        self.monitor.pid()
    }

    /// Which process of the server this is: what it sends carries it as
    /// [`Envelope::session`].
    pub fn session(&self) -> Session {
        self.monitor.session()
    }

    /// A further outbox, for one peer, which is held up by that peer alone; none if it is no peer.
    ///
    /// What is put in one outbox arrives in that order. Nothing is said of the order between two:
    /// outboxes that have something for a peer share the way to it by bytes, so that what comes by
    /// one that was idle overtakes all that has come by others and is not on its way yet. The
    /// field [`to`](Envelope::to) of what is put in is overwritten.
    ///
    /// Each call makes another outbox, which holds as many envelopes as
    /// [the first one](Builder::outbox_capacity). The server ends when the senders of all outboxes
    /// are gone; an outbox that is asked for after that is closed from the beginning.
    ///
    /// ```no_run
    /// use raft_cluster::{Config, Envelope, Pid, Server};
    ///
    /// let config = Config::load("config.json")?;
    /// let (mailbox, server) = Server::start(&config, Pid::new(1))?;
    /// let snapshots = server.outbox_to(Pid::new(3)).ok_or("server 3 is no peer")?;
    /// // However long this takes, nothing in `mailbox.outbox` waits for it.
    /// snapshots.send(Envelope::to(Pid::new(3), vec![0; 50_000_000]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outbox_to(&self, pid: Pid) -> Option<Sender<Envelope>> {
        self.monitor.has_peer(pid).then(|| self.outboxes.open(pid))
    }

    /// What puts questions to peers, and answers theirs, from any number of threads.
    ///
    /// Each call opens two further outboxes for each peer: make one asker and clone it.
    pub fn asker(&self) -> Asker {
        Asker::new(Arc::clone(&self.questions), Arc::clone(&self.outboxes), &self.peers())
    }

    /// Where it listens, as a libzmq url.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The other servers of the cluster, in the order of the configuration.
    pub fn peers(&self) -> Vec<Pid> {
        self.monitor.peers()
    }

    /// Goes by another configuration from now on, without a pause: peers are added and removed, found
    /// elsewhere, or have other keys. Everything else goes on as it was; a peer that is listed as before
    /// notices nothing.
    ///
    /// When this returns, both threads go by it. A peer that was removed is told goodbye, if it is
    /// there, and what it had not acknowledged comes back with
    /// [`Reason::Removed`](crate::Reason::Removed), as does what is sent to it from then on. What had come
    /// from it and is in the inbox stays there; what had not entered it comes back at the peer, and
    /// perhaps the last that had, since nobody acknowledges that any more. A key that is listed no more
    /// is good for nothing at once, also on connections that are there.
    ///
    /// Two servers whose lists differ for a while are no harm. A server refuses what comes from one that
    /// it does not list, which is told once in a while ([`Event::Rejected`]), and the link comes up by
    /// itself once both list each other. One that is removed and added again is the same peer: as long as
    /// neither process ends, nothing is repeated that had been received, and what is sent again arrives
    /// in its order.
    ///
    /// The server's own url, the name of the cluster, and whether there are keys cannot change while it
    /// runs. One change is made at a time; whoever calls this from another thread waits.
    ///
    /// # Errors
    ///
    /// See [`ReconfigureError`]. The server goes on as before.
    ///
    /// ```
    /// use raft_cluster::{Config, Pid, Server};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let url = |name: &str| format!("ipc://{}", folder.path().join(name).display());
    /// # let of_two = format!(
    /// #     r#"{{"object": {{"total": 2, "Servers": [
    /// #         {{"mypid": 1, "url": "{}"}}, {{"mypid": 2, "url": "{}"}}]}}}}"#,
    /// #     url("one"), url("two"));
    /// # let of_one = format!(
    /// #     r#"{{"object": {{"total": 1, "Servers": [{{"mypid": 1, "url": "{}"}}]}}}}"#, url("one"));
    /// let (mailbox, server) = Server::start(&of_one.parse()?, Pid::new(1))?;
    /// let changes = server.reconfigure(&of_two.parse()?)?;
    /// assert_eq!(changes.added, [Pid::new(2)]);
    /// assert_eq!(server.peers(), [Pid::new(2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reconfigure(&self, config: &Config) -> Result<Changes, ReconfigureError> {
        self.membership.change(config, None)
    }

    /// The same, with another key for this server, which has to be listed for it.
    ///
    /// For a moment nobody is heard, and all connections are made anew: nothing is lost by that. The
    /// peers must know the new key before: list it beside the old one everywhere, then change to it,
    /// then list it alone.
    ///
    /// # Errors
    ///
    /// See [`ReconfigureError`]. The server goes on as before.
    ///
    /// ```no_run
    /// use raft_cluster::{Config, Pid, SecretKey, Server};
    ///
    /// let config = Config::load("config.json")?;
    /// let old = SecretKey::load("server-1.key")?;
    /// let (mailbox, server) = Server::builder(&config, Pid::new(1)).secret_key(old).start()?;
    /// // In the meantime the file lists two keys for this server.
    /// let config = Config::load("config.json")?;
    /// server.reconfigure_with_key(&config, SecretKey::load("server-1.new.key")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reconfigure_with_key(
        &self,
        config: &Config,
        secret_key: SecretKey,
    ) -> Result<Changes, ReconfigureError> {
        self.membership.change(config, Some(secret_key))
    }

    /// What it has counted so far.
    pub fn stats(&self) -> Stats {
        self.monitor.stats()
    }

    /// What it has counted for one peer so far, if it is one. Unlike [`stats`](Self::stats) this
    /// takes no memory.
    pub fn stats_of(&self, pid: Pid) -> Option<PeerStats> {
        self.monitor.stats_of(pid)
    }

    /// What looks at the server from elsewhere, such as the thread that serves its metrics.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// What happens around it. The channel is bounded: see [`Event`].
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Waits until both threads have ended, which they do once every outbox sender has been dropped
    /// and the inbox has ended: because all peers have left or are down, on the idle timeout, or
    /// because the application dropped it (which shows at the next envelope that comes).
    ///
    /// # Panics
    ///
    /// Re-raises a panic of one of the threads.
    pub fn join(mut self) -> Report {
        self.wait()
    }

    /// Leaves at once: what the outbox holds is still sent, and acknowledgements are awaited for
    /// the linger time at most.
    ///
    /// Outbox senders that still live elsewhere get an error from then on. What they put in while an
    /// outbox is emptied is sent too. But those that put in as fast as it is emptied lose what it
    /// holds in the end, which is [counted](Stats::discarded); and an envelope that is sent in the
    /// very moment of the closing may be lost uncounted. To be sure of every envelope, drop the
    /// senders first, or have an outbox of [capacity](Builder::outbox_capacity) 0, where who sends
    /// waits until the envelope is taken.
    ///
    /// # Panics
    ///
    /// Re-raises a panic of one of the threads.
    pub fn shutdown(mut self) -> Report {
        self.stop = None;
        self.wait()
    }

    fn wait(&mut self) -> Report {
        let Some(threads) = self.threads.take() else { return Report::default() };
        let output = threads.output.join();
        let input = threads.input.join();
        let mut peers = output.unwrap_or_else(|payload| panic::resume_unwind(payload));
        let input = input.unwrap_or_else(|payload| panic::resume_unwind(payload));
        let (ended, failure) = match input {
            Ok(ended) => (ended, None),
            Err(failure) => (Ending::Failed, Some(failure)),
        };
        let listed = self.peers();
        peers.sort_by_key(|peer| listed.iter().position(|pid| *pid == peer.pid));
        Report { peers, stats: self.stats(), ended, failure }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(threads) = self.threads.take() {
            // A panic in a thread has been printed; `join` and `shutdown` are there to re-raise it.
            let _ = (threads.output.join(), threads.input.join());
        }
    }
}
