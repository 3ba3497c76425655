//! The list of servers, which may change while a server runs.

mod error;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

pub use self::error::ReconfigureError;
use crate::clock::Clock;
use crate::config::Config;
use crate::envelope::{Pid, list};
use crate::input;
use crate::key::{Keyring, SecretKey};
use crate::output;
use crate::server::assembly::Workshop;
use crate::server::keyring;
use crate::server::routes::Routes;
use crate::trace::{self, Scope};
use crate::transport::Outlet;

/// What a [reconfiguration](crate::Server::reconfigure) has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The servers that are peers now and were none.
    pub added: Vec<Pid>,
    /// The servers that were peers and are none any more.
    pub removed: Vec<Pid>,
    /// The peers that have another url or other keys; and this server itself, if its keys are others.
    pub changed: Vec<Pid>,
}

impl Changes {
    /// Whether all is as it was.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts =
            [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let mut separator = "";
        for (what, pids) in parts.into_iter().filter(|(_, pids)| !pids.is_empty()) {
            write!(f, "{separator}{what} {}", list(pids))?;
            separator = "; ";
        }
        if self.is_empty() { f.write_str("nothing has changed") } else { Ok(()) }
    }
}

/// What a server goes by.
pub(super) struct Listed {
    pub(super) config: Config,
    pub(super) secret: Option<SecretKey>,
}

/// What it takes to change the list.
pub(super) struct Membership {
    own: Pid,
    /// One change at a time.
    listed: Mutex<Listed>,
    routes: Box<dyn Routes>,
    workshop: Workshop,
    /// To the output thread.
    changes: Sender<output::Change>,
    clock: Clock,
    scope: Scope,
}

/// New ways to peers.
type Ways = Vec<(Pid, Box<dyn Outlet>)>;

impl Membership {
    pub(super) fn new(
        own: Pid,
        listed: Listed,
        routes: Box<dyn Routes>,
        workshop: Workshop,
        changes: Sender<output::Change>,
        clock: Clock,
        scope: Scope,
    ) -> Self {
        Self { own, listed: Mutex::new(listed), routes, workshop, changes, clock, scope }
    }

    /// Has both threads go by another configuration, and perhaps another key, and waits until they do.
    pub(super) fn change(
        &self,
        config: &Config,
        secret: Option<SecretKey>,
    ) -> Result<Changes, ReconfigureError> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let secret = secret.or_else(|| listed.secret.clone());
        self.check(&listed, config, secret.as_ref())?;
        let keys = keyring::gather(config, self.own, secret.as_ref())
            .map_err(|source| ReconfigureError::Keys { source })?
            .map(Arc::new);
        if keys.is_some() {
            self.routes.check_keys().map_err(|source| ReconfigureError::Keys { source })?;
        }
        let changes = self.compare(&listed, config, secret.as_ref());
        self.scope.within(|| {
            self.apply(&listed.config, config, &changes, keys)?;
            trace::reconfigured(&changes);
            Ok(())
        })?;
        *listed = Listed { config: config.clone(), secret };
        Ok(changes)
    }

    /// What a server cannot change while it runs is as it was.
    fn check(
        &self,
        before: &Listed,
        config: &Config,
        secret: Option<&SecretKey>,
    ) -> Result<(), ReconfigureError> {
        let pid = self.own;
        let Some(url) = config.url(pid) else {
            return Err(ReconfigureError::NotListed { pid, listed: config.pids().to_vec() });
        };
        let current = before.config.url(pid).unwrap_or_default();
        if url != current {
            let (current, listed) = (current.to_owned(), url.to_owned());
            return Err(ReconfigureError::OtherUrl { pid, current, listed });
        }
        if config.cluster() != before.config.cluster() {
            let current = before.config.cluster().map(str::to_owned);
            let listed = config.cluster().map(str::to_owned);
            return Err(ReconfigureError::OtherCluster { current, listed });
        }
        let has_keys = before.secret.is_some();
        if config.public_key(pid).is_some() != has_keys || secret.is_some() != has_keys {
            return Err(ReconfigureError::OtherSecurity { has_keys });
        }
        Ok(())
    }

    fn compare(&self, before: &Listed, config: &Config, secret: Option<&SecretKey>) -> Changes {
        let old = &before.config;
        let is_other = |pid: &Pid| {
            old.url(*pid) != config.url(*pid) || old.public_keys(*pid) != config.public_keys(*pid)
        };
        let public_key = |secret: Option<&SecretKey>| secret.map(SecretKey::public_key);
        let other_key = public_key(secret) != public_key(before.secret.as_ref());
        let is_changed = |pid: &Pid| is_other(pid) || *pid == self.own && other_key;
        let (common, added): (Vec<Pid>, _) =
            config.pids().iter().partition(|pid| old.pids().contains(pid));
        let removed = old.pids().iter().filter(|pid| !config.pids().contains(pid));
        let changed = common.into_iter().filter(is_changed).collect();
        Changes { added, removed: removed.copied().collect(), changed }
    }

    fn apply(
        &self,
        old: &Config,
        new: &Config,
        changes: &Changes,
        keys: Option<Arc<Keyring>>,
    ) -> Result<(), ReconfigureError> {
        let now = self.clock.now();
        let (before, after) = (self.peers_of(old), self.peers_of(new));
        let counters = self.workshop.counters();
        // Who is not known to be counted yet must not be heard, and who is gone has to be counted.
        let gone = changes.removed.iter().copied();
        let all: Vec<_> = after.iter().copied().chain(gone).collect();
        self.routes.expect(all.len());
        let moved = |pid: &&Pid| **pid != self.own && old.url(**pid) != new.url(**pid);
        let moved: Vec<_> = changes.changed.iter().filter(moved).copied().collect();
        let ways = || -> io::Result<(Ways, Ways)> {
            let to = |pid: &Pid| {
                let url = new.url(*pid).unwrap_or_default();
                Ok((*pid, self.routes.to(*pid, url, keys.as_ref(), now)?))
            };
            let ways = |pids: &[Pid]| pids.iter().map(to).collect::<io::Result<_>>();
            Ok((ways(&changes.added)?, ways(&moved)?))
        };
        let (added, rerouted) = ways().map_err(|source| {
            self.routes.expect(before.len());
            ReconfigureError::System { source }
        })?;
        counters.list(&all);
        let changed = self.send(&changes.removed, added, rerouted, keys, after.len(), now);
        let listed = if changed.is_ok() { &after } else { &before };
        counters.list(listed);
        self.routes.expect(listed.len());
        changed
    }

    /// Hands the change to the threads, and waits until both go by it.
    fn send(
        &self,
        removed: &[Pid],
        added: Ways,
        rerouted: Ways,
        keys: Option<Arc<Keyring>>,
        peers: usize,
        now: Duration,
    ) -> Result<(), ReconfigureError> {
        let (done, is_done) = bounded(1);
        let removed = removed.to_vec();
        let receivers = added.iter().map(|(pid, _)| self.workshop.receiver(*pid, peers, now));
        let input = input::Change {
            removed: removed.clone(),
            added: receivers.collect(),
            keys: keys.clone(),
            done,
        };
        let sender = |(pid, outlet)| self.workshop.sender(pid, outlet, peers, now);
        let added = added.into_iter().map(sender).collect();
        let change = output::Change { removed, added, rerouted, keys, input };
        self.changes.send(change).map_err(|_| ReconfigureError::Ended)?;
        is_done.recv().map_err(|_| ReconfigureError::Ended)
    }

    /// The other servers, in the order of the configuration.
    fn peers_of(&self, config: &Config) -> Vec<Pid> {
        config.pids().iter().copied().filter(|pid| *pid != self.own).collect()
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("own", &self.own).finish_non_exhaustive()
    }
}
