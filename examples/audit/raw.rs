//! libzmq used the plain way: a DEALER for each sender, and one that is bound to receive.

use crate::{Contender, MESSAGE, Receiver, Result, Sender};

/// How long a sender waits for room, and at the end for what it has sent, in milliseconds.
const PATIENCE_MS: i32 = 3_000;

/// How long the receiver finds nothing before it looks whether all is over, in milliseconds.
const QUIET_MS: i32 = 1_000;

pub(crate) struct Raw;

impl Contender for Raw {
    fn receiver(&self, url: &str) -> Result<Box<dyn Receiver>> {
        let socket = zmq::Context::new().socket(zmq::DEALER)?;
        socket.set_rcvtimeo(QUIET_MS)?;
        socket.bind(url)?;
        Ok(Box::new(Inlet(socket)))
    }

    fn sender(&self, sender: usize, url: &str) -> Result<Box<dyn Sender>> {
        let socket = zmq::Context::new().socket(zmq::DEALER)?;
        socket.set_sndtimeo(PATIENCE_MS)?;
        socket.set_linger(PATIENCE_MS)?;
        socket.connect(url)?;
        Ok(Box::new(Outlet { socket, sender }))
    }
}

struct Inlet(zmq::Socket);

impl Receiver for Inlet {
    fn receive(&mut self) -> Result<Option<(usize, u64)>> {
        let message = match self.0.recv_msg(0) {
            Ok(message) => message,
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let number = |at: usize| message[at..at + 8].try_into().map(u64::from_le_bytes);
        Ok(Some((usize::try_from(number(0)?)?, number(8)?)))
    }
}

struct Outlet {
    socket: zmq::Socket,
    sender: usize,
}

impl Sender for Outlet {
    fn send(&mut self, place: u64) -> Result<()> {
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&(self.sender as u64).to_le_bytes());
        message[8..16].copy_from_slice(&place.to_le_bytes());
        match self.socket.send(&message[..], 0) {
            // It has not been accepted, and counts as lost: there is nobody to send it again.
            Ok(()) | Err(zmq::Error::EAGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn finish(self: Box<Self>) {
        // Closing waits for the linger time at most.
    }
}
