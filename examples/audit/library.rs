//! This library with its defaults: a server for each sender, and one to receive.

use std::time::Duration;

use raft_cluster::{Config, Envelope, Mailbox, Pid, Server};

use crate::support::addresses::free_addresses;
use crate::{Contender, MESSAGE, Receiver, Result, SENDERS, Sender};

/// How long the receiver finds nothing before it looks whether all is over.
const QUIET: Duration = Duration::from_millis(100);

/// The receiver's pid: the senders have those before it, from 1 on.
const RECEIVER: Pid = Pid::new(SENDERS as u32 + 1);

pub(crate) struct Library {
    /// Where the senders listen.
    urls: Vec<String>,
}

impl Library {
    pub(crate) fn new() -> Result<Self> {
        let addresses = free_addresses(u32::try_from(SENDERS)?)?;
        Ok(Self { urls: addresses.iter().map(ToString::to_string).collect() })
    }

    /// The configuration for one who finds the receiver at `url`.
    fn config(&self, url: &str) -> Result<Config> {
        let urls = self.urls.iter().map(String::as_str).chain([url]);
        let server = |(mypid, url)| serde_json::json!({"mypid": mypid, "url": url});
        let servers: Vec<_> = (1..).zip(urls).map(server).collect();
        let file = serde_json::json!({"object": {"total": SENDERS + 1, "Servers": servers}});
        Ok(file.to_string().parse()?)
    }
}

impl Contender for Library {
    fn receiver(&self, url: &str) -> Result<Box<dyn Receiver>> {
        let config = self.config(url)?;
        let (mailbox, server) = Server::builder(&config, RECEIVER).idle_timeout(None).start()?;
        Ok(Box::new(Inlet { mailbox, _server: server }))
    }

    fn sender(&self, sender: usize, url: &str) -> Result<Box<dyn Sender>> {
        let config = self.config(url)?;
        let pid = config.pids()[sender];
        let (mailbox, server) = Server::builder(&config, pid).idle_timeout(None).start()?;
        Ok(Box::new(Outlet { mailbox, server }))
    }
}

struct Inlet {
    mailbox: Mailbox,
    _server: Server,
}

impl Receiver for Inlet {
    fn receive(&mut self) -> Result<Option<(usize, u64)>> {
        let Ok(envelope) = self.mailbox.inbox.recv_timeout(QUIET) else { return Ok(None) };
        let sender = usize::try_from(envelope.from.as_u32() - 1)?;
        Ok(Some((sender, u64::try_from(envelope.msg_id)?)))
    }
}

struct Outlet {
    mailbox: Mailbox,
    server: Server,
}

impl Sender for Outlet {
    fn send(&mut self, place: u64) -> Result<()> {
        let envelope = Envelope::to(RECEIVER, vec![0; MESSAGE]).with_id(i64::try_from(place)?);
        Ok(self.mailbox.outbox.send(envelope)?)
    }

    fn finish(self: Box<Self>) {
        drop(self.mailbox);
        self.server.shutdown();
    }
}
