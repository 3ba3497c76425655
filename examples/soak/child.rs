//! One server: sends at random, audits what comes in, and tells its parent on stdout.

use std::thread;

use raft_cluster::{Config, Mailbox, Server};

use crate::Result;
use crate::auditor::{Auditor, peak};
use crate::memory;
use crate::shared::process::{orders, tell};
use crate::speaker::Speaker;
use crate::standing::{Standings, pid_of};
use crate::tally::Role;

/// Runs until the parent says `finish`, or is gone.
pub(crate) fn play(role: &Role) -> Result<()> {
    let config: Config = role.config.parse()?;
    let bare = peak().unwrap_or(0);
    let builder = Server::builder(&config, pid_of(role.server));
    let (mailbox, server) = memory::bounded(builder).start()?;
    let Mailbox { outbox, inbox, .. } = mailbox;
    let (orders, standings) = (orders(), Standings::default());
    let tally = thread::scope(|scope| {
        let speaker = Speaker::new(role, &server, &standings, outbox);
        let speaking = scope.spawn(|| speaker.run(&orders));
        let tally = Auditor::new(role, &server, &standings, bare).run(&inbox);
        speaking.join().map_err(|_| "the sender panicked")??;
        tally
    })?;
    tell(&tally)
}
