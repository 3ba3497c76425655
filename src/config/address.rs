//! Turns the url of the configuration file into the one that libzmq is given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The bytes of a path that fit in the `sun_path` of Linux beside the NUL that ends it.
const LONGEST_PATH: usize = 107;

/// Where a server listens. The same address written in two ways has one `url`.
pub(super) struct Address {
    pub(super) url: String,
    /// The port as it is written and as it is used, if they differ.
    pub(super) wrapped: Option<(u64, u16)>,
}

impl FromStr for Address {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        match text.split_once("://") {
            None => tcp(text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tcp") => tcp(rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ipc") => ipc(rest),
            Some((scheme, _)) => Err(UrlError::UnknownScheme { scheme: scheme.to_owned() }),
        }
    }
}

/// Why a url of the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It begins with something else than `tcp://` or `ipc://`.
    #[error("unknown scheme `{}`; write `tcp://host:port` or `ipc:///path`", scheme.escape_debug())]
    UnknownScheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// Nothing stands before the port.
    #[error("no host; write `host:port`")]
    NoHost,
    /// The host stands for all addresses of a machine, and so for none that a peer could connect
    /// to.
    #[error(
        "host `{host}` is a wildcard, which no peer can connect to; name this server's address"
    )]
    WildcardHost {
        /// The host.
        host: String,
    },
    /// The host is neither a name nor an address.
    #[error(
        "invalid host {host:?}; use a name of letters, digits, `-`, `_` and dots, or an address"
    )]
    InvalidHost {
        /// The host.
        host: String,
    },
    /// The host ends in a number, as only IPv4 addresses do, and is not one.
    #[error(
        "invalid IPv4 address {host:?}; it must be four numbers from 0 to 255 with dots between"
    )]
    InvalidIpv4 {
        /// The host.
        host: String,
    },
    /// What stands in brackets is not an IPv6 address, or the closing bracket is missing.
    #[error("invalid IPv6 address in brackets; write it like `[::1]:34465`")]
    InvalidIpv6,
    /// An IPv6 address without brackets, so that nobody knows where its port begins.
    #[error("an IPv6 address must stand in brackets; write it like `[::1]:34465`")]
    NoBrackets,
    /// Nothing stands behind the host.
    #[error("no port; write `host:port`, with a port from 1 to 65535")]
    NoPort,
    /// The port is not a number.
    #[error("invalid port {port:?}; use a number from 1 to 65535")]
    InvalidPort {
        /// The port.
        port: String,
    },
    /// The port is 0, which would be another one at each start.
    #[error("port 0 is none that a peer can connect to; use 1 to 65535")]
    PortZero,
    /// The port is a multiple of 65536, so that it wraps to 0.
    #[error("port {port} is above 65535 and wraps to 0; use 1 to 65535")]
    PortWrapsToZero {
        /// The port.
        port: u64,
    },
    /// The path of the socket does not begin at the root, so that it depends on the current
    /// directory.
    #[error("the path must begin with `/`; write `ipc:///path`")]
    PathNotAbsolute,
    /// The path of the socket is that of a directory.
    #[error("the path must end with the name of a file; write `ipc:///path`")]
    PathWithoutName,
    /// The path of the socket has control characters.
    #[error("the path has control characters; leave them out")]
    InvalidPath,
    /// The path of the socket does not fit in a socket address.
    #[error("the path has {length} bytes; it may have at most {LONGEST_PATH}")]
    PathTooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// Whether one of two urls has the path of the file that locks the path of the other.
pub(super) fn is_lock_of_other(one: &str, other: &str) -> bool {
    /// What the transport appends to a path.
    const SUFFIX: &str = ".lock";
    let is_lock = |lock: &str, url: &str| {
        url.starts_with("ipc://") && lock.strip_suffix(SUFFIX).is_some_and(|path| path == url)
    };
    is_lock(one, other) || is_lock(other, one)
}

fn tcp(authority: &str) -> Result<Address, UrlError> {
    let (host, port) = split_port(authority)?;
    let (listed, port) = wrap_port(port)?;
    let wrapped = (listed != u64::from(port)).then_some((listed, port));
    Ok(Address { url: format!("tcp://{host}:{port}"), wrapped })
}

/// The host, evened out, and the port, which may be anything.
fn split_port(authority: &str) -> Result<(String, &str), UrlError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(UrlError::InvalidIpv6)?;
        let port = rest.strip_prefix(':').ok_or(UrlError::NoPort)?;
        return Ok((ipv6_host(host)?, port));
    }
    let (host, port) = authority.rsplit_once(':').ok_or(UrlError::NoPort)?;
    if [host, authority].iter().any(|text| text.parse::<Ipv6Addr>().is_ok()) {
        return Err(UrlError::NoBrackets);
    }
    Ok((name_or_ipv4_host(host)?, port))
}

/// The port as it is written, and modulo 65536 as libzmq takes it.
fn wrap_port(text: &str) -> Result<(u64, u16), UrlError> {
    let invalid = || UrlError::InvalidPort { port: text.to_owned() };
    if text.is_empty() {
        return Err(UrlError::NoPort);
    }
    // `parse` alone would let a plus sign through.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let listed: u64 = text.parse().map_err(|_| invalid())?;
    match (listed, (listed & 0xffff) as u16) {
        (0, _) => Err(UrlError::PortZero),
        (port, 0) => Err(UrlError::PortWrapsToZero { port }),
        wrapped => Ok(wrapped),
    }
}

fn ipv6_host(text: &str) -> Result<String, UrlError> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address: Ipv6Addr = address.parse().map_err(|_| UrlError::InvalidIpv6)?;
    reject_wildcard(address.to_canonical(), text)?;
    match zone {
        None => Ok(format!("[{address}]")),
        Some(zone) if is_name(zone) => Ok(format!("[{address}%{zone}]")),
        Some(_) => Err(UrlError::InvalidIpv6),
    }
}

fn name_or_ipv4_host(text: &str) -> Result<String, UrlError> {
    if text.is_empty() {
        return Err(UrlError::NoHost);
    }
    if text == "*" {
        return Err(UrlError::WildcardHost { host: text.to_owned() });
    }
    if !is_name(text) {
        return Err(UrlError::InvalidHost { host: text.to_owned() });
    }
    let last = text.rsplit('.').next().unwrap_or(text);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        let invalid = |_| UrlError::InvalidIpv4 { host: text.to_owned() };
        let address: Ipv4Addr = text.parse().map_err(invalid)?;
        reject_wildcard(address.into(), text)?;
    }
    Ok(text.to_ascii_lowercase())
}

fn reject_wildcard(address: IpAddr, host: &str) -> Result<(), UrlError> {
    if address.is_unspecified() {
        return Err(UrlError::WildcardHost { host: host.to_owned() });
    }
    Ok(())
}

/// Whether this has the form of a host name, with dots between labels that are not empty.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.split('.').all(is_label)
}

fn ipc(path: &str) -> Result<Address, UrlError> {
    if !path.starts_with('/') {
        return Err(UrlError::PathNotAbsolute);
    }
    if path.chars().any(char::is_control) {
        return Err(UrlError::InvalidPath);
    }
    if path.ends_with('/') || Path::new(path).file_name().is_none() {
        return Err(UrlError::PathWithoutName);
    }
    // Doubled slashes and single dots go, so that one path has one spelling.
    let path: PathBuf = Path::new(path).components().collect();
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Err(UrlError::PathTooLong { length });
    }
    Ok(Address { url: format!("ipc://{}", path.display()), wrapped: None })
}
