//! Addresses for servers that stay free until their servers start, and between two starts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Addresses that nobody else takes meanwhile: other processes have other hosts, every call has
/// other ports, and the system gives these ports to no connection.
///
/// Where a machine has one loopback address only, the system picks the ports.
pub fn free_addresses(count: u32) -> io::Result<Vec<SocketAddr>> {
    let bind = if cfg!(target_os = "linux") { bind_next } else { bind_any };
    let listeners = (0..count).map(|_| bind()).collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// Listens on the next port of this process's own loopback address that nobody has on all
/// addresses.
fn bind_next() -> io::Result<TcpListener> {
    /// Below this a port may need rights.
    const FIRST: u16 = 1024;
    static USED: AtomicU16 = AtomicU16::new(0);
    let [_, high, mid, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 64 | high, mid, low);
    loop {
        let port = FIRST + USED.fetch_add(1, Ordering::Relaxed);
        match TcpListener::bind((host, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
}

fn bind_any() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}
