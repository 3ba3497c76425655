//! The parts of a server, put together: both threads' logic and the channels between them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::asker::Questions;
use crate::counters::Counters;
use crate::envelope::Pid;
use crate::event::{Event, EventChannel};
use crate::feedback::Feedback;
use crate::frame::{ClusterId, Incarnation};
use crate::input::{self, BoundedInbox, Input, PeerReceiver};
use crate::link::{Ends, Incoming, Limits, Outgoing};
use crate::output::{self, Outbox, Output, PeerSender, Peers};
use crate::refusals::Refusals;
use crate::server::Mailbox;
use crate::server::outboxes::{self, Outboxes};
use crate::transport::{Inlet, Outlet, Waker};

/// How many bytes of messages that come back wait for the application, if the window is not larger.
const UNDELIVERABLE_BYTES: usize = 1024 * 1024;

/// How many stages the way to the end has after the first.
const STAGES: usize = 4;

/// What a server is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) own: Pid,
    pub(crate) peers: Vec<Pid>,
    pub(crate) cluster: ClusterId,
    pub(crate) incarnation: Incarnation,
    pub(crate) limits: Limits,
    pub(crate) outbox_capacity: usize,
    pub(crate) inbox_capacity: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) linger: Duration,
}

/// How a server reaches its peers, and they reach it.
pub(crate) struct Ways {
    /// One to each peer, in their order.
    pub(crate) outlets: Vec<Box<dyn Outlet>>,
    pub(crate) inlet: Box<dyn Inlet>,
    /// Wakes the inlet.
    pub(crate) waker: Box<dyn Waker>,
    /// The ends of the channel from the input thread to the output thread.
    pub(crate) feedback: (Sender<Feedback>, Receiver<Feedback>),
}

/// A server whose threads do not run yet.
pub(crate) struct Parts {
    pub(crate) mailbox: Mailbox,
    pub(crate) outboxes: Outboxes,
    pub(crate) output: Output,
    pub(crate) input: Input,
    /// Dropped to tell the output thread to end.
    pub(crate) stop: Sender<Infallible>,
    pub(crate) events: Receiver<Event>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) questions: Arc<Questions>,
}

impl Plan {
    fn ends(&self, peer: Pid) -> Ends {
        let Self { own, cluster, incarnation, .. } = *self;
        Ends { cluster, own, peer, incarnation }
    }

    /// Puts the parts together. The time is that of the server's clock.
    pub(crate) fn assemble(self, ways: Ways, now: Duration) -> Parts {
        let counters = Arc::new(Counters::new(&self.peers));
        let questions = Questions::new(&self.peers);
        let (channel, events) = EventChannel::new(Arc::clone(&counters));
        let (outbox, outbox_end) = bounded(self.outbox_capacity);
        let (outboxes, new_outboxes) = Outboxes::new(self.outbox_capacity);
        let (inbox_end, inbox) = bounded(self.inbox_capacity);
        let (control, control_end) = bounded(STAGES);
        let (stop, stop_end) = bounded(0);
        let Limits { window, max_message, heartbeat, .. } = self.limits;
        let standings = || channel.standings(2 * self.peers.len());
        let asked = |place| (Arc::clone(&questions), place);
        let sender = |(place, (peer, outlet)): (usize, (&Pid, _))| {
            let link = Outgoing::new(self.ends(*peer), self.limits, now);
            PeerSender::new(link, outlet, standings(), asked(place), heartbeat)
        };
        let receiver = |(place, peer): (usize, &Pid)| {
            let link = Incoming::new(self.ends(*peer), self.limits, now);
            PeerReceiver::new(link, standings(), asked(place))
        };
        let output = output::Setup {
            own: self.own,
            peers: Peers::new(
                self.peers.iter().zip(ways.outlets).enumerate().map(sender).collect(),
            ),
            new_outboxes,
            feedback: ways.feedback.1,
            stop: stop_end,
            control,
            waker: ways.waker,
            events: channel.undeliverable(window.max(UNDELIVERABLE_BYTES)),
            refusals: Refusals::new(channel.refusals(), Arc::clone(&counters)),
            counters: Arc::clone(&counters),
            window,
            max_message: max_message as usize,
            linger: self.linger,
            heartbeat,
        };
        let input = input::Setup {
            own: self.own,
            cluster: self.cluster,
            peers: self.peers.iter().enumerate().map(receiver).collect(),
            inlet: ways.inlet,
            inbox: Some(BoundedInbox::new(inbox_end, window, Arc::clone(&questions))),
            feedback: ways.feedback.0,
            control: control_end,
            refusals: Refusals::new(channel.refusals(), Arc::clone(&counters)),
            counters: Arc::clone(&counters),
            idle_timeout: self.idle_timeout,
            linger: self.linger,
            heartbeat,
        };
        Parts {
            mailbox: Mailbox { outbox, inbox },
            outboxes,
            output: Output::new(output, Outbox::new(outbox_end, None, outboxes::FIRST), now),
            input: Input::new(input, now),
            stop,
            events,
            counters,
            questions,
        }
    }
}
