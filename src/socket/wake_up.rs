//! The line on which the output thread wakes the input thread.

use std::io;

use super::Context;
use super::ear::Ear;

/// What the output thread has to tell the input thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The outbox has ended: this server sends nothing more.
    Leaving,
    /// The application wants the server to end now.
    Shutdown,
    /// All is acknowledged, or the linger time is over.
    Settled,
    /// The output thread has ended.
    Ended,
}

/// The end of the wake-up line that rings. When it is dropped, also by a panic, it rings for the last
/// time.
pub(crate) struct Bell(zmq::Socket);

/// The end of the wake-up line that hears it.
pub(crate) struct Alarm(pub(super) Ear);

/// Makes a line on which the input thread can be woken.
pub(crate) fn wake_up_line(context: &Context) -> io::Result<(Bell, Alarm)> {
    const NAME: &str = "inproc://wake-up";
    let alarm = context.0.socket(zmq::PAIR)?;
    let bell = context.0.socket(zmq::PAIR)?;
    for socket in [&alarm, &bell] {
        socket.set_linger(0)?;
    }
    alarm.bind(NAME)?;
    bell.connect(NAME)?;
    Ok((Bell(bell), Alarm(Ear::new(alarm))))
}

impl Bell {
    pub(crate) fn ring(&self, signal: Signal) {
        // A line that is full or closed needs no ringing: the far end is awake, or gone.
        let _ = self.0.send(&[signal as u8][..], zmq::DONTWAIT);
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring(Signal::Ended);
    }
}

impl Alarm {
    /// The next signal that was there when the wait for it ended.
    pub(crate) fn heard(&mut self) -> Option<Signal> {
        let parts = self.0.hear()?;
        let all = [Signal::Leaving, Signal::Shutdown, Signal::Settled, Signal::Ended];
        all.into_iter().find(|signal| parts[0][..] == [*signal as u8])
    }
}
