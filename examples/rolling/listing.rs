//! The list of servers, as it changes, and the files with their secret keys.

use std::path::PathBuf;

use raft_cluster::{PublicKey, SecretKey, libzmq};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Result;
use crate::support::addresses::free_addresses;

pub(crate) struct Listing {
    servers: Vec<Listed>,
    /// Where the secret keys lie. In real life each stays on the machine of its server.
    folder: TempDir,
    keys_drawn: u32,
}

struct Listed {
    pid: u32,
    url: String,
    /// None without CURVE, and two while one replaces the other.
    keys: Vec<PublicKey>,
    /// The file with the secret key of the last of them.
    secret: Option<PathBuf>,
}

impl Listing {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { servers: Vec::new(), folder: tempfile::tempdir()?, keys_drawn: 0 })
    }

    /// Lists a server at an address that nobody has, with a new key.
    pub(crate) fn add(&mut self, pid: u32) -> Result<()> {
        let url = format!("tcp://{}", free_addresses(1)?[0]);
        self.servers.push(Listed { pid, url, keys: Vec::new(), secret: None });
        if libzmq().curve {
            self.add_key(pid)?;
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, pid: u32) {
        self.servers.retain(|server| server.pid != pid);
    }

    /// Lists another key beside the one that the server has.
    pub(crate) fn add_key(&mut self, pid: u32) -> Result<()> {
        self.keys_drawn += 1;
        let path = self.folder.path().join(format!("server-{pid}.{}.key", self.keys_drawn));
        let key = SecretKey::generate()?;
        key.save(&path)?;
        for server in self.servers.iter_mut().filter(|server| server.pid == pid) {
            server.keys.push(key.public_key());
            server.secret = Some(path.clone());
        }
        Ok(())
    }

    /// Lists the newest key of a server alone.
    pub(crate) fn retire_key(&mut self, pid: u32) {
        for server in self.servers.iter_mut().filter(|server| server.pid == pid) {
            server.keys.drain(..server.keys.len().saturating_sub(1));
        }
    }

    /// The file with the newest secret key of a server.
    pub(crate) fn secret(&self, pid: u32) -> Option<PathBuf> {
        self.find(pid)?.secret.clone()
    }

    pub(crate) fn url(&self, pid: u32) -> &str {
        self.find(pid).map_or("", |server| &server.url)
    }

    fn find(&self, pid: u32) -> Option<&Listed> {
        self.servers.iter().find(|server| server.pid == pid)
    }

    /// The one in the middle, between those that are replaced next and those that came last.
    pub(crate) fn middle(&self) -> u32 {
        self.servers.get(self.servers.len() / 2).map_or(0, |server| server.pid)
    }

    /// The configuration that every server is given.
    pub(crate) fn config(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(Listed::entry).collect();
        json!({"object": {"total": servers.len(), "Servers": servers}}).to_string()
    }
}

impl Listed {
    fn entry(&self) -> Value {
        let mut entry = json!({"mypid": self.pid, "url": self.url});
        let keys: Vec<_> = self.keys.iter().map(PublicKey::to_string).collect();
        match &keys[..] {
            [] => {}
            [key] => entry["public_key"] = json!(key),
            keys => entry["public_key"] = json!(keys),
        }
        entry
    }
}
