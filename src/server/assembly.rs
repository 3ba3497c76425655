//! The parts of a server, put together: both threads' logic and the channels between them.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::asker::Questions;
use crate::counters::{Counters, PeerCounters};
use crate::envelope::Pid;
use crate::event::{Event, EventChannel, WeakEventChannel};
use crate::feedback::Feedback;
use crate::frame::{ClusterId, Incarnation};
use crate::input::{self, BoundedInbox, Input, PeerReceiver};
use crate::lifecycle::Order;
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

/// What makes the parts that belong to one peer.
pub(crate) struct Workshop {
    plan: Plan,
    events: WeakEventChannel,
    questions: Arc<Questions>,
    counters: Arc<Counters>,
}

/// A server whose threads do not run yet.
pub(crate) struct Parts {
    pub(crate) mailbox: Mailbox,
    pub(crate) outboxes: Outboxes,
    pub(crate) output: Output,
    pub(crate) input: Input,
    /// Dropped to tell the output thread to end.
    pub(crate) stop: Sender<Order>,
    pub(crate) events: Receiver<Event>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) questions: Arc<Questions>,
    pub(crate) workshop: Workshop,
    /// Where the output thread takes changes of the cluster.
    pub(crate) changes: Sender<output::Change>,
}

impl Workshop {
    fn new(
        plan: &Plan,
        channel: &EventChannel,
        questions: &Arc<Questions>,
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            plan: plan.clone(),
            events: channel.downgrade(),
            questions: Arc::clone(questions),
            counters: Arc::clone(counters),
        }
    }

    /// The sending halves to the peers of the start.
    fn senders(&self, outlets: Vec<Box<dyn Outlet>>, now: Duration) -> Peers {
        let peers = &self.plan.peers;
        let senders = peers.iter().zip(outlets);
        let senders = senders.map(|(peer, outlet)| self.sender(*peer, outlet, peers.len(), now));
        Peers::new(senders.collect())
    }

    /// The receiving halves from the peers of the start.
    fn receivers(&self, now: Duration) -> Vec<PeerReceiver> {
        let peers = &self.plan.peers;
        peers.iter().map(|peer| self.receiver(*peer, peers.len(), now)).collect()
    }

    /// The sending half to a peer, one of so many.
    pub(crate) fn sender(
        &self,
        peer: Pid,
        outlet: Box<dyn Outlet>,
        peers: usize,
        now: Duration,
    ) -> PeerSender {
        let link = Outgoing::new(self.plan.ends(peer), self.plan.limits, now);
        let (standings, patience) =
            (self.events.upgrade().standings(peers), self.plan.limits.heartbeat);
        let (questions, counters) = (Arc::clone(&self.questions), self.counters_of(peer));
        let sender = PeerSender::new(link, outlet, standings, questions, counters, patience);
        sender.publish(now);
        sender
    }

    /// The receiving half from a peer, one of so many.
    pub(crate) fn receiver(&self, peer: Pid, peers: usize, now: Duration) -> PeerReceiver {
        let link = Incoming::new(self.plan.ends(peer), self.plan.limits, now);
        let (questions, counters) = (Arc::clone(&self.questions), self.counters_of(peer));
        PeerReceiver::new(link, self.events.upgrade().standings(peers), questions, counters)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Those of a peer that is listed.
    fn counters_of(&self, peer: Pid) -> Arc<PeerCounters> {
        self.counters.of(peer).unwrap_or_else(|| PeerCounters::new(peer))
    }
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
        let (stop, stop_end) = bounded(1);
        let (changes, changes_end) = unbounded();
        let (input_changes, input_changes_end) = unbounded();
        let Limits { window, max_message, heartbeat, .. } = self.limits;
        let workshop = Workshop::new(&self, &channel, &questions, &counters);
        let output = output::Setup {
            own: self.own,
            peers: workshop.senders(ways.outlets, now),
            new_outboxes,
            changes: changes_end,
            input_changes,
            feedback: ways.feedback.1,
            stop: stop_end,
            control,
            waker: ways.waker,
            events: channel.undeliverable(window.max(UNDELIVERABLE_BYTES)),
            refusals: Refusals::new(channel.refusals(), Arc::clone(&counters)),
            questions: Arc::clone(&questions),
            counters: Arc::clone(&counters),
            window,
            max_message: max_message as usize,
            linger: self.linger,
            heartbeat,
        };
        let input = input::Setup {
            own: self.own,
            cluster: self.cluster,
            peers: workshop.receivers(now),
            inlet: ways.inlet,
            inbox: Some(BoundedInbox::new(inbox_end, window, Arc::clone(&questions))),
            feedback: ways.feedback.0,
            control: control_end,
            changes: input_changes_end,
            refusals: Refusals::new(channel.refusals(), Arc::clone(&counters)),
            counters: Arc::clone(&counters),
            questions: Arc::clone(&questions),
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
            workshop,
            changes,
        }
    }
}
