//! The configuration file: JSON in, a correct [`Config`] or an error that says what to change out.

mod address;
mod builder;
mod error;
mod fields;
mod keys;
mod local;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::{self, FromStr};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::envelope::Pid;
use crate::key::PublicKey;
use address::{Address, is_lock_of_other};
use fields::fields;

pub use address::UrlError;
pub use builder::{ConfigBuilder, ServerEntry};
pub use error::ConfigError;
pub use fields::ConfigPlace;

/// The servers of a cluster and where each of them listens.
///
/// A `Config` that exists is a correct one: it has at least one server, no two share a pid or an
/// address, and every url is of a form that peers can connect to: no wildcards, no port 0. No path
/// is that of the file beside another, `PATH.lock`, which tells whether somebody listens there.
///
/// The names of the fields are matched whatever their case. A `url` is `host:port`, with or without
/// `tcp://` before it, or `ipc:///path`; an IPv6 address stands in brackets. `cluster` may be left
/// out, and so may `public_key`, which either all servers have or none, and `info`, which is any
/// JSON of the application's own. While a server's key is replaced, its `public_key` is a list of
/// the old key and the new one.
///
/// ```
/// use raft_cluster::{Config, Pid};
///
/// let config: Config = r#"{"object": {"total": 2, "cluster": "orders", "Servers": [
///     {"mypid": 1, "url": "127.0.0.1:34465"},
///     {"mypid": 2, "url": "ipc:///run/orders/2"}]}}"#
///     .parse()?;
/// assert_eq!(config.pids(), [Pid::new(1), Pid::new(2)]);
/// assert_eq!(config.url(Pid::new(1)), Some("tcp://127.0.0.1:34465"));
/// assert_eq!(config.cluster(), Some("orders"));
/// # Ok::<(), raft_cluster::ConfigError>(())
/// ```
///
/// Two names of one host, such as `localhost` and `127.0.0.1`, are two addresses here: no name is
/// looked up before a server starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pids: Vec<Pid>,
    members: BTreeMap<Pid, Member>,
    cluster: Option<String>,
    warnings: Vec<ConfigWarning>,
}

/// What the configuration says of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    url: String,
    public_keys: Vec<PublicKey>,
    info: Option<Value>,
}

impl Config {
    /// Reads the configuration from a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not a correct configuration. The message names the file
    /// and, where it is about them, the server and the field, and says what would be right.
    ///
    /// ```
    /// use raft_cluster::Config;
    ///
    /// let config = Config::load("config.json")?;
    /// assert_eq!(config.pids().len(), 5);
    /// # Ok::<(), raft_cluster::ConfigError>(())
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let bytes =
            fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let text = str::from_utf8(&bytes)
            .map_err(|source| ConfigError::NotUtf8 { path: path.to_owned(), source })?;
        Self::parse(text, &ConfigPlace::file_at(path))
    }

    /// The servers, in the order of the file. There is at least one.
    pub fn pids(&self) -> &[Pid] {
        &self.pids
    }

    /// Where a server listens, as libzmq takes it, or `None` if no server has that pid.
    ///
    /// It always has its scheme. The case of a host and the spelling of an IPv6 address or a path
    /// are evened out, and a port above 65535 is wrapped.
    ///
    /// ```
    /// use raft_cluster::{Config, Pid};
    ///
    /// let config: Config = r#"{"object": {"total": 1, "Servers": [
    ///     {"mypid": 1, "url": "[0:0::1]:34465"}]}}"#
    ///     .parse()?;
    /// assert_eq!(config.url(Pid::new(1)), Some("tcp://[::1]:34465"));
    /// assert_eq!(config.url(Pid::new(2)), None);
    /// # Ok::<(), raft_cluster::ConfigError>(())
    /// ```
    pub fn url(&self, pid: Pid) -> Option<&str> {
        self.members.get(&pid).map(|member| member.url.as_str())
    }

    /// The key by which a server's peers know it, or `None` if no server has that pid, or none has
    /// a key: the servers of one configuration either all have keys or none. It is the first of the
    /// [`public_keys`](Self::public_keys).
    ///
    /// ```
    /// use raft_cluster::{Config, Pid};
    ///
    /// let config: Config = r#"{"object": {"total": 1, "Servers": [
    ///     {"mypid": 1, "url": "db-1:34465",
    ///      "public_key": "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"}]}}"#
    ///     .parse()?;
    /// assert!(config.public_key(Pid::new(1)).is_some());
    /// # Ok::<(), raft_cluster::ConfigError>(())
    /// ```
    pub fn public_key(&self, pid: Pid) -> Option<PublicKey> {
        self.public_keys(pid).first().copied()
    }

    /// The keys by which a server's peers know it: one, or while that is replaced the old one and
    /// the new, in this order. None if no server has that pid, or none has a key.
    ///
    /// ```
    /// use raft_cluster::{Config, Pid};
    ///
    /// let config: Config = r#"{"object": {"total": 1, "Servers": [
    ///     {"mypid": 1, "url": "db-1:34465",
    ///      "public_key": ["rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
    ///                     "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"]}]}}"#
    ///     .parse()?;
    /// let [old, new] = *config.public_keys(Pid::new(1)) else { return Err("not two".into()) };
    /// assert_eq!(config.public_key(Pid::new(1)), Some(old));
    /// assert!(new.to_string().starts_with("Yne@"));
    /// assert!(config.public_keys(Pid::new(2)).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn public_keys(&self, pid: Pid) -> &[PublicKey] {
        self.members.get(&pid).map_or(&[], |member| &member.public_keys)
    }

    /// What the application has written beside a server's url, if it has: any JSON, such as the
    /// address at which that server serves clients. The library never looks at it.
    ///
    /// ```
    /// use raft_cluster::{Config, Pid};
    ///
    /// let config: Config = r#"{"object": {"total": 1, "Servers": [
    ///     {"mypid": 1, "url": "db-1:34465", "info": {"clients": "db-1:8080"}}]}}"#
    ///     .parse()?;
    /// let info = config.info(Pid::new(1)).ok_or("server 1 has none")?;
    /// assert_eq!(info["clients"], "db-1:8080");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn info(&self, pid: Pid) -> Option<&Value> {
        self.members.get(&pid)?.info.as_ref()
    }

    /// The name of the cluster, if it has one.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// What is accepted and still worth a look, in the order of the file.
    ///
    /// ```
    /// use raft_cluster::{Config, Pid};
    ///
    /// let config: Config = r#"{"object": {"total": 1, "Servers": [
    ///     {"mypid": 1, "url": "127.0.0.1:100001"}]}}"#
    ///     .parse()?;
    /// assert_eq!(config.url(Pid::new(1)), Some("tcp://127.0.0.1:34465"));
    /// assert_eq!(
    ///     config.warnings()[0].to_string(),
    ///     "server 1 (pid 1): port 100001 in `url` is above 65535 and wraps to 34465",
    /// );
    /// # Ok::<(), raft_cluster::ConfigError>(())
    /// ```
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    fn parse(text: &str, place: &ConfigPlace) -> Result<Self, ConfigError> {
        let [object] = fields(read_json(text, place)?, &["object"], place)?;
        let object = object.required("an object with `total` and `Servers`")?;
        let place = place.object();
        let [total, cluster, servers] = fields(object, &["total", "cluster", "Servers"], &place)?;

        let total: usize = total.required("a whole number, how many servers there are")?;
        let cluster: Option<String> = cluster.optional("a string, the cluster's name")?;
        if cluster.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return Err(ConfigError::BlankCluster { place });
        }
        let servers: Vec<&RawValue> = servers.required("a list of servers")?;
        if servers.is_empty() {
            return Err(ConfigError::NoServers { place });
        }
        if servers.len() != total {
            return Err(ConfigError::WrongTotal { total, servers: servers.len(), place });
        }

        let mut config = Self {
            pids: Vec::with_capacity(total),
            members: BTreeMap::new(),
            cluster,
            warnings: Vec::new(),
        };
        for (index, server) in servers.into_iter().enumerate() {
            config.add(server, place.server(index + 1, server))?;
        }
        config.refuse_half_of_the_keys(place)?;
        Ok(config)
    }

    /// Adds the next server of the list.
    fn add(&mut self, server: &RawValue, place: ConfigPlace) -> Result<(), ConfigError> {
        let [pid, url, key, info] =
            fields(server, &["mypid", "url", "public_key", "info"], &place)?;
        let pid: Pid = pid.required("a whole number from 0 to 4294967295")?;
        let listed: String = url.required("a string, `host:port` or `ipc:///path`")?;
        let info: Option<Value> = info.optional("any JSON")?;

        if let Some(index) = self.pids.iter().position(|&other| other == pid) {
            return Err(ConfigError::RepeatedPid { place, pid, first: index + 1 });
        }
        let Address { url, wrapped } = match listed.parse() {
            Ok(address) => address,
            Err(reason) => return Err(ConfigError::InvalidUrl { place, url: listed, reason }),
        };
        self.refuse_taken_address(&place, listed, &url)?;
        let public_keys = keys::listed(key, &place)?;
        self.refuse_taken_key(&place, &public_keys)?;

        self.pids.push(pid);
        self.warnings.extend(wrapped.map(|(listed, port)| ConfigWarning::WrappedPort {
            position: self.pids.len(),
            pid,
            listed,
            port,
        }));
        self.members.insert(pid, Member { url, public_keys, info });
        Ok(())
    }

    /// No two servers can have one address, nor can one have the path of the other's lock.
    fn refuse_taken_address(
        &self,
        place: &ConfigPlace,
        listed: String,
        url: &str,
    ) -> Result<(), ConfigError> {
        let place = place.clone();
        let taken = |(_, member): &(&Pid, &Member)| member.url == url;
        if let Some((&first, _)) = self.members.iter().find(taken) {
            return Err(ConfigError::RepeatedAddress { place, listed, url: url.to_owned(), first });
        }
        let beside = |(_, member): &(&Pid, &Member)| is_lock_of_other(&member.url, url);
        if let Some((&first, member)) = self.members.iter().find(beside) {
            let first_url = member.url.clone();
            return Err(ConfigError::PathOfLock { place, listed, first, first_url });
        }
        Ok(())
    }
}

impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, &ConfigPlace::default())
    }
}

fn read_json<'a>(text: &'a str, place: &ConfigPlace) -> Result<&'a RawValue, ConfigError> {
    // Some editors put a byte order mark at the start of a text file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(ConfigError::Empty { place: place.clone() });
    }
    // A raw value lets through what only decoding finds wrong, such as half of a surrogate pair.
    // Once the whole has been decoded, what fails further down has the wrong type and nothing else.
    serde_json::from_str::<Value>(text)
        .and_then(|_| serde_json::from_str(text))
        .map_err(|source| ConfigError::NotJson { place: place.clone(), source })
}

/// Something in the configuration that is accepted and still worth a look.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigWarning {
    /// A port above 65535. It is taken modulo 65536, as libzmq always did.
    #[error(
        "server {position} (pid {pid}): port {listed} in `url` is above 65535 and wraps to {port}"
    )]
    WrappedPort {
        /// The server's place in the list, counted from 1.
        position: usize,
        /// The server.
        pid: Pid,
        /// The port as the file has it.
        listed: u64,
        /// The port that is used.
        port: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers 1, 2 and so on at these urls.
    fn parse(urls: &[&str]) -> Result<Config, ConfigError> {
        let server = |(pid, url)| serde_json::json!({"mypid": pid, "url": url});
        let servers: Vec<_> = (1..).zip(urls).map(server).collect();
        serde_json::json!({"object": {"total": urls.len(), "Servers": servers}}).to_string().parse()
    }

    #[test]
    fn no_server_has_the_path_of_the_lock_of_another() {
        // As it is written, evened out, and whichever comes first.
        let pairs = [
            ["ipc:///run/a", "ipc:///run/a.lock"],
            ["ipc:///run/a", "IPC:///run//./a.lock"],
            ["ipc:///run/a.lock", "ipc:///run/a"],
            ["ipc:///run/a.lock", "ipc:///run/a.lock.lock"],
        ];
        for [former, later] in pairs {
            let error = parse(&["127.0.0.1:34465", former, later]).unwrap_err();
            assert!(matches!(error, ConfigError::PathOfLock { first, .. } if first == Pid::new(2)));
            assert_eq!(
                error.to_string(),
                format!(
                    "the configuration, server 3 (pid 3): field `url` is {later:?}, and that of \
                     pid 2 is {former:?}: the longer path is that of the file that locks the \
                     shorter one; give one of them another name"
                )
            );
        }
    }

    #[test]
    fn what_an_application_writes_beside_a_url_is_its_own() {
        let config: Config = r#"{"object": {"total": 3, "Servers": [
            {"mypid": 1, "url": "a:1", "INFO": {"clients": ["a:80", null], "weight": 1.5}},
            {"mypid": 2, "url": "b:1", "info": null},
            {"mypid": 3, "url": "c:1"}]}}"#
            .parse()
            .unwrap();
        let info = |pid| config.info(Pid::new(pid));
        let written = serde_json::json!({"clients": ["a:80", null], "weight": 1.5});
        assert_eq!(info(1), Some(&written));
        assert!(info(2).is_none_or(Value::is_null));
        assert_eq!((info(3), info(9)), (None, None));
    }

    #[test]
    fn what_only_looks_like_the_path_of_a_lock_is_accepted() {
        for harmless in [["ipc:///run/a", "ipc:///run/b.lock"], ["a:1", "a.lock:1"]] {
            parse(&harmless).unwrap();
        }
    }
}
