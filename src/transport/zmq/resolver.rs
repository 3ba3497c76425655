//! Looks up the host names of peers, on threads of its own.
//!
//! libzmq would look them up on its one I/O thread, where a DNS server that is silent stops every
//! connection. Nothing can interrupt a lookup, so each name has a thread, which is never joined: one
//! name that hangs keeps no other from being found, and none keeps a server from ending. The thread
//! holds the ends of two channels and a counter, and ends with the channels.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::envelope::Pid;
use crate::trace::{self, Scope};
use crate::transport::Resolved;

/// How long after a lookup the next one comes: when somebody asks for it, or there was no answer.
const SOON: Duration = Duration::from_secs(1);

/// When it comes although nobody asks.
const LATER: Duration = Duration::from_secs(30);

/// How many addresses of one name are considered: more than any server has.
const MOST_ADDRESSES: usize = 64;

/// Starts the lookups, and hands all they find to one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    found: Sender<Resolved>,
    /// How many names it was ever given.
    given: Arc<AtomicU64>,
}

impl Resolver {
    /// A resolver, which holds what it finds for so many peers, and where it tells that.
    pub(crate) fn new(peers: usize) -> (Self, Receiver<Resolved>) {
        let (found, receiver) = bounded(peers.max(1));
        (Self { found, given: Arc::default() }, receiver)
    }

    /// Looks up the name of the peer, once that [begins](Lookups::begin), and again now and then, until
    /// the lookups are dropped.
    pub(crate) fn look_up(&self, peer: Pid, host: &str) -> io::Result<Lookups> {
        let (requests, requested) = bounded(1);
        let (host, found) = (host.to_owned(), self.found.clone());
        let scope = Scope::current();
        let failed = Arc::new(AtomicU64::new(0));
        let failures = Arc::clone(&failed);
        let id = self.given.fetch_add(1, Ordering::Relaxed);
        // Its stack is as large as usual: what it calls are plug-ins of the system.
        thread::Builder::new().name(format!("lookup-{peer}")).spawn(move || {
            scope.within(|| run(&host, (peer, id), &requested, &found, &failures));
        })?;
        Ok(Lookups { peer, id, requests, begun: AtomicBool::new(false), failed })
    }
}

/// The lookups of one name. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Lookups {
    pub(super) peer: Pid,
    /// By which what they find is known.
    pub(super) id: u64,
    requests: Sender<()>,
    begun: AtomicBool,
    /// How many found nothing, and were not taken note of yet.
    failed: Arc<AtomicU64>,
}

impl Lookups {
    /// Begins, if it has not: who asks is there to hear the answer.
    pub(super) fn begin(&self) {
        if !self.begun.swap(true, Ordering::Relaxed) {
            self.request();
        }
    }

    /// How many have found nothing since this was asked last.
    pub(super) fn take_failed(&self) -> u64 {
        self.failed.swap(0, Ordering::Relaxed)
    }

    /// Asks for another lookup, soon.
    pub(super) fn request(&self) {
        match self.requests.try_send(()) {
            // One that is asked for already will do. A thread that has gone has panicked: the
            // addresses that are known have to do from then on.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

fn run(
    host: &str,
    (peer, lookups): (Pid, u64),
    requests: &Receiver<()>,
    found: &Sender<Resolved>,
    failed: &AtomicU64,
) {
    if requests.recv().is_err() {
        return;
    }
    let mut failing = false;
    loop {
        let started = Instant::now();
        let addresses = addresses_of(host);
        let next = if addresses.is_ok() { LATER } else { SOON };
        let failed_before = std::mem::replace(&mut failing, addresses.is_err());
        failed.fetch_add(u64::from(failing), Ordering::Relaxed);
        match addresses {
            Ok(addresses) => {
                if failed_before {
                    trace::lookup_succeeded(peer, host);
                }
                if found.send(Resolved { peer, lookups, addresses }).is_err() {
                    return;
                }
            }
            Err(error) if !failed_before => trace::lookup_failed(peer, host, &error),
            Err(_) => {}
        }
        if !await_next(requests, started, next) {
            return;
        }
    }
}

/// Waits until the next lookup is due. Returns whether anybody still wants one.
fn await_next(requests: &Receiver<()>, last: Instant, next: Duration) -> bool {
    let mut due = last + next;
    loop {
        match requests.recv_deadline(due) {
            Ok(()) => due = due.min(last + SOON),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// The host name in a url, with the port, if it has one: not an address, nor a path.
pub(crate) fn named_host(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("tcp://")?;
    let (host, _) = authority.rsplit_once(':')?;
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    (!is_address).then_some(authority)
}

/// The addresses of a `host:port`, of which there is at least one: first those of IPv4, where a
/// server listens that is listed by a name. This takes as long as DNS takes.
pub(super) fn addresses_of(host: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<_> = host.to_socket_addrs()?.take(MOST_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_looked_up() {
        let names = ["tcp://localhost:80", "tcp://db-1.example:34465", "tcp://0x7f.1.a:1"];
        assert_eq!(names.map(named_host), names.map(|url| url.strip_prefix("tcp://")));
        for address in
            ["tcp://127.0.0.1:80", "tcp://[::1]:80", "tcp://[fe80::1%lo]:80", "ipc:///a:1"]
        {
            assert_eq!(named_host(address), None, "{address}");
        }
    }

    #[test]
    fn a_name_is_looked_up_at_once_and_again_when_that_is_asked_for() {
        const BOUND: Duration = Duration::from_secs(60);
        let (resolver, found) = Resolver::new(1);
        let lookups = resolver.look_up(Pid::new(7), "localhost:80").unwrap();
        lookups.begin();
        let started = Instant::now();
        for _ in 0..2 {
            let resolved = found.recv_timeout(BOUND).unwrap();
            assert_eq!((resolved.peer, resolved.lookups), (Pid::new(7), 0));
            assert!(resolved.addresses[0].ip().is_loopback(), "{resolved:?}");
            lookups.request();
        }
        assert!(started.elapsed() < LATER);
        drop((resolver, lookups));
        assert_eq!(found.recv_timeout(BOUND).err(), Some(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn lookups_that_find_nothing_are_counted_until_somebody_asks() {
        const BOUND: Duration = Duration::from_secs(60);
        let (resolver, _found) = Resolver::new(1);
        // No resolver asks anybody for a label of more than 63 letters.
        let name = format!("{}.invalid:80", "a".repeat(64));
        let lookups = resolver.look_up(Pid::new(7), &name).unwrap();
        lookups.begin();
        let started = Instant::now();
        while lookups.take_failed() == 0 {
            assert!(started.elapsed() < BOUND, "no lookup has failed");
            thread::yield_now();
        }
    }

    #[test]
    fn a_request_hastens_the_next_lookup_and_never_puts_it_off() {
        let (requests, requested) = bounded(1);
        let last = Instant::now();
        requests.send(()).unwrap();
        assert!(await_next(&requested, last, Duration::from_millis(1)));
        assert!(last.elapsed() < SOON);
        drop(requests);
        assert!(!await_next(&requested, last, LATER));
    }
}
