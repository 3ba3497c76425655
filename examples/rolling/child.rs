//! One server: sends at random, audits what comes in, and does what its parent orders.

use std::convert::Infallible;
use std::io::{self, Write};
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, tick};
use raft_cluster::{Config, Envelope, Mailbox, Pid, SecretKey, Server};

use crate::Result;
use crate::auditor::Auditor;
use crate::load::Load;
use crate::shared::process::{orders, tell};
use crate::speech::{News, Order, Role, Tally};

/// How often it is looked whether all is acknowledged.
const LOOK: Duration = Duration::from_millis(5);

/// Runs until the parent says that it is to leave, and its peers have said goodbye.
pub(crate) fn play(role: &Role) -> Result<()> {
    let config: Config = role.config.parse()?;
    let builder = Server::builder(&config, Pid::new(role.pid)).idle_timeout(None);
    let (mailbox, server) = match &role.key {
        None => builder.start()?,
        Some(path) => builder.secret_key(SecretKey::load(path)?).start()?,
    };
    let Mailbox { outbox, inbox, .. } = mailbox;
    tell(&News::Runs)?;
    let (events, peers) = (server.events().clone(), server.peers());
    let load = Load::new(role, peers.clone());
    let mut auditor = Auditor::new(role, &load, &peers);
    let (orders, (leave, leaving)) = (orders(), bounded(0));
    thread::scope(|scope| {
        scope.spawn(|| or_end(send(&load, role.rate, outbox, &leaving, &server)));
        scope.spawn(|| or_end(obey(&orders, leave, &server, &load)));
        auditor.run(&inbox, &events)
    })?;
    let report = server.join();
    events.try_iter().try_for_each(|event| auditor.observe(event))?;
    for peer in &report.peers {
        peer.undelivered.iter().for_each(|envelope| load.note_returned(peer.pid, envelope));
    }
    let (broadcasts, sent) = load.accounts();
    let events_missed = report.stats.events_missed;
    let tally = Tally { broadcasts, sent, events_missed, ..auditor.into_tally() };
    tell(&News::Ended(Box::new(tally)))
}

/// A thread that fails takes the process down, which the parent notices.
fn or_end(done: Result<()>) {
    if let Err(error) = done {
        let _ = writeln!(io::stderr(), "{error}");
        exit(1);
    }
}

/// Sends until the server is to leave, and tells when all of it is acknowledged. With the outbox,
/// which ends then, the server begins to leave.
fn send(
    load: &Load,
    rate: u32,
    outbox: Sender<Envelope>,
    leaving: &Receiver<Infallible>,
    server: &Server,
) -> Result<()> {
    load.send(&outbox, rate, leaving)?;
    for _ in tick(LOOK) {
        let stats = server.stats();
        let acknowledged = stats.peers.iter().all(|peer| peer.queued + peer.in_flight == 0);
        if outbox.is_empty() && acknowledged {
            break;
        }
    }
    drop(outbox);
    tell(&News::Drained)
}

/// Does what it is told until it is to leave.
fn obey(
    orders: &Receiver<Order>,
    leave: Sender<Infallible>,
    server: &Server,
    load: &Load,
) -> Result<()> {
    while let Ok(Order::Reconfigure { config, key }) = orders.recv() {
        let key = key.map(SecretKey::load).transpose()?;
        let took = reconfigure(&config.parse()?, key, server, load)?;
        tell(&News::Reconfigured(took))?;
    }
    drop(leave);
    Ok(())
}

/// Goes by another list, while everything goes on. Returns how long that took.
fn reconfigure(
    config: &Config,
    key: Option<SecretKey>,
    server: &Server,
    load: &Load,
) -> Result<Duration> {
    let is_listed = |pid: &Pid| config.pids().contains(pid);
    let leavers = server.peers().into_iter().filter(|pid| !is_listed(pid));
    let accepted = |pid| Some((pid, server.stats_of(pid)?.accepted));
    let removed: Vec<_> = leavers.filter_map(accepted).collect();
    let started = Instant::now();
    let changes = match key {
        None => server.reconfigure(config)?,
        Some(key) => server.reconfigure_with_key(config, key)?,
    };
    let took = started.elapsed();
    load.aim_at(server.peers(), &changes.added, &removed);
    Ok(took)
}
