//! How the output thread wakes the input thread, which waits on file descriptors.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::transport::Waker;

/// The end of the line that wakes.
#[derive(Debug)]
pub(crate) struct ZmqWaker(UnixStream);

/// The end of the line that is watched.
#[derive(Debug)]
pub(super) struct WakeUps(UnixStream);

/// Makes a line on which a thread can be woken.
pub(super) fn wake_up_line() -> io::Result<(ZmqWaker, WakeUps)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    Ok((ZmqWaker(near), WakeUps(far)))
}

impl Waker for ZmqWaker {
    fn wake(&self) {
        loop {
            match (&self.0).write(&[1]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A line that is full or closed needs nothing more: the far end is awake, or gone.
                _ => return,
            }
        }
    }
}

impl WakeUps {
    pub(super) fn poll_item(&self) -> zmq::PollItem<'static> {
        zmq::PollItem::from_fd(self.0.as_raw_fd(), zmq::POLLIN)
    }

    /// Forgets all there have been.
    pub(super) fn drain(&mut self) {
        let mut scratch = [0; 64];
        loop {
            match self.0.read(&mut scratch) {
                Ok(read) if read == scratch.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}
