//! What the application of a process does, which holds the channels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::asking::Asking;
use super::{END_SLACK, NEVER, Process};
use crate::asker::Questions;
use crate::envelope::{Envelope, Pid, Recipient};
use crate::event::{Event, Reason, Rejection};
use crate::frame::Incarnation;
use crate::lifecycle::Order;
use crate::server::Mailbox;
use crate::server::outboxes::Outboxes;
use crate::session::Session;
use crate::sim::audit::Audit;
use crate::sim::message::{self, QuestionId, Record, Wish};
use crate::sim::plan::{LINGER, Plan, up_to};
use crate::sim::world::Surroundings;

/// What the application holds, and does.
pub(in crate::sim) struct Application {
    pub(in crate::sim) outbox: Option<Sender<Envelope>>,
    /// Opens further ones, each for one peer; and those it has opened, with their numbers.
    outboxes: Arc<Outboxes>,
    further: Vec<(Pid, u32, Sender<Envelope>)>,
    opened: u32,
    pub(in crate::sim) asking: Asking,
    /// The process of each peer that it has heard last.
    sessions: BTreeMap<Pid, Session>,
    pub(in crate::sim) inbox: Option<Receiver<Envelope>>,
    pub(super) stop: Option<Sender<Order>>,
    events: Receiver<Event>,
    /// An envelope that found the outbox full.
    pub(super) unsent: Option<Envelope>,
    /// How many envelopes it has written, and how many it has taken from its inbox.
    pub(super) written: u64,
    taken: usize,
    /// Until when it sends whenever there is room.
    pub(in crate::sim) floods_until: Duration,
    /// When it looks at its channels.
    pub(in crate::sim) leisure_until: Duration,
    /// Whether it reads whatever comes.
    reads_all: bool,
    /// Whether it never looks at its inbox again.
    ignores_inbox: bool,
    /// How many envelopes it is going to write although all is calm.
    pub(in crate::sim) chats: u32,
}

impl Application {
    pub(super) fn new(
        mailbox: Mailbox,
        outboxes: Outboxes,
        questions: Arc<Questions>,
        stop: Sender<Order>,
        events: Receiver<Event>,
        now: Duration,
    ) -> Self {
        let outboxes = Arc::new(outboxes);
        Self {
            outbox: Some(mailbox.outbox),
            outboxes: Arc::clone(&outboxes),
            further: Vec::new(),
            opened: 0,
            asking: Asking::new(questions, outboxes),
            sessions: BTreeMap::new(),
            inbox: Some(mailbox.inbox),
            stop: Some(stop),
            events,
            unsent: None,
            written: 0,
            taken: 0,
            floods_until: Duration::ZERO,
            leisure_until: now,
            reads_all: false,
            ignores_inbox: false,
            chats: 0,
        }
    }

    /// Whether it has ever had more than one outbox.
    pub(super) fn has_further(&self) -> bool {
        self.opened > 0 || self.asking.has_asked()
    }

    /// How many envelopes have entered its inbox, or were answers.
    pub(super) fn entered(&self) -> usize {
        self.taken + self.asking.answers + self.inbox.as_ref().map_or(0, Receiver::len)
    }

    /// From now on it reads whatever comes, and does nothing else of itself.
    pub(in crate::sim) fn calm_down(&mut self, now: Duration) {
        self.reads_all = true;
        self.floods_until = now;
        self.leisure_until = now;
    }
}

impl Process {
    /// Takes note of what happened, as the application is told.
    pub(super) fn read_events(&mut self, world: &mut Surroundings<'_>) {
        for event in self.app.events.try_iter() {
            match event {
                Event::Missed { from, count } => {
                    let speaker = self.standings.speaker_of(from);
                    world.audit.miss((self.id, self.pid), speaker, count);
                }
                Event::Undeliverable { reason: Reason::NoSuchPeer, envelope, .. } => {
                    assert!(!message::is_for_anybody(&envelope), "{envelope:?} is for a peer");
                }
                Event::Undeliverable { peer, envelope, reason } => {
                    let own = envelope.msg.len() > self.limits.max_message as usize;
                    let speaker = self.feedback.speakers.get(&peer).copied().flatten();
                    let whose = (peer, speaker);
                    world.audit.give_up(whose, Record::of(&envelope), reason, own);
                    if envelope.is_question() {
                        let returned = (QuestionId::of(&envelope), reason);
                        self.app.asking.returned.push(returned);
                    }
                }
                Event::Rejected { reason: Rejection::Conflict(_), .. } => {}
                Event::Rejected { reason: Rejection::UnknownSender(peer), .. } => {
                    let way = self.ways.iter().find(|way| way.peer == peer).expect("a server");
                    assert!(way.was_unlisted, "{peer} is listed");
                }
                // It was for the one before, which took larger messages.
                Event::Rejected { reason: Rejection::TooLarge(_), .. } if self.has_predecessor => {}
                Event::Rejected { reason, .. } => panic!("{} rejects: {reason}", self.id),
                event => {
                    let deserted = |pid| world.network.connections.is_deserted(pid, world.now);
                    self.standings.see(&event, deserted);
                }
            }
        }
    }

    /// The application reads so many envelopes, if there are any.
    pub(in crate::sim) fn read(&mut self, envelopes: usize, audit: &mut Audit) {
        let Some(inbox) = &self.app.inbox else { return };
        for envelope in inbox.try_iter().take(envelopes) {
            self.app.taken += 1;
            let record = Record::of(&envelope);
            assert!(message::is_for(&envelope, self.pid), "{} got {envelope:?}", self.id);
            self.standings.check_writer(envelope.from, record.writer);
            assert_eq!(envelope.session.process().map(Incarnation::to_wire), Some(record.writer));
            self.app.sessions.insert(envelope.from, envelope.session);
            audit.enter((self.id, self.pid), record);
            assert!(!message::is_answer(&envelope), "{} got {envelope:?} in its inbox", self.id);
            if envelope.is_question() {
                assert!(
                    !message::is_sent_on(&envelope),
                    "{} got {envelope:?} as a question",
                    self.id
                );
                audit.questions.reach(QuestionId::of(&envelope), self.id);
                self.app.asking.take_up(envelope);
            }
        }
    }

    /// When the application looks at its channels.
    pub(in crate::sim) fn next_look(&self) -> Duration {
        let app = &self.app;
        let waits = app.unsent.is_some() && app.outbox.as_ref().is_some_and(|out| !out.is_full());
        let reads = app.reads_all && app.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty());
        let soon = waits && app.reads_all || reads || app.chats > 0;
        let look = if soon { Duration::ZERO } else { app.leisure_until };
        look.max(self.paused_until)
    }

    /// The application reads what there is, writes a few envelopes, and turns to something else.
    pub(in crate::sim) fn use_channels(
        &mut self,
        plan: &Plan,
        calm: bool,
        world: &mut Surroundings<'_>,
    ) {
        let floods = world.now < self.app.floods_until;
        let most = if floods { Duration::from_micros(500) } else { plan.leisure };
        self.app.leisure_until = world.now + up_to(world.rng, most) + Duration::from_micros(100);
        if calm {
            if !self.app.ignores_inbox {
                self.read(usize::MAX, world.audit);
            }
            let writes = std::mem::take(&mut self.app.chats) + u32::from(self.app.unsent.is_some());
            (0..writes).for_each(|_| self.write(world, plan));
        } else {
            self.use_mailbox(plan, floods, world);
        }
        if plan.questions {
            self.use_asker(calm, world);
        }
    }

    fn use_mailbox(&mut self, plan: &Plan, floods: bool, world: &mut Surroundings<'_>) {
        self.read(world.rng.usize(..plan.inbox.max(8) * 2), world.audit);
        let writes = match &self.app.outbox {
            _ if floods => 50,
            Some(outbox) if outbox.len() < 8 => world.rng.usize(..3),
            _ => 0,
        };
        for _ in 0..writes {
            self.write(world, plan);
        }
    }

    /// The application puts an envelope in the outbox, or keeps it until there is room.
    pub(in crate::sim) fn write(&mut self, world: &mut Surroundings<'_>, plan: &Plan) {
        if self.is_relisting() {
            return;
        }
        let free = self.app.outbox.is_some() && self.app.unsent.is_none();
        if free && plan.lanes && world.rng.bool() {
            return self.write_aside(world, plan);
        }
        let Some(outbox) = &self.app.outbox else { return };
        let envelope = match self.app.unsent.take() {
            Some(envelope) => {
                let record = Record { writer: self.id, serial: self.app.written };
                message::renumbered(envelope, record)
            }
            None => self.draw(world, plan),
        };
        match outbox.try_send(envelope.clone()) {
            Ok(()) => {
                let peers = self.ways.iter().filter(|way| way.unlisted.is_none());
                let peers = peers.map(|way| way.peer);
                let peers: Vec<_> =
                    peers.filter(|peer| message::is_for(&envelope, *peer)).collect();
                self.note_put(&envelope, &peers, 0, world);
            }
            Err(TrySendError::Full(envelope)) => self.app.unsent = Some(envelope),
            // The server is shutting down.
            Err(TrySendError::Disconnected(_)) => self.app.outbox = None,
        }
    }

    /// It puts an envelope in one of its further outboxes, or opens or closes one. What finds no
    /// room there is not written.
    fn write_aside(&mut self, world: &mut Surroundings<'_>, plan: &Plan) {
        let app = &mut self.app;
        if app.further.len() < 4 && world.rng.u32(..4) == 0 {
            let place = world.rng.usize(..self.ways.len());
            app.opened += 1;
            let peer = self.ways[place].peer;
            let outbox = app.outboxes.open(peer);
            return app.further.push((peer, app.opened, outbox));
        }
        if app.further.is_empty() {
            return;
        }
        let at = world.rng.usize(..app.further.len());
        if world.rng.u32(..20) == 0 {
            app.further.remove(at);
            return self.notice_end();
        }
        let envelope = self.draw(world, plan);
        let (peer, lane, outbox) = &self.app.further[at];
        let (peer, lane) = (*peer, *lane);
        if outbox.try_send(envelope.clone()).is_ok() {
            // Whom it says it is for does not matter.
            let listed = self.ways.iter().any(|way| way.peer == peer && way.unlisted.is_none());
            let peers: &[Pid] = if listed { &[peer] } else { &[] };
            self.note_put(&envelope, peers, lane, world);
        }
    }

    fn draw(&self, world: &mut Surroundings<'_>, plan: &Plan) -> Envelope {
        let record = Record { writer: self.id, serial: self.app.written };
        let largest = self.limits.max_message;
        let envelope = message::draw(world.rng, record, self.pid, plan.servers, largest);
        let heard = match envelope.to {
            Recipient::Peer(peer) => self.app.sessions.get(&peer),
            Recipient::Broadcast => self.app.sessions.values().next(),
        };
        let wish = match (world.rng.u32(..4), heard) {
            _ if !plan.picky => Wish::None,
            (0, _) => Wish::OrReturn,
            (1, Some(session)) => Wish::ForSession(*session),
            _ => Wish::None,
        };
        wish.apply(envelope)
    }

    fn note_put(
        &mut self,
        envelope: &Envelope,
        peers: &[Pid],
        lane: u32,
        world: &mut Surroundings<'_>,
    ) {
        let record = Record { writer: self.id, serial: self.app.written };
        self.app.written += 1;
        for peer in peers {
            world.audit.put(*peer, record, lane, Wish::of(envelope));
        }
    }

    pub(in crate::sim) fn drop_inbox(&mut self, audit: &mut Audit) {
        self.read(usize::MAX, audit);
        self.app.inbox = None;
        self.notice_end();
    }

    /// The application keeps its inbox, and never looks at it again.
    pub(in crate::sim) fn stop_reading(&mut self) {
        self.app.reads_all = false;
        self.app.ignores_inbox = true;
    }

    /// The application has nothing more to say.
    pub(in crate::sim) fn leave(&mut self, audit: &mut Audit) {
        self.app.outbox = None;
        self.app.further.clear();
        self.app.asking.leave(audit);
        self.app.unsent = None;
        self.lingered.get_or_insert(Duration::ZERO);
        self.notice_end();
    }

    /// The application wants it to end at once, and goes on sending as long as it can if it `floods`.
    pub(in crate::sim) fn shut_down(&mut self, floods: bool, now: Duration) {
        if self.app.stop.take().is_some() {
            self.lingered.get_or_insert(Duration::ZERO);
            if floods {
                self.app.floods_until = NEVER;
                self.app.leisure_until = now;
            }
            self.notice_end();
            self.end_by = Some(now.max(self.paused_until) + LINGER + END_SLACK);
        }
    }

    /// How many envelopes wait to be taken from the application.
    pub(in crate::sim) fn unsent(&self) -> usize {
        let further = self.app.further.iter().map(|(.., outbox)| outbox.len());
        let waiting = self.app.outbox.as_ref().map_or(0, Sender::len) + further.sum::<usize>();
        waiting + usize::from(self.app.outbox.is_some() && self.app.unsent.is_some())
    }
}
