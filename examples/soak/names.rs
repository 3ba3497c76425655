//! Host names for some of the servers, and a DNS that fails.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::Result;
use crate::support::dns::{Answer, Dns};

/// From this server on, counted from 0, peers list it by its name.
const FIRST: usize = 3;

/// The names of servers, where there can be any: they take a network and files of their own.
pub(crate) struct Names<'a> {
    dns: Option<&'a Dns>,
    /// Where all servers are.
    host: Ipv4Addr,
}

/// How DNS fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    Silence,
    /// It says that there is no such name, some time after it was asked.
    NoSuchName(Duration),
}

impl<'a> Names<'a> {
    pub(crate) fn new(dns: Option<&'a Dns>, host: Ipv4Addr) -> Self {
        Self { dns, host }
    }

    /// The url by which peers list a server that they reach at this one.
    pub(crate) fn list(&self, server: usize, url: &str) -> Result<String> {
        if !self.heal(server) {
            return Ok(url.to_owned());
        }
        let (_, port) = url.rsplit_once(':').ok_or("a url has no port")?;
        Ok(format!("tcp://{}:{port}", name(server)))
    }

    /// DNS fails for a server, if that has a name.
    pub(crate) fn fail(&self, server: usize, failure: Failure) -> bool {
        self.answer(
            server,
            match failure {
                Failure::Silence => Answer::Silence,
                Failure::NoSuchName(after) => Answer::NoSuchName { after },
            },
        )
    }

    /// DNS knows where a server is, if that has a name.
    pub(crate) fn heal(&self, server: usize) -> bool {
        self.answer(server, Answer::Addresses(vec![self.host]))
    }

    fn answer(&self, server: usize, answer: Answer) -> bool {
        let dns = self.dns.filter(|_| server >= FIRST);
        dns.inspect(|dns| dns.set(&name(server), answer)).is_some()
    }
}

fn name(server: usize) -> String {
    format!("server-{}.test", server + 1)
}
