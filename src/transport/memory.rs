//! The transport within one process: frames go through channels, and whoever holds the far ends of
//! them is the network. It decides what arrives, and when.
//!
//! The simulation, the model, the fuzzer and the bench of the link drive the threads' logic over
//! it, and with the feature `testing` the threads themselves run over it.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TrySendError, bounded, unbounded};

use crate::envelope::Pid;
use crate::frame::Frame;
use crate::transport::connection::Connection;
pub(crate) use crate::transport::connection::ConnectionEvent;
use crate::transport::renewal::Renewal;
use crate::transport::{Inlet, Outcome, Outlet, Received, Refusal, Speaker, Waker};
use crate::wire;

/// What a server does on the way to one peer, as the network sees it.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Frame(Frame),
    /// The connection was replaced: what it had not delivered is gone.
    Renewed,
}

/// Where a way to one peer leads into the network.
pub(crate) trait Line: Send {
    /// # Errors
    ///
    /// When the network has gone.
    fn take(&mut self, sent: Sent) -> io::Result<()>;

    /// The way is closed, but for `linger` at most it goes on with what it was given.
    fn close(&mut self, _linger: Duration) {}
}

impl Line for Sender<Sent> {
    fn take(&mut self, sent: Sent) -> io::Result<()> {
        self.send(sent).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The way to one peer.
pub(crate) struct MemoryOutlet {
    line: Box<dyn Line>,
    renewal: Renewal,
}

/// The end of a way to one peer that the network holds.
#[cfg(any(test, feature = "internals"))]
pub(crate) type Departures = Receiver<Sent>;

impl MemoryOutlet {
    /// One whose other end is a channel.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn new(
        heartbeat: Duration,
        peer_timeout: Duration,
        now: Duration,
    ) -> (Self, Departures) {
        let (sent, departures) = unbounded();
        (Self::over(Box::new(sent), heartbeat, peer_timeout, now), departures)
    }

    pub(crate) fn over(
        line: Box<dyn Line>,
        heartbeat: Duration,
        peer_timeout: Duration,
        now: Duration,
    ) -> Self {
        Self { line, renewal: Renewal::new(heartbeat, peer_timeout, now) }
    }
}

impl Outlet for MemoryOutlet {
    /// The frame becomes bytes and a frame again, as on any other way.
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        let header = wire::encode_header(&frame.header, &frame.payload);
        let frame = wire::decode(&header, frame.payload.into_body()).map_err(io::Error::other)?;
        self.line.take(Sent::Frame(frame))
    }

    fn stuck_at(&self, evidence: Duration) -> Option<Duration> {
        Some(self.renewal.due(evidence))
    }

    fn renew(&mut self, evidence: Duration, now: Duration) -> bool {
        // A network that has gone carries nothing anyway.
        let _ = self.line.take(Sent::Renewed);
        self.renewal.handle_renewal(evidence, now);
        true
    }

    fn handle_pause(&mut self, pause: Duration) {
        self.renewal.handle_pause(pause);
    }

    fn close(mut self: Box<Self>, linger: Duration) {
        self.line.close(linger);
    }
}

/// Where the frames of all peers come in.
pub(crate) struct MemoryInlet {
    arrivals: Receiver<Received>,
    wake_ups: Receiver<()>,
    changes: Receiver<Change>,
    /// As far as anything has happened to them.
    connections: BTreeMap<Pid, Connection>,
    /// Kept as long as the inlet is there.
    _address: Option<Box<dyn Send>>,
}

/// What happens to the connection to this peer. None if it was replaced.
type Change = (Pid, Option<ConnectionEvent>);

/// The end of an inlet that the network holds.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    frames: Sender<Received>,
    #[cfg(any(test, feature = "internals"))]
    wake_ups: Receiver<()>,
    changes: Sender<Change>,
}

/// Wakes an inlet.
pub(crate) struct MemoryWaker(Sender<()>);

impl MemoryInlet {
    pub(crate) fn new() -> (Self, MemoryWaker, Arrivals) {
        let (frames, arrivals) = unbounded();
        let (waker, wake_ups) = bounded(1);
        let (changes, changed) = unbounded();
        let network = Arrivals {
            frames,
            #[cfg(any(test, feature = "internals"))]
            wake_ups: wake_ups.clone(),
            changes,
        };
        let (connections, _address) = (BTreeMap::new(), None);
        let inlet = Self { arrivals, wake_ups, changes: changed, connections, _address };
        (inlet, MemoryWaker(waker), network)
    }

    /// The address at which it listens, to be dropped with it.
    #[cfg(feature = "testing")]
    pub(crate) fn listening_at(self, address: impl Send + 'static) -> Self {
        Self { _address: Some(Box::new(address)), ..self }
    }

    /// What ends a wait.
    fn select(&self) -> Select<'_> {
        let mut select = Select::new();
        select.recv(&self.arrivals);
        select.recv(&self.wake_ups);
        select.recv(&self.changes);
        select
    }
}

impl Arrivals {
    /// A frame has arrived. If the server has ended, nobody is there to take it.
    pub(crate) fn put(&self, frame: Frame) {
        let _ = self.frames.send(Received { frame: Ok(frame), speaker: Speaker::Unproven });
    }

    /// How many frames have arrived and are not read.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The inlet takes note that it was woken, as at the end of a wait.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn take_wake_up(&self) {
        let _ = self.wake_ups.try_recv();
    }

    /// Something has happened to the connection to this peer; or it was replaced, if that is none.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn tell(&self, peer: Pid, event: Option<ConnectionEvent>) {
        let _ = self.changes.send((peer, event));
    }

    /// Whether a wait of the inlet would end at once.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn is_ready(&self) -> bool {
        !self.frames.is_empty() || !self.wake_ups.is_empty() || !self.changes.is_empty()
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

    fn poll_refusal(&mut self, now: Duration) -> Option<Refusal> {
        for (peer, event) in self.changes.try_iter() {
            let connection = self.connections.entry(peer).or_default();
            match event {
                Some(event) => connection.handle(event, now),
                None => *connection = Connection::default(),
            }
        }
        self.connections.iter_mut().find_map(|(peer, connection)| {
            let refused_for = connection.take_refusal(now)?;
            Some(Refusal { peer: *peer, refused_for })
        })
    }

    fn handle_pause(&mut self, pause: Duration) {
        self.connections.values_mut().for_each(|connection| connection.handle_pause(pause));
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

    fn forget(&mut self, peer: Pid) {
        self.connections.remove(&peer);
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
