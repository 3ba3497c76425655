//! Addresses for servers that stay free until their servers start, and between two starts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// Addresses that nobody else takes meanwhile: other processes have other hosts, every call has
/// other ports, and the system gives these ports to no connection.
///
/// Where a machine has one loopback address only, the system picks the ports.
pub fn free_addresses(count: u32) -> io::Result<Vec<SocketAddr>> {
    if cfg!(target_os = "linux") {
        return (0..count).map(|_| next_free()).collect();
    }
    let listeners = (0..count).map(|_| bind_any()).collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// The next port of this process's own loopback address that nobody has on all addresses.
fn next_free() -> io::Result<SocketAddr> {
    /// Below this a port may need rights.
    const FIRST: u16 = 1024;
    static USED: AtomicU16 = AtomicU16::new(0);
    let [_, high, mid, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 64 | high, mid, low);
    loop {
        let port = FIRST + USED.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((host, port));
        match try_bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound.map(|()| address),
        }
    }
}

/// Binds and does not listen. A process that another test starts at this moment has the socket too,
/// until it runs its own program, and one that listens would keep the server from its address.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn bind_any() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}
