//! A network for the tests of your own program: servers of one process, without sockets or ports, and
//! every fault that a network has. It takes the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! raft-cluster = { version = "0.1", features = ["testing"] }
//! ```
//!
//! The servers are the real ones: the same threads, the same protocol and the same guarantees as over
//! libzmq, in real time. Only what carries their frames is another, and does what the test wants.
//!
//! # A counter that is replicated wrongly
//!
//! One server counts, and another keeps the count where a crash does not reach it. Here is what the
//! second one does with what it gets:
//!
//! ```
//! # use raft_cluster::Envelope;
//! #[derive(Default)]
//! struct Disk {
//!     count: u64,
//! }
//!
//! fn apply(disk: &mut Disk, envelope: &Envelope) {
//!     disk.count += 1;
//! }
//! ```
//!
//! Between two running processes each message arrives exactly once, and in every run by hand the count
//! is right. The test kills the second server and starts it again, at a moment that the seed decides:
//!
//! ```
//! use std::time::Duration;
//!
//! use raft_cluster::testing::Network;
//! use raft_cluster::{Config, Envelope, Mailbox, Pid, Server};
//!
//! # #[derive(Default)]
//! # struct Disk { count: u64, last: Option<i64> }
//! # fn apply(disk: &mut Disk, _envelope: &Envelope) { disk.count += 1; }
//! # fn apply_once(disk: &mut Disk, envelope: &Envelope) {
//! #     if disk.last.is_none_or(|last| envelope.msg_id > last) {
//! #         disk.last = Some(envelope.msg_id);
//! #         disk.count += 1;
//! #     }
//! # }
//! /// Counts to ten, and returns what is on the disk then.
//! fn play(
//!     seed: u64,
//!     apply: fn(&mut Disk, &Envelope),
//! ) -> Result<u64, Box<dyn std::error::Error>> {
//!     let mut random = fastrand::Rng::with_seed(seed);
//!     let network = Network::new(seed);
//!     let config = Config::local(2);
//!     let (one, two) = (Pid::new(1), Pid::new(2));
//!     let start = |pid| Server::builder(&config, pid).idle_timeout(None).network(&network).start();
//!     let (counting, server_1) = start(one)?;
//!     let (keeping, server_2) = start(two)?;
//!
//!     // What goes back, such as acknowledgements, takes its time.
//!     network.delay(one, two, Duration::ZERO..Duration::from_millis(20));
//!     let mut disk = Disk::default();
//!     let before_the_crash = random.i64(1..10);
//!     for id in 0..before_the_crash {
//!         counting.outbox.send(Envelope::to(two, "+1").with_id(id))?;
//!         apply(&mut disk, &keeping.inbox.recv()?);
//!     }
//!     server_2.abort();
//!
//!     let (keeping, server_2) = start(two)?;
//!     for id in before_the_crash..10 {
//!         counting.outbox.send(Envelope::to(two, "+1").with_id(id))?;
//!     }
//!     // Both leave, and the inbox ends when all has come.
//!     drop((counting, keeping.outbox));
//!     keeping.inbox.iter().for_each(|envelope| apply(&mut disk, &envelope));
//!     drop((server_1.join(), server_2.join()));
//!     Ok(disk.count)
//! }
//!
//! let wrong = (1..100).find(|seed| play(*seed, apply).is_ok_and(|count| count != 10));
//! assert!(wrong.is_some());
//! # assert_eq!(play(wrong.unwrap_or_default(), apply_once)?, 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It finds one within a second: the server is killed before its acknowledgement has come back, and what
//! the old process has applied goes to the new one again, as guarantee 3
//! [says](crate#guarantees). The mistake is that nothing tells the repeats. The ids do, if they are kept
//! with the count:
//!
//! ```
//! # use raft_cluster::Envelope;
//! #[derive(Default)]
//! struct Disk {
//!     count: u64,
//!     last: Option<i64>,
//! }
//!
//! fn apply_once(disk: &mut Disk, envelope: &Envelope) {
//!     if disk.last.is_none_or(|last| envelope.msg_id > last) {
//!         disk.last = Some(envelope.msg_id);
//!         disk.count += 1;
//!     }
//! }
//! ```
//!
//! # Playing a seed again
//!
//! A network prints its seed when it is made, on stderr, which a test shows when it fails. The same seed
//! makes the same plan: how long the first frame from server 1 to server 2 takes, the second and so on,
//! and which of them are lost. Draw what your test does from the same seed, as above, and let a variable
//! of the environment take the place of the loop:
//!
//! ```
//! # let play = |seed: u64| seed;
//! match std::env::var("SEED") {
//!     Ok(seed) => drop(play(seed.parse()?)),
//!     Err(_) => (1..100).for_each(|seed| drop(play(seed))),
//! }
//! # Ok::<(), std::num::ParseIntError>(())
//! ```
//!
//! The threads are real, so two runs of a seed are alike and not the same: what depends on which of two
//! threads comes first may take some runs to show again.
//!
//! # What befalls what
//!
//! | | what is on its way | what is sent then | the connection |
//! |---|---|---|---|
//! | [`cut`](Network::cut) | waits | waits | stays, until the library replaces it; a new one gets no answer |
//! | [`reset`](Network::reset) | is lost | waits for the next connection | breaks, and is made again in 10 ms |
//! | [`delay`](Network::delay) | as before | arrives so much later, in its order | stays |
//! | [`lose`](Network::lose) | is lost with each frame that is | waits for the next connection | breaks with each frame that is lost |
//! | [`Server::abort`](crate::Server::abort) | arrives, if it is from that server | | is closed, and refused until the server is started again |
//!
//! So a lost frame is lost as on a real line, where nothing but the end of a connection loses anything.
//! [`heal`](Network::heal) ends all of it but the last.
//!
//! A frame is what the library sends: some messages, a part of a large one, or none at all. Frames of one
//! connection arrive in their order.
//!
//! # What is not there
//!
//! Nothing is encrypted, and nobody proves who he is: keys are checked against the configuration when a
//! server starts, and not used. Names are not looked up; a server is found by its url as it is written
//! in the configuration. What takes long on a real line because it is large takes no longer here.

mod attachment;
mod connection;
mod faults;
mod keeper;
mod state;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use self::faults::Route;
use self::keeper::Keeper;
use self::state::State;
use crate::config::Config;
use crate::envelope::Pid;
use crate::link::Limits;
use crate::server::routes::Access;
use crate::server::{Mailbox, Server, StartError};

/// A network within the process, for tests: see the [module](self).
///
/// A clone is the same network. It is there until all its clones and all servers on it are gone. It may
/// carry several clusters: a server is found by its url. Faults are told by pids, and befall those
/// servers of all its clusters.
#[derive(Clone)]
pub struct Network {
    seed: u64,
    keeper: Arc<Keeper>,
}

impl Network {
    /// A network whose faults this seed decides. It prints the seed, on stderr.
    #[expect(clippy::print_stderr, reason = "a test that fails is to show its seed")]
    pub fn new(seed: u64) -> Self {
        eprintln!("a network with seed {seed}");
        Self { seed, keeper: Arc::new(Keeper::new(seed)) }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Starts server `pid` of the cluster on this network, with all defaults: also with the idle
    /// timeout of 2 s. [`Builder::network`](crate::Builder::network) has the options.
    ///
    /// # Errors
    ///
    /// See [`StartError`]. It cannot listen where another server of the network does.
    ///
    /// ```
    /// use raft_cluster::testing::Network;
    /// use raft_cluster::{Config, Envelope, Pid};
    ///
    /// let network = Network::new(4711);
    /// let config = Config::local(2);
    /// let (one, _server_1) = network.start(&config, Pid::new(1))?;
    /// let (two, _server_2) = network.start(&config, Pid::new(2))?;
    /// one.outbox.send(Envelope::broadcast("hello there"))?;
    /// assert_eq!(two.inbox.recv()?.msg, "hello there");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(&self, config: &Config, pid: Pid) -> Result<(Mailbox, Server), StartError> {
        Server::builder(config, pid).network(self).start()
    }

    /// Cuts the line between two servers: what is on it and what is sent waits until it is
    /// [healed](Self::heal), unless the library replaces the connection before, which loses it.
    pub fn cut(&self, a: Pid, b: Pid) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Cuts the line from one server to another, and not back.
    pub fn cut_one_way(&self, from: Pid, to: Pid) {
        self.keeper.with(|state, _| state.faults.cut((from, to)));
    }

    /// Breaks the connections between two servers, both ways. What is on its way is lost, and the
    /// connections are made anew.
    pub fn reset(&self, a: Pid, b: Pid) {
        self.keeper.with(|state, now| both(a, b).for_each(|route| state.reset(route, now)));
    }

    /// From now on each frame between two servers takes a time out of this range, both ways, and none
    /// overtakes another.
    pub fn delay(&self, a: Pid, b: Pid, range: Range<Duration>) {
        self.keeper.with(|state, _| {
            both(a, b).for_each(|route| state.faults.delay(route, range.clone()));
        });
    }

    /// From now on this share of the frames between two servers is lost, both ways, from 0.0 to 1.0. With
    /// each, its connection breaks.
    pub fn lose(&self, a: Pid, b: Pid, share: f64) {
        self.keeper.with(|state, _| {
            both(a, b).for_each(|route| state.faults.lose(route, share));
        });
    }

    /// Ends all faults. What waits or is late arrives now, and all connections are tried at once.
    pub fn heal(&self) {
        self.keeper.with(State::heal);
    }

    /// Listens at a url.
    pub(crate) fn listen(&self, own: Pid, url: &str, limits: Limits) -> io::Result<Access> {
        attachment::listen(&self.keeper, own, url, limits)
    }
}

/// Both directions between two servers.
fn both(a: Pid, b: Pid) -> impl Iterator<Item = Route> {
    [(a, b), (b, a)].into_iter()
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.seed).finish_non_exhaustive()
    }
}
