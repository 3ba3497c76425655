//! What the tests hold of an input thread: all the other ends.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use crossbeam_channel::{bounded, unbounded};

use crate::asker::Questions;
use crate::counters::Counters;
use crate::envelope::Envelope;
use crate::event::EventChannel;
use crate::frame::{Acknowledgement, Epoch, Incarnation, Position, Sequence, Stamp};
use crate::link::{Ends, FrameSizes, Incoming, Limits};
use crate::wire::Batch;

use super::*;

pub(super) const OWN: Pid = Pid::new(1);
pub(super) const PEER: Pid = Pid::new(2);
pub(super) const HEARTBEAT: Duration = at(1_000);
pub(super) const PEER_TIMEOUT: Duration = at(5_000);
pub(super) const LINGER: Duration = at(3_000);

pub(super) const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An inlet that holds what is to come in, and tells what it is asked for.
pub(super) struct Script {
    frames: Receiver<Received>,
    requests: VecDeque<Outcome>,
    calls: Sender<Call>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Wait(Option<Duration>),
    Rearm,
}

impl Inlet for Script {
    fn receive(&mut self) -> io::Result<Option<Received>> {
        Ok(self.frames.try_recv().ok())
    }

    fn last_address(&mut self) -> Option<IpAddr> {
        Some(Ipv4Addr::LOCALHOST.into())
    }

    fn authenticate(&mut self) -> io::Result<Option<Outcome>> {
        Ok(self.requests.pop_front())
    }

    fn poll_refusal(&mut self, _now: Duration) -> Option<Refusal> {
        None
    }

    fn handle_pause(&mut self, _pause: Duration) {}

    fn forget(&mut self, _peer: Pid) {}

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.calls.send(Call::Wait(timeout)).map_err(io::Error::other)
    }

    fn rearm(&mut self) {
        self.calls.send(Call::Rearm).unwrap();
    }
}

/// The input thread of a server with one peer, and all that it holds the other ends of.
pub(super) struct Bench {
    pub(super) input: Input,
    pub(super) frames: Sender<Received>,
    pub(super) calls: Receiver<Call>,
    pub(super) inbox: Receiver<Envelope>,
    pub(super) feedback: Receiver<Feedback>,
    pub(super) control: Sender<Stage>,
    pub(super) events: Receiver<Event>,
    pub(super) counters: Arc<Counters>,
}

/// How much fits where.
pub(super) struct Bounds {
    /// In envelopes.
    pub(super) inbox: usize,
    /// In bytes.
    pub(super) window: usize,
    pub(super) feedback: usize,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) requests: usize,
    pub(super) heartbeat: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            inbox: 10,
            window: 10_000,
            feedback: 10,
            idle_timeout: None,
            requests: 0,
            heartbeat: HEARTBEAT,
        }
    }
}

fn incoming(window: usize) -> Incoming {
    let ends = Ends {
        cluster: ClusterId::new(None),
        own: OWN,
        peer: PEER,
        incarnation: Incarnation::from_wire(7).unwrap(),
    };
    let limits = Limits {
        window,
        min_backlog: window,
        frames: FrameSizes::DEFAULT,
        max_message: 1_000,
        heartbeat: HEARTBEAT,
        peer_timeout: PEER_TIMEOUT,
        reconnect_grace: at(500),
    };
    Incoming::new(ends, limits, at(0))
}

impl Bench {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let (frames, arrivals) = unbounded();
        let (calls_end, calls) = unbounded();
        let (inbox_end, inbox) = bounded(bounds.inbox);
        let (feedback_end, feedback) = bounded(bounds.feedback);
        let (control, control_end) = bounded(4);
        let counters = Arc::new(Counters::new(&[PEER]));
        let questions = Questions::new(&[PEER]);
        let (channel, events) = EventChannel::new(Arc::clone(&counters));
        let link = incoming(bounds.window);
        let refused = Outcome::Refused { reason: Rejection::Stranger, address: None };
        let requests = std::iter::repeat_n(refused, bounds.requests).collect();
        let setup = Setup {
            own: OWN,
            cluster: ClusterId::new(None),
            peers: vec![PeerReceiver::new(
                link,
                channel.standings(1),
                Arc::clone(&questions),
                counters.of(PEER).unwrap(),
            )],
            inlet: Box::new(Script { frames: arrivals, requests, calls: calls_end }),
            inbox: Some(BoundedInbox::new(inbox_end, bounds.window, Arc::clone(&questions))),
            changes: crossbeam_channel::never(),
            feedback: feedback_end,
            control: control_end,
            refusals: Refusals::new(channel.refusals(), Arc::clone(&counters)),
            counters: Arc::clone(&counters),
            questions,
            linger: LINGER,
            idle_timeout: bounds.idle_timeout,
            heartbeat: bounds.heartbeat,
        };
        let input = Input::new(setup, at(0));
        Self { input, frames, calls, inbox, feedback, control, events, counters }
    }

    pub(super) fn put(&self, sequence: u64, payload: Payload) {
        let frame = Ok(Frame { header: header(sequence), payload });
        self.frames.send(Received { frame, speaker: Speaker::Unproven }).unwrap();
    }

    pub(super) fn turn(&mut self, millis: u64) -> Next {
        self.input.turn(at(millis)).unwrap()
    }

    /// A turn after which the thread waits.
    pub(super) fn waits(&mut self, millis: u64) -> Wait {
        let next = self.turn(millis);
        let Next::Wait(wait) = next else { panic!("{next:?}") };
        wait
    }

    /// Is told that the output thread has come so far.
    pub(super) fn reach(&mut self, stages: &[Stage]) {
        stages.iter().for_each(|stage| self.control.send(*stage).unwrap());
    }
}

pub(super) fn header(sequence: u64) -> Header {
    Header {
        cluster: ClusterId::new(None),
        from: PEER,
        to: OWN,
        incarnation: Incarnation::from_wire(8).unwrap(),
        position: Position::start_of(Sequence::from_wire(sequence).unwrap()),
        base: Sequence::FIRST,
        epoch: Epoch::FIRST,
        missed: 0,
        suspends: 0,
        max_message: 1_000,
        wants_ack: false,
        stamp: Stamp::ZERO,
        settled: false,
        resumed: false,
        // Of the receiver.
        acknowledgement: Acknowledgement { of: Incarnation::from_wire(7), ..Acknowledgement::NONE },
    }
}

pub(super) fn batch(messages: &[&'static str]) -> Payload {
    let mut batch = Batch::default();
    messages.iter().for_each(|message| batch.push(&Envelope::to(OWN, *message)));
    batch.take()
}
