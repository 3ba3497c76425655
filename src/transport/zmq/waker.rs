//! How the output thread wakes the input thread, which waits on file descriptors.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::transport::Waker;

/// A line on which a thread can be woken: what is written at one end can be watched at the other.
///
/// Whoever holds one end keeps both open. Else a thread that has gone would end the wait of the other over
/// and over, and waking one that has gone would raise SIGPIPE, which a program may not ignore.
#[derive(Debug)]
struct Line {
    near: UnixStream,
    far: UnixStream,
}

/// The end of the line that wakes.
#[derive(Debug)]
pub(crate) struct ZmqWaker(Arc<Line>);

/// The end of the line that is watched.
#[derive(Debug)]
pub(super) struct WakeUps(Arc<Line>);

/// Makes a line.
pub(super) fn wake_up_line() -> io::Result<(ZmqWaker, WakeUps)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let line = Arc::new(Line { near, far });
    Ok((ZmqWaker(Arc::clone(&line)), WakeUps(line)))
}

impl Waker for ZmqWaker {
    fn wake(&self) {
        loop {
            match (&self.0.near).write(&[1]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A line that is full needs nothing more: the far end is awake, or gone.
                _ => return,
            }
        }
    }
}

impl WakeUps {
    pub(super) fn poll_item(&self) -> zmq::PollItem<'static> {
        zmq::PollItem::from_fd(self.0.far.as_raw_fd(), zmq::POLLIN)
    }

    /// Forgets all there have been.
    pub(super) fn drain(&self) {
        let mut scratch = [0; 64];
        loop {
            match (&self.0.far).read(&mut scratch) {
                Ok(read) if read == scratch.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_woken(wake_ups: &WakeUps) -> bool {
        zmq::poll(&mut [wake_ups.poll_item()], 0).unwrap() > 0
    }

    #[test]
    fn a_wake_up_stays_until_it_is_taken_note_of_however_many_there_were() {
        let (waker, wake_ups) = wake_up_line().unwrap();
        assert!(!is_woken(&wake_ups));
        for wakes in [1, 64, 65, 100_000] {
            (0..wakes).for_each(|_| waker.wake());
            assert!(is_woken(&wake_ups));
            wake_ups.drain();
            assert!(!is_woken(&wake_ups), "after {wakes}");
        }
    }

    #[test]
    fn an_end_that_has_gone_neither_wakes_nor_is_woken() {
        let (waker, wake_ups) = wake_up_line().unwrap();
        drop(waker);
        assert!(!is_woken(&wake_ups));
        let (waker, wake_ups) = wake_up_line().unwrap();
        drop(wake_ups);
        assert!((&waker.0.near).write(&[1]).is_ok());
    }
}
