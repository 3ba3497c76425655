//! Sockets that are watched by their file descriptors.

use std::io;

/// A socket of which something is expected now and then: it costs no system call while its file
/// descriptor shows nothing.
///
/// That descriptor (`ZMQ_FD`) is edge-triggered: it shows what comes next only once
/// [`receive`](Self::receive) has found nothing.
pub(super) struct EdgeTriggered {
    socket: zmq::Socket,
    /// Whether it is worth a system call to look.
    ready: bool,
}

impl EdgeTriggered {
    pub(super) fn new(socket: zmq::Socket) -> Self {
        Self { socket, ready: true }
    }

    pub(super) fn socket(&self) -> &zmq::Socket {
        &self.socket
    }

    /// What to poll.
    pub(super) fn poll_item(&self) -> io::Result<zmq::PollItem<'static>> {
        Ok(zmq::PollItem::from_fd(self.socket.get_fd()?, zmq::POLLIN))
    }

    /// Has the next [`receive`](Self::receive) look.
    pub(super) fn rearm(&mut self) {
        self.ready = true;
    }

    /// All parts of the next message.
    pub(super) fn receive(&mut self) -> Option<Vec<zmq::Message>> {
        if !self.ready {
            return None;
        }
        let Ok(first) = self.socket.recv_msg(zmq::DONTWAIT) else {
            self.ready = false;
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
