//! The lines typed at a terminal.

use std::io::{self, BufRead};
use std::str;
use std::thread;

use crossbeam_channel::{Receiver, SendError, Sender, bounded};
use raft_cluster::{Bytes, Envelope, Monitor, Pid};
use thiserror::Error;

use crate::complain;

/// Starts the thread that puts what is typed in the outbox. The channel that it returns ends with
/// the input.
///
/// The thread has the outbox to itself, so a full one makes only the typist wait. It may sit in its
/// read until the program has ended.
pub(crate) fn read_lines(outbox: Sender<Envelope>, monitor: Monitor) -> io::Result<Receiver<()>> {
    complain("a line typed goes to all, `@3 text` to server 3; end of input leaves");
    let (open, input) = bounded(0);
    thread::Builder::new().name("terminal".into()).spawn(move || {
        let _open: Sender<()> = open;
        let mut lines = io::stdin().lock().split(b'\n').map_while(Result::ok);
        let _ = lines.try_for_each(|line| send(line, &outbox, &monitor));
    })?;
    Ok(input)
}

/// Puts what a line says in the outbox, or complains about the line. It fails when nothing more can
/// be sent.
pub(crate) fn send(
    line: Vec<u8>,
    outbox: &Sender<Envelope>,
    monitor: &Monitor,
) -> Result<(), SendError<Envelope>> {
    match parse(line.into(), &monitor.peers()) {
        Ok(envelope) => outbox.send(envelope),
        Err(error) => {
            complain(&error.to_string());
            Ok(())
        }
    }
}

/// Why a typed line is no message.
#[derive(Debug, PartialEq, Eq, Error)]
enum TypedError {
    #[error("a message for one server is typed as `@3 text`, with a pid and a space")]
    Malformed,
    #[error("server {pid} is not a peer: the peers are {}", list(peers))]
    NoSuchPeer { pid: Pid, peers: Vec<Pid> },
}

fn list(pids: &[Pid]) -> String {
    pids.iter().map(Pid::to_string).collect::<Vec<_>>().join(", ")
}

/// `@3 text` is for server 3, any other line for all.
fn parse(line: Bytes, peers: &[Pid]) -> Result<Envelope, TypedError> {
    let Some(addressed) = line.strip_prefix(b"@") else {
        return Ok(Envelope::broadcast(line));
    };
    let space = addressed.iter().position(|&byte| byte == b' ').ok_or(TypedError::Malformed)?;
    let (pid, text) = (&addressed[..space], &addressed[space + 1..]);
    let pid = str::from_utf8(pid).map_err(|_| TypedError::Malformed)?;
    let pid = pid.parse().map_err(|_| TypedError::Malformed)?;
    if !peers.contains(&pid) {
        return Err(TypedError::NoSuchPeer { pid, peers: peers.to_vec() });
    }
    Ok(Envelope::to(pid, line.slice_ref(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &'static str) -> Result<Envelope, TypedError> {
        parse(line.into(), &[Pid::new(2), Pid::new(3)])
    }

    #[test]
    fn a_line_is_broadcast_unless_it_names_a_server() {
        for line in ["hello there", "", " @3 indented", "mail@3 text"] {
            assert_eq!(typed(line), Ok(Envelope::broadcast(line)));
        }
        assert_eq!(typed("@3 only for you"), Ok(Envelope::to(Pid::new(3), "only for you")));
        assert_eq!(typed("@2 "), Ok(Envelope::to(Pid::new(2), "")));
    }

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        for line in ["@", "@x", "@x text", "@3", "@ 3 text", "@-1 text", "@99999999999 text"] {
            assert_eq!(typed(line), Err(TypedError::Malformed), "{line}");
        }
        let error = typed("@9 text").unwrap_err();
        assert_eq!(error.to_string(), "server 9 is not a peer: the peers are 2, 3");
    }
}
