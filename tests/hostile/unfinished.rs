//! Commands of the handshake that are begun and never finished.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::siege::Siege;
use crate::zmtp::{begin_command, greeting};

const CONNECTIONS: usize = 10;

/// How much each of them pushes at most, in bytes.
const PUSHED: usize = 60 << 20;

/// How much is written at once, in bytes.
const CHUNK: usize = 64 << 10;

/// How long one that cannot write any more goes on trying.
const PATIENCE: Duration = Duration::from_millis(200);

/// Begins a command of `claimed` bytes on a connection of its own, and writes what the server takes
/// of it, but not the end.
fn begin(siege: &Siege, mechanism: &str, claimed: usize) -> TcpStream {
    let mut stream = siege.connect();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let beginning = [greeting(mechanism), begin_command(claimed)].concat();
    let mut result = stream.write_all(&beginning);
    let mut left = PUSHED.min(claimed - 1);
    while result.is_ok() && left > 0 {
        let chunk = left.min(CHUNK);
        result = stream.write_all(&vec![1; chunk]);
        left -= chunk;
    }
    stream
}

/// All at once, from as many connections.
fn begin_everywhere(siege: &Siege, claimed: usize) -> Vec<TcpStream> {
    let mechanism = if siege.has_keys() { "CURVE" } else { "NULL" };
    std::thread::scope(|scope| {
        let begin = || begin(siege, mechanism, claimed);
        let begun: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(begin)).collect();
        begun.into_iter().map(|stream| stream.join().unwrap()).collect()
    })
}

/// Waits until the server has ended the connection.
fn assert_ends(mut stream: TcpStream) {
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection stays");
    }
}

#[test]
fn large_commands_in_the_handshake_take_no_memory() {
    Siege::each(|siege| {
        // Of one that is larger than any frame nothing is taken.
        for claimed in [PUSHED, (1 << 20) - 1] {
            let begun = begin_everywhere(siege, claimed);
            siege.assert_unharmed(24 << 10);
            begun.into_iter().for_each(assert_ends);
            siege.assert_unharmed(24 << 10);
        }
    });
}
