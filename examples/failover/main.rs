//! One leads and the others stand by: `cargo run --example failover`.
//!
//! Of three servers, the one with the lowest pid that is alive leads, and carries out the commands
//! that anybody is given. When it goes, the next one takes over; when it is back, it leads again.
//!
//! **This is no consensus.** Each server decides by what it sees itself: while the network is cut
//! in two, or for the moment until a `Down` or `Up` has come to all, two servers may lead at once,
//! or none. That is fine where two leaders do no harm, such as for who sends a report. Where they
//! do, run a consensus protocol, such as Raft, on top of this library.

//!
//! A server is in `replica.rs`; `tests/failover.rs` plays it over a network that is cut and delayed.

mod replica;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use crossbeam_channel::{Receiver, RecvError, unbounded};
use raft_cluster::{Config, Pid, Server};

use replica::{Replica, Told};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const THREE: Pid = Pid::new(3);

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().display();
    let config: Config = format!(
        r#"{{"object": {{"total": 3, "Servers": [
            {{"mypid": 1, "url": "ipc://{path}/one"}},
            {{"mypid": 2, "url": "ipc://{path}/two"}},
            {{"mypid": 3, "url": "ipc://{path}/three"}}]}}}}"#
    )
    .parse()?;
    let (tell, told) = unbounded();
    let mut watch = Watch { told, seen: BTreeMap::new() };
    let start = |pid| Replica::start(Server::builder(&config, pid), pid, tell.clone());
    let (one, two, three) = (start(ONE)?, start(TWO)?, start(THREE)?);
    watch.await_living(&[ONE, TWO, THREE])?;
    three.commands.send("a".into())?;
    watch.await_done()?;

    one.stop();
    println!("server 1 has gone");
    // Server 3 may not know it yet. What it sends to server 1 then comes back, and goes to server
    // 2.
    three.commands.send("b".into())?;
    watch.await_done()?;
    watch.await_living(&[TWO, THREE])?;

    let one = start(ONE)?;
    println!("server 1 is back");
    watch.await_living(&[ONE, TWO, THREE])?;
    three.commands.send("c".into())?;
    watch.await_done()?;
    [one, two, three].into_iter().for_each(Replica::stop);
    Ok(())
}

/// What the program has been told.
struct Watch {
    told: Receiver<Told>,
    seen: BTreeMap<Pid, BTreeSet<Pid>>,
}

impl Watch {
    /// Waits until these servers all see each other, and nobody else.
    fn await_living(&mut self, servers: &[Pid]) -> Result<(), RecvError> {
        let living = BTreeSet::from_iter(servers.iter().copied());
        while servers.iter().any(|server| self.seen.get(server) != Some(&living)) {
            self.next()?;
        }
        println!("{} servers are alive, and server {} leads", servers.len(), servers[0]);
        Ok(())
    }

    /// Waits until the next command is carried out.
    fn await_done(&mut self) -> Result<(), RecvError> {
        while !self.next()? {}
        Ok(())
    }

    /// Takes one more of what the servers tell: whether it is that a command was carried out.
    fn next(&mut self) -> Result<bool, RecvError> {
        match self.told.recv()? {
            Told::Sees { server, living } => {
                self.seen.insert(server, living);
                Ok(false)
            }
            Told::Done { server, command } => {
                println!("server {server} has done {}", String::from_utf8_lossy(&command));
                Ok(true)
            }
        }
    }
}
