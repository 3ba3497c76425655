//! Connects the servers of a cluster with each other, over libzmq. It is the messaging *under* a Raft,
//! not a Raft: it elects no leader and keeps no log.
//!
//! The cluster is a JSON file that lists every server's pid and url, and may
//! [change](Server::reconfigure) while the servers run. Each server has an **outbox**
//! and an **inbox**, both crossbeam channels: what is put in the outbox goes to one peer or, as a
//! broadcast, to all of them; what the peers send comes out of the inbox. Messages arrive in order
//! and exactly once, whatever happens to the connections between the servers.
//!
//! # Hello
//!
//! ```
//! use raft_cluster::{Config, Envelope, Pid, Server};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = |name: &str| folder.path().join(name).display().to_string();
//! # let json_text = format!(
//! #     r#"{{"object": {{"total": 2, "Servers": [
//! #         {{"mypid": 1, "url": "ipc://{}"}}, {{"mypid": 2, "url": "ipc://{}"}}]}}}}"#,
//! #     path("one"), path("two"));
//! let config: Config = json_text.parse()?;                       // or Config::load("config.json")
//! # let peer = Server::start(&config, Pid::new(2))?;
//! # let peer = std::thread::spawn(move || {
//! #     let (mailbox, server) = peer;
//! #     mailbox.outbox.send(Envelope::broadcast("hello yourself")).unwrap();
//! #     drop(mailbox.outbox);
//! #     mailbox.inbox.into_iter().count();
//! #     server.join()
//! # });
//! let (mailbox, server) = Server::start(&config, Pid::new(1))?;  // binds before it returns
//! mailbox.outbox.send(Envelope::broadcast("hello there"))?;
//! mailbox.outbox.send(Envelope::to(Pid::new(2), "only for you").with_id(7))?;
//! drop(mailbox.outbox);                                          // nothing more to say
//! for envelope in &mailbox.inbox {                               // ends 2 s after the last one
//!     println!("{} said {:?}", envelope.from, envelope.msg);
//! }
//! let report = server.join();                                    // both threads have ended
//! assert!(report.all_acknowledged());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The inbox ends when this server and all its peers have left, and **by default also once nothing
//! has arrived for two seconds**. A server that is to stay has no idle timeout:
//! `Server::builder(&config, pid).idle_timeout(None).start()`.
//!
//! # Guarantees
//!
//! 1. **Order.** What one server sends to a peer arrives in the order it was put in the outbox,
//!    broadcasts and single messages together. Between two outboxes there is no order.
//! 2. **Exactly once** between two running processes, whatever happens to the connections between
//!    them.
//! 3. **Across a restart of the peer**, what the old process had not acknowledged goes to the new
//!    one; the application tells repeats by [`msg_id`](Envelope::msg_id). What was for
//!    [one process](Session) only comes back instead. What was only in the memory of a process that
//!    died is lost.
//! 4. **Nothing is lost silently.** What cannot be delivered comes back as [`Event::Undeliverable`]
//!    or in the final [`Report`]; a receiver that missed messages is told how many by
//!    [`Event::Missed`]. Both go through a bounded channel: what nobody reads is counted in
//!    [`Stats`].
//! 5. **No peer harms another.** A peer that is down, slow, stuck or hostile takes a bounded amount
//!    of memory, and delays nobody but those who [chose to wait](#what-waits-for-what) for it. Once
//!    it is [down](Event::Down), or silent for the [peer timeout](Builder::peer_timeout), it holds
//!    nobody up: what exceeds its [window](Builder::window) is undeliverable.
//! 6. **A late starter** gets what was sent to it before it started, up to the window.
//! 7. **Ending is bounded** by the [linger time](Builder::linger), whatever state the peers are in.
//!
//! An acknowledgement means that the message entered the peer's inbox, not that the application has
//! read it. A message has to cross the network within the peer timeout, or its sender looks silent
//! meanwhile.
//!
//! # What waits for what
//!
//! An envelope waits while somebody it is for is up and has no room, and **what was put in the same
//! outbox after it waits too, whomever that is for**: a broadcast goes at the pace of its slowest
//! living member, and a single message to a peer that is stuck holds up those to all others.
//! [`Event::Stalled`] tells when that takes longer than a heartbeat, and [`PeerStats::blocked`] how
//! long it took in all. There are two ways not to wait for somebody else's peer:
//!
//! - [`Envelope::or_return`]: where there is no room, or the peer is not up, the envelope comes back
//!   at once. An outbox that has only such envelopes never stops.
//! - [`Server::outbox_to`]: a further outbox, for one peer, which is held up by that peer alone.
//!
//! An outbox that has nothing queued for a peer finds room there, whatever the others have queued,
//! until the peer's [window](Builder::window) is full.
//!
//! The thread that reads the inbox must never wait for an outbox. Two servers, each of which answers
//! from the loop that reads its inbox while another thread asks, fill each other's windows, and then
//! each waits for the other to read, for good:
//!
//! ```no_run
//! # let config = raft_cluster::Config::load("config.json")?;
//! # let (mailbox, server) = raft_cluster::Server::start(&config, raft_cluster::Pid::new(1))?;
//! for question in &mailbox.inbox {
//!     // Wrong, if another thread fills the same outbox with questions: the answer waits for room.
//!     mailbox.outbox.send(question.reply("the answer"))?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The ways out: ask and answer by an [`Asker`], which never waits to answer, and has a deadline for
//! each question; or put in answers by `try_send`, into an [outbox of their own](Server::outbox_to)
//! for each peer; or have all that goes into the shared outbox say
//! [`or_return`](Envelope::or_return), the questions too, where who asks can ask again; or read in
//! another thread than the one that sends the answers.
//!
//! Heartbeats and acknowledgements of the library itself wait for no outbox. `docs/consensus.md` in
//! the repository shows how a consensus engine is carried, which must not wait for anybody.
//!
//! # Which process
//!
//! A [`Session`] is one process of a server: after a restart another one speaks for the same pid.
//! Each envelope says [which one](Envelope::session) it came from. A [`reply`](Envelope::reply) is
//! for the process that asked and no other, and [`for_session`](Envelope::for_session) does the same
//! for any envelope: if another process speaks for the peer by then, it comes back because of
//! [`Reason::Restarted`].
//!
//! # Questions and answers
//!
//! [`Server::asker`] puts questions to peers, from any number of threads, each with its deadline. A
//! question comes out of the peer's inbox as any envelope does; the reply to it goes to the thread
//! that asked, past the inbox:
//!
//! ```no_run
//! use std::time::Duration;
//! use raft_cluster::{Config, Pid, Server};
//!
//! # let config = Config::load("config.json")?;
//! let (mailbox, server) = Server::start(&config, Pid::new(1))?;
//! let asker = server.asker();
//! let answer = asker.ask(Pid::new(2), "who leads?", Duration::from_millis(200))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sharing
//!
//! Both ends of a [`Mailbox`] can be cloned and sent to other threads, as all crossbeam channels:
//! many threads may fill one outbox, and several may share the work of one inbox. The library
//! itself runs two threads for each server, beside the one that libzmq has.
//!
//! All of [`crossbeam_channel`] is re-exported, so that `select!` over an inbox and channels of
//! your own is sure to be of the same version.
//!
//! # Ending
//!
//! Disconnection is the way to end. When every outbox sender is dropped, the server sends what the
//! outbox held, says goodbye to each peer and waits for the acknowledgements; its inbox goes on
//! until the peers have left too, or are down. When the inbox is dropped, peers get their messages
//! back as undeliverable, and wait for nobody. [`Server::join`] waits for the natural end,
//! [`Server::shutdown`] and dropping the [`Server`] bring it about.
//!
//! The inbox also ends on the [idle timeout](Builder::idle_timeout): by default, once no envelope
//! has come for two seconds. A server without one stays until its peers have left or it is shut
//! down; a peer that was never heard has not left, and is waited for.
//!
//! # Security
//!
//! Without keys, anyone who reaches a server's port can speak as any listed pid, and anyone who
//! sees the traffic can read it: such a cluster belongs on a network that is trusted.
//!
//! With a `public_key` for every server in the [`Config`], each server has to be given its
//! [`SecretKey`] by [`Builder::secret_key`]. Then all traffic is encrypted by CURVE, libzmq's own
//! security; a connection is let in only with a listed key, and a frame is taken only from the pid
//! whose key its connection has. What is refused comes as [`Event::Rejected`].
//!
//! ```no_run
//! use raft_cluster::{Config, Pid, SecretKey, Server};
//!
//! let config = Config::load("config.json")?;
//! let (mailbox, server) = Server::builder(&config, Pid::new(1))
//!     .secret_key(SecretKey::load("server-1.key")?)
//!     .start()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The bundled libzmq has no CURVE, and a server with keys does not start on it; the system's
//! libzmq has, and [`libzmq()`] tells which one is linked. SECURITY.md in the repository says how
//! to link the other one, where the protection ends, and how to change a key.
//!
//! # Watching
//!
//! [`Server::events`] tells who comes and goes, and [`Server::stats`] what was counted, how each peer
//! stands and how long it takes; a [`Monitor`] tells the same from any thread. With the feature
//! `prometheus` the module of that name tells it to Prometheus; `docs/operations.md` in the
//! repository has rules for alerts.
//!
//! With the feature `tracing` a server says to that crate what changes: peers that come, go, restart and
//! stall, connections that are replaced and why, what is sent again, what is refused, and how it starts
//! and ends. It says nothing for each message, and has no output of its own: who sees it is up to the
//! application's subscriber, which is to be there before the server starts. The targets begin with
//! `raft_cluster::`, and all is within a span `server` with the fields `pid` and `session`.
//!
//! # Host names
//!
//! A url may have a host name. A server looks its own name up once, when it starts, and listens on
//! the first of its addresses that is one of this machine, IPv4 before IPv6. The names of its peers
//! it looks up in the background, each on a thread of its own, so that a DNS server that is slow or
//! silent delays neither other peers nor the end. It tries the addresses in turn, IPv4 first, and
//! looks again when a connection is lost, each second while the name is unknown, and every 30 s
//! besides: so a peer is found that comes back at another address. While DNS does not answer, what
//! is known stays.
//!
//! # Testing
//!
//! With the feature `testing` the module `testing` is there: a network within the process, without
//! sockets and ports, on which a test cuts, delays, loses and resets what it wants, and kills servers.
//!
//! # Architecture
//!
//! An envelope's way: outbox → output → link → wire → transport → *network* → transport → wire →
//! link → input → inbox. The link is the protocol of one direction between two servers: a state
//! machine without I/O, clock or threads. `ARCHITECTURE.md` in the repository tells it all, and how
//! to change what.
//!
//! # Platforms
//!
//! Linux and macOS. On Windows it does not build, and says so.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    // An I/O thread that panics takes a server down: what can fail says so in its type.
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    // A library does not write to its application's terminal.
    clippy::print_stdout,
    clippy::print_stderr,
    // What could lose something is spelled out.
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stdout,
        clippy::print_stderr,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )
)]

#[cfg(not(unix))]
compile_error!("raft-cluster needs Unix, such as Linux or macOS, and does not build on Windows");

mod asker;
mod clock;
mod config;
mod counters;
mod envelope;
mod event;
mod feedback;
mod frame;
mod idle;
mod input;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod key;
mod lifecycle;
mod link;
#[cfg(test)]
mod model;
mod output;
mod pause;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod refusals;
mod report;
mod server;
mod session;
#[cfg(test)]
mod sim;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
mod transport;
mod wire;

pub use asker::{Asker, NoAnswer};
pub use bytes::Bytes;
pub use config::{
    Config, ConfigBuilder, ConfigError, ConfigPlace, ConfigWarning, ServerEntry, UrlError,
};
pub use crossbeam_channel::{self, Receiver, Sender};
pub use envelope::{Envelope, Pid, Recipient};
pub use event::{Event, Reason, Rejection};
pub use idle::Idle;
pub use key::{KeyError, KeyFileError, PublicKey, SecretKey};
pub use report::{Ending, PeerReport, Report};
pub use server::{Builder, Changes, Mailbox, Monitor, ReconfigureError, Server, StartError};
pub use session::Session;
pub use stats::{ConnectionFailures, Dropped, PeerState, PeerStats, Rejections, Stats};
pub use transport::zmq::{Libzmq, libzmq};

/// The examples of the README, so that they are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Those of the page about consensus engines.
#[cfg(doctest)]
#[doc = include_str!("../docs/consensus.md")]
struct Consensus;
