//! The transport within one process: frames go through channels, and whoever holds the far ends of
//! them is the network. It decides what arrives, and when.
//!
//! The simulation, the model, the fuzzer and the bench of the link drive the threads' logic over
//! it.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TrySendError, bounded, unbounded};

use crate::frame::Frame;
use crate::transport::renewal::Renewal;
use crate::transport::{Inlet, Outcome, Outlet, Received, Speaker, Waker};
use crate::wire;

/// What a server does on the way to one peer, as the network sees it.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Frame(Frame),
    /// The connection was replaced: what it had not delivered is gone.
    Renewed,
}

/// The way to one peer.
pub(crate) struct MemoryOutlet {
    sent: Sender<Sent>,
    renewal: Renewal,
}

/// The end of a way to one peer that the network holds.
pub(crate) type Departures = Receiver<Sent>;

impl MemoryOutlet {
    pub(crate) fn new(
        heartbeat: Duration,
        peer_timeout: Duration,
        now: Duration,
    ) -> (Self, Departures) {
        let (sent, departures) = unbounded();
        (Self { sent, renewal: Renewal::new(heartbeat, peer_timeout, now) }, departures)
    }

    fn tell(&self, sent: Sent) -> io::Result<()> {
        self.sent.send(sent).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Outlet for MemoryOutlet {
    /// The frame becomes bytes and a frame again, as on any other way.
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        let header = wire::encode_header(&frame.header, &frame.payload);
        let frame = wire::decode(&header, frame.payload.into_body()).map_err(io::Error::other)?;
        self.tell(Sent::Frame(frame))
    }

    fn stuck_at(&self, evidence: Duration) -> Option<Duration> {
        Some(self.renewal.due(evidence))
    }

    fn renew(&mut self, evidence: Duration, now: Duration) {
        // A network that has gone carries nothing anyway.
        let _ = self.tell(Sent::Renewed);
        self.renewal.handle_renewal(evidence, now);
    }

    fn handle_pause(&mut self, pause: Duration) {
        self.renewal.handle_pause(pause);
    }

    fn close(self: Box<Self>, _linger: Duration) {}
}

/// Where the frames of all peers come in.
pub(crate) struct MemoryInlet {
    arrivals: Receiver<Received>,
    wake_ups: Receiver<()>,
}

/// The end of an inlet that the network holds.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    frames: Sender<Received>,
    wake_ups: Receiver<()>,
}

/// Wakes an inlet.
pub(crate) struct MemoryWaker(Sender<()>);

impl MemoryInlet {
    pub(crate) fn new() -> (Self, MemoryWaker, Arrivals) {
        let (frames, arrivals) = unbounded();
        let (waker, wake_ups) = bounded(1);
        let network = Arrivals { frames, wake_ups: wake_ups.clone() };
        (Self { arrivals, wake_ups }, MemoryWaker(waker), network)
    }

    /// What ends a wait.
    fn select(&self) -> Select<'_> {
        let mut select = Select::new();
        select.recv(&self.arrivals);
        select.recv(&self.wake_ups);
        select
    }
}

impl Arrivals {
    /// A frame has arrived. If the server has ended, nobody is there to take it.
    pub(crate) fn put(&self, frame: Frame) {
        let _ = self.frames.send(Received { frame: Ok(frame), speaker: Speaker::Unproven });
    }

    /// How many frames have arrived and are not read.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The inlet takes note that it was woken, as at the end of a wait.
    pub(crate) fn take_wake_up(&self) {
        let _ = self.wake_ups.try_recv();
    }

    /// Whether a wait of the inlet would end at once.
    pub(crate) fn is_ready(&self) -> bool {
        !self.frames.is_empty() || !self.wake_ups.is_empty()
    }
}

impl Inlet for MemoryInlet {
    fn receive(&mut self) -> io::Result<Option<Received>> {
        Ok(self.arrivals.try_recv().ok())
    }

    fn last_address(&mut self) -> Option<IpAddr> {
        None
    }

    fn authenticate(&mut self) -> io::Result<Option<Outcome>> {
        Ok(None)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut select = self.select();
        match timeout {
            Some(timeout) => drop(select.ready_timeout(timeout)),
            None => drop(select.ready()),
        }
        let _ = self.wake_ups.try_recv();
        Ok(())
    }

    fn rearm(&mut self) {}
}

impl Waker for MemoryWaker {
    fn wake(&self) {
        // A wake-up that is there already is enough, and an inlet that has gone needs none.
        let _: Result<(), TrySendError<()>> = self.0.try_send(());
    }
}

#[cfg(feature = "internals")]
impl Arrivals {
    /// Something has arrived that need not be a frame.
    pub(crate) fn put_decoded(&self, frame: Result<Frame, wire::DecodeError>) {
        let _ = self.frames.send(Received { frame, speaker: Speaker::Unproven });
    }
}
