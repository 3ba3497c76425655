//! Addresses of this host that nobody has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};

use super::{Config, Member};
use crate::envelope::Pid;

/// Where the search begins when the system names no port: below that, some need rights.
const FIRST: u16 = 1_024;

impl Config {
    /// Servers 1 to `servers` of this host, on ports that nobody has: for tests and demonstrations.
    /// There is at least one server, and no more than there are ports.
    ///
    /// Nobody keeps the ports until the servers start: another program may take one meanwhile, and
    /// the server then does not start. Over the
    /// network of the feature `testing`, which has no ports, that cannot happen.
    ///
    /// ```
    /// use raft_cluster::{Config, Pid, Server};
    ///
    /// let config = Config::local(2);
    /// let (mailbox, server) = Server::start(&config, Pid::new(1))?;
    /// assert_eq!(server.peers(), [Pid::new(2)]);
    /// # Ok::<(), raft_cluster::StartError>(())
    /// ```
    pub fn local(servers: u16) -> Self {
        let ports = free_ports(servers.max(1));
        let member = |port| {
            let url = format!("tcp://127.0.0.1:{port}");
            Member { url, public_keys: Vec::new(), info: None }
        };
        let members: BTreeMap<_, _> =
            (1..).map(Pid::new).zip(ports.into_iter().map(member)).collect();
        let pids = members.keys().copied().collect();
        Self { pids, members, cluster: None, warnings: Vec::new() }
    }
}

/// So many different ports of `127.0.0.1`, as free as the system knows.
///
/// All are kept until all are found, or as many as the process may have sockets: so the system names
/// each of them once.
fn free_ports(count: u16) -> Vec<u16> {
    let count = usize::from(count);
    let mut kept = Vec::new();
    let mut ports = BTreeSet::new();
    let mut in_order = Vec::with_capacity(count);
    // Where it names none, or one again, the next that is left has to do.
    let mut others = FIRST..=u16::MAX;
    while in_order.len() < count {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok();
        let named = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let named = named.map(|address| address.port()).filter(|port| !ports.contains(port));
        let Some(port) = named.or_else(|| others.find(|port| !ports.contains(port))) else { break };
        match listener {
            Some(listener) => kept.push(listener),
            None => kept.clear(),
        }
        ports.insert(port);
        in_order.push(port);
    }
    in_order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_differ_and_can_be_bound() {
        let ports = free_ports(50);
        let distinct: BTreeSet<_> = ports.iter().collect();
        assert_eq!((ports.len(), distinct.len()), (50, 50));
        let bound = |port: &&u16| TcpListener::bind((Ipv4Addr::LOCALHOST, **port)).is_ok();
        // Another test may have been given one of them since.
        assert!(ports.iter().filter(bound).count() > 45);
    }
}
