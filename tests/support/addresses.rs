//! Addresses for servers that stay free until their servers start, and between two starts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Addresses that nobody else takes meanwhile: other processes have other hosts, and no connection is
/// ever made from there.
pub fn free_addresses(count: u32) -> io::Result<Vec<SocketAddr>> {
    bind_free(own_host(), count)?.iter().map(TcpListener::local_addr).collect()
}

/// Listens on ports that the system hands out, all different.
pub fn bind_free(host: Ipv4Addr, count: u32) -> io::Result<Vec<TcpListener>> {
    (0..count).map(|_| TcpListener::bind((host, 0))).collect()
}

/// A loopback address of this process, where the system has more than one.
fn own_host() -> Ipv4Addr {
    if cfg!(target_os = "linux") {
        let [_, high, mid, low] = std::process::id().to_be_bytes();
        Ipv4Addr::new(127, 64 | high, mid, low)
    } else {
        Ipv4Addr::LOCALHOST
    }
}
