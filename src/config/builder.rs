//! A configuration made in code.

use serde_json::{Map, Value, json};

use super::{Config, ConfigError};
use crate::envelope::Pid;
use crate::key::PublicKey;

/// Makes a [`Config`] in code, out of [`Config::builder`]. It is checked as a file is, with the same
/// errors.
///
/// ```
/// use raft_cluster::{Config, Pid, ServerEntry};
///
/// let config = Config::builder()
///     .cluster("orders")
///     .server(Pid::new(1), "127.0.0.1:34465")
///     .entry(ServerEntry::new(Pid::new(2), "ipc:///run/orders/2").info(["rack", "7"]))
///     .build()?;
/// assert_eq!(config.url(Pid::new(1)), Some("tcp://127.0.0.1:34465"));
/// # Ok::<(), raft_cluster::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConfigBuilder {
    cluster: Option<String>,
    entries: Vec<ServerEntry>,
}

/// What a configuration says of one server: see [`ConfigBuilder::entry`].
#[derive(Clone, Debug)]
#[must_use = "an entry is for a configuration"]
pub struct ServerEntry {
    pid: Pid,
    url: String,
    public_keys: Vec<PublicKey>,
    info: Option<Value>,
}

impl ServerEntry {
    /// The server with this pid listens at this url: `host:port` or `ipc:///path`.
    pub fn new(pid: Pid, url: impl Into<String>) -> Self {
        Self { pid, url: url.into(), public_keys: Vec::new(), info: None }
    }

    /// The key by which its peers know it. Called twice, while a key is replaced: first for the old
    /// one, then for the new one.
    pub fn public_key(mut self, key: PublicKey) -> Self {
        self.public_keys.push(key);
        self
    }

    /// What the application wants to have beside the url.
    pub fn info(mut self, info: impl Into<Value>) -> Self {
        self.info = Some(info.into());
        self
    }

    /// As it stands in a file.
    fn into_json(self) -> Value {
        let mut fields = Map::new();
        fields.insert("mypid".to_owned(), json!(self.pid));
        fields.insert("url".to_owned(), json!(self.url));
        let keys: Vec<_> = self.public_keys.iter().map(PublicKey::to_string).collect();
        match &keys[..] {
            [] => {}
            [key] => drop(fields.insert("public_key".to_owned(), json!(key))),
            several => drop(fields.insert("public_key".to_owned(), json!(several))),
        }
        fields.extend(self.info.map(|info| ("info".to_owned(), info)));
        Value::Object(fields)
    }
}

impl Config {
    /// Makes a configuration in code, which is checked as a file is.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

impl ConfigBuilder {
    /// The name of the cluster: none unless set.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// Adds a server to the list, which has its url and nothing else.
    pub fn server(self, pid: Pid, url: impl Into<String>) -> Self {
        self.entry(ServerEntry::new(pid, url))
    }

    /// Adds a server to the list.
    pub fn entry(mut self, entry: ServerEntry) -> Self {
        self.entries.push(entry);
        self
    }

    /// The configuration, if it is a correct one.
    ///
    /// # Errors
    ///
    /// Those of a file that says the same.
    pub fn build(self) -> Result<Config, ConfigError> {
        let total = self.entries.len();
        let servers: Vec<_> = self.entries.into_iter().map(ServerEntry::into_json).collect();
        let mut object = json!({"total": total, "Servers": servers});
        if let (Some(name), Some(fields)) = (self.cluster, object.as_object_mut()) {
            fields.insert("cluster".to_owned(), Value::String(name));
        }
        json!({"object": object}).to_string().parse()
    }
}
