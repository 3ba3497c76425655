//! The address that a connection comes from.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The url, with a source address if the peer is on this machine.
///
/// While nobody listens there, the kernel may give the socket the peer's port as its own, or
/// another server's: the socket is connected to itself, and nobody can listen there until a minute
/// after it is closed. Where libzmq is told the source, it allows the port to be used again
/// (`SO_REUSEADDR`).
///
/// Not for other machines: a socket whose source is told needs a port that no other socket of that
/// source has, and a busy machine may have more connections than ports.
pub(super) fn with_source(url: &str) -> Cow<'_, str> {
    let to = url.strip_prefix("tcp://").and_then(|address| address.parse().ok());
    let Some(to) = to.filter(is_own) else { return url.into() };
    match source(to) {
        Ok(IpAddr::V4(from)) => format!("tcp://{from}:0;{to}").into(),
        Ok(IpAddr::V6(from)) => format!("tcp://[{from}]:0;{to}").into(),
        Err(_) => url.into(),
    }
}

/// Whether the address is one of this machine.
fn is_own(address: &SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}

/// The address that the kernel takes for whoever connects there. Nothing is sent for that.
fn source(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_peers_on_this_machine_are_reached_from_a_source_address() {
        for (url, given) in [
            ("tcp://127.0.0.1:45002", "tcp://127.0.0.1:0;127.0.0.1:45002"),
            // One of the addresses that nobody has, since they are for documents.
            ("tcp://192.0.2.1:45002", "tcp://192.0.2.1:45002"),
            ("tcp://[fe80::1%lo]:45002", "tcp://[fe80::1%lo]:45002"),
            ("ipc:///run/orders/2", "ipc:///run/orders/2"),
        ] {
            assert_eq!(with_source(url), given);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn every_loopback_address_is_reached_from_the_one_that_the_kernel_takes() {
        assert_eq!(with_source("tcp://127.9.0.1:45002"), "tcp://127.0.0.1:0;127.9.0.1:45002");
    }
}
