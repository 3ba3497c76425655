//! ZMTP, libzmq's own protocol, spoken by hand.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// How long a greeting is.
pub const GREETING: usize = 64;

/// The greeting of ZMTP 3.1 with this security mechanism.
pub fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    bytes.extend(mechanism.as_bytes());
    bytes.resize(GREETING, 0);
    bytes
}

/// What a socket of this type says before its first message, without keys, with these properties
/// besides.
pub fn introduction(kind: &str, properties: &[(&str, &[u8])]) -> Vec<u8> {
    let mut ready = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", kind.as_bytes())].iter().chain(properties) {
        ready.push(name.len() as u8);
        ready.extend(name.as_bytes());
        ready.extend((value.len() as u32).to_be_bytes());
        ready.extend(*value);
    }
    [greeting("NULL"), command(&ready)].concat()
}

/// Introduces a connection as a DEALER without keys, until both sides have.
pub fn introduce(stream: &mut TcpStream, properties: &[(&str, &[u8])]) -> io::Result<()> {
    stream.write_all(&introduction("DEALER", properties))?;
    let mut answer = [0; GREETING + 2];
    stream.read_exact(&mut answer)?;
    stream.read_exact(&mut vec![0; answer[GREETING + 1].into()])
}

fn command(body: &[u8]) -> Vec<u8> {
    [&[4, body.len() as u8], body].concat()
}

/// How a command of this many bytes begins.
pub fn begin_command(length: usize) -> Vec<u8> {
    [&[6][..], &(length as u64).to_be_bytes()].concat()
}

/// A sign of life that asks for an answer.
pub fn ping() -> Vec<u8> {
    command(b"\x04PING\0\0sixteen bytes...")
}

/// A part of a message, which is its last or not.
pub fn part(body: &[u8], more: bool) -> Vec<u8> {
    [&[2 | u8::from(more)][..], &(body.len() as u64).to_be_bytes(), body].concat()
}
