//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::Utf8Error;

use super::address::UrlError;
use super::fields::{ConfigPlace, Names};
use crate::envelope::{Pid, list};
use crate::key::KeyError;

/// Why there is no [`Config`](crate::Config).
///
/// Each message says where it is wrong and what would be right. An error of the operating system or
/// the JSON parser is the [`source`](std::error::Error::source), and not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file does not exist, is a directory, or may not be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not text, or text in another encoding.
    #[error("{path} is not UTF-8; save the configuration as UTF-8 text")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The position of the first wrong byte.
        source: Utf8Error,
    },
    /// There is no text but white space.
    #[error("{place} is empty; it must be a JSON object with the field `object`")]
    Empty {
        /// Which configuration.
        place: ConfigPlace,
    },
    /// The text is not JSON, or something follows it.
    #[error("{place} is not JSON")]
    NotJson {
        /// Which configuration.
        place: ConfigPlace,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// There is something else where an object should be.
    #[error("{place}: must be an object with {}, not {found}", Names(known))]
    NotAnObject {
        /// Where.
        place: ConfigPlace,
        /// The fields it may have.
        known: &'static [&'static str],
        /// What is there.
        found: String,
    },
    /// An object has a field that nothing is known of.
    #[error("{place}: unknown field {field:?}; known here: {}", Names(known))]
    UnknownField {
        /// Where.
        place: ConfigPlace,
        /// The name of the field.
        field: String,
        /// The fields it may have.
        known: &'static [&'static str],
    },
    /// An object has a field twice, maybe in different case.
    #[error("{place}: field `{field}` is there twice; leave one of them")]
    RepeatedField {
        /// Where.
        place: ConfigPlace,
        /// The field.
        field: &'static str,
    },
    /// An object lacks a field that it must have.
    #[error("{place}: field `{field}` is missing; it must be {wanted}")]
    MissingField {
        /// Where.
        place: ConfigPlace,
        /// The field.
        field: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The value of a field has the wrong type, or is a number out of its range.
    #[error("{place}: field `{field}` must be {wanted}, not {found}")]
    WrongType {
        /// Where.
        place: ConfigPlace,
        /// The field.
        field: &'static str,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
    /// The cluster's name is empty, or nothing but white space.
    #[error("{place}: field `cluster` is blank; give the cluster a name, or leave the field out")]
    BlankCluster {
        /// Where.
        place: ConfigPlace,
    },
    /// The list of servers is empty.
    #[error("{place}: field `Servers` is empty; it must list at least one server")]
    NoServers {
        /// Where.
        place: ConfigPlace,
    },
    /// `total` is not the number of servers listed.
    #[error("{place}: field `total` is {total}, but `Servers` lists {servers}; make them agree")]
    WrongTotal {
        /// Where.
        place: ConfigPlace,
        /// What `total` says.
        total: usize,
        /// How many there are.
        servers: usize,
    },
    /// Two servers have the same pid.
    #[error(
        "{place}: field `mypid` is {pid}, which is that of server {first}; each must have its own"
    )]
    RepeatedPid {
        /// The later of the two.
        place: ConfigPlace,
        /// The pid of both.
        pid: Pid,
        /// The place of the earlier one in the list, counted from 1.
        first: usize,
    },
    /// A server's url is not one that its peers could connect to.
    #[error("{place}: field `url` is {url:?}: {reason}")]
    InvalidUrl {
        /// Which server.
        place: ConfigPlace,
        /// The url as the file has it.
        url: String,
        /// Why it cannot be used. Part of the message, and so not its source.
        reason: UrlError,
    },
    /// Two servers have the same address, perhaps only once their ports are wrapped.
    #[error(
        "{place}: field `url` is {listed:?}, which is {url}, the address of pid {first}; \
         each must have its own"
    )]
    RepeatedAddress {
        /// The later of the two.
        place: ConfigPlace,
        /// The url as the file has it.
        listed: String,
        /// The url that is the same for both.
        url: String,
        /// The earlier one.
        first: Pid,
    },
    /// A server's path is that of the file which locks the path of another, or the other way round.
    #[error(
        "{place}: field `url` is {listed:?}, and that of pid {first} is {first_url:?}: the longer \
         path is that of the file that locks the shorter one; give one of them another name"
    )]
    PathOfLock {
        /// The later of the two.
        place: ConfigPlace,
        /// Its url as the file has it.
        listed: String,
        /// The earlier one.
        first: Pid,
        /// The earlier one's url.
        first_url: String,
    },
    /// A server lists no key, or more than the old one and the new.
    #[error(
        "{place}: field `public_key` lists {found} keys; it must list one, or the old one and the \
         new"
    )]
    WrongNumberOfKeys {
        /// Which server.
        place: ConfigPlace,
        /// How many keys it lists.
        found: usize,
    },
    /// A server lists something else than a text as a key.
    #[error("{place}: {} must be a string, a public key, not {found}", KeyField(Some(*.entry)))]
    KeyNotAString {
        /// Which server.
        place: ConfigPlace,
        /// Its place in the list of keys, counted from 1.
        entry: usize,
        /// What is there.
        found: String,
    },
    /// A server's public key is not one.
    #[error("{place}: {}: {reason}", KeyField(*.entry))]
    InvalidKey {
        /// Which server.
        place: ConfigPlace,
        /// Which of the server's two keys, counted from 1, or `None` if it has one.
        entry: Option<usize>,
        /// What is wrong with it. Part of the message, and so not its source.
        reason: KeyError,
    },
    /// A server lists its key twice, so that there is no new one.
    #[error(
        "{place}: field `public_key` lists the same key twice; list the old one and the new, or \
         the one alone"
    )]
    SameKeyTwice {
        /// Which server.
        place: ConfigPlace,
    },
    /// Two servers have the same public key, so that either could speak as the other.
    #[error("{place}: {} is the key of pid {first}; each must have its own", KeyField(*.entry))]
    RepeatedKey {
        /// The later of the two.
        place: ConfigPlace,
        /// Which of the later one's two keys, counted from 1, or `None` if it has one.
        entry: Option<usize>,
        /// The earlier one.
        first: Pid,
    },
    /// Some servers have public keys and others have none.
    #[error(
        "{place}: some servers have a `public_key` and these have none: {}; give each one, or none",
        list(.without)
    )]
    MissingKeys {
        /// Where.
        place: ConfigPlace,
        /// The servers without.
        without: Vec<Pid>,
    },
}

/// The field of a server's keys, or one entry of it, as messages name it.
struct KeyField(Option<usize>);

impl fmt::Display for KeyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(entry) => write!(f, "entry {entry} of field `public_key`"),
            None => f.write_str("field `public_key`"),
        }
    }
}
