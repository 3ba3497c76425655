//! Listening to a socket that has little to say.

use std::io;

/// A socket of which something is expected now and then: it costs no system call while its file
/// descriptor shows nothing.
pub(super) struct Ear {
    socket: zmq::Socket,
    state: State,
}

/// Whether it is worth a system call to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Ringing,
}

impl Ear {
    pub(super) fn new(socket: zmq::Socket) -> Self {
        Self { socket, state: State::Ringing }
    }

    pub(super) fn socket(&self) -> &zmq::Socket {
        &self.socket
    }

    /// What to poll to learn whether there is something to hear. It only shows that once
    /// [`hear`](Self::hear) has found nothing.
    pub(super) fn poll_item(&self) -> io::Result<zmq::PollItem<'static>> {
        Ok(zmq::PollItem::from_fd(self.socket.get_fd()?, zmq::POLLIN))
    }

    /// Has the next [`hear`](Self::hear) listen.
    pub(super) fn prick_up(&mut self) {
        self.state = State::Ringing;
    }

    /// All parts of the next message.
    pub(super) fn hear(&mut self) -> Option<Vec<zmq::Message>> {
        if self.state == State::Silent {
            return None;
        }
        let Ok(first) = self.socket.recv_msg(zmq::DONTWAIT) else {
            self.state = State::Silent;
            return None;
        };
        let mut parts = vec![first];
        while parts.last().is_some_and(zmq::Message::get_more) {
            parts.push(next_part(&self.socket).ok()?);
        }
        Some(parts)
    }
}

/// A further part: libzmq hands over a message only when all of it is there.
pub(super) fn next_part(socket: &zmq::Socket) -> io::Result<zmq::Message> {
    loop {
        match socket.recv_msg(0) {
            Err(zmq::Error::EINTR) => {}
            part => return Ok(part?),
        }
    }
}
