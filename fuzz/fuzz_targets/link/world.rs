//! Two servers, the network between them, and what must hold whatever happens.
//!
//! - Nothing panics, and no turn makes a server send without end or want to run again at once.
//! - What a link sends comes through the decoder.
//! - Frames of one process enter an inbox in order, each at most once.
//! - What is accepted is acknowledged, reported or pending, in every snapshot.
//! - Neither half holds more than its window, or one frame.
//!
//! In a peaceful play, too:
//!
//! - The envelopes of one process enter an inbox in order, each at most once, and who has listened from the
//!   start is told of all that are left out.
//! - No acknowledgement is refused as false, and none counts what has entered no inbox.
//! - Once the network works, all is settled within a few heartbeats.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use raft_cluster::internals::{Admission, Arrival, FRAME_OVERHEAD, Frame, Link, Settings};
use raft_cluster::{Envelope, Pid};

use crate::{Manners, Mood, Side, Step};

const WINDOW: usize = 4_096;
/// The largest message that each side takes: some of one side's are too large for the other.
const LARGEST: [u32; 2] = [6_000, 2_000];
const HEARTBEAT: Duration = Duration::from_secs(1);
const PEER_TIMEOUT: Duration = Duration::from_secs(5);

/// How many letters the network holds for each side.
const LETTERS: usize = 64;

/// How many frames one turn may send: more than fit in a window.
const FRAMES_IN_A_TURN: usize = 2 * WINDOW / FRAME_OVERHEAD;

/// How many processes of its peer a link remembers: the present one, and those it replaced.
const REMEMBERED: usize = 9;

/// By its incarnation.
type Process = u64;

pub struct World {
    mood: Mood,
    now: Duration,
    left: Server,
    right: Server,
    /// What each process has sent that entered an inbox.
    entered: BTreeMap<Process, BTreeSet<u64>>,
    /// Who spoke for the peer when a process started.
    first_listeners: BTreeMap<Process, Process>,
}

struct Server {
    link: Link,
    process: Process,
    /// The largest message it takes, in bytes.
    largest: u32,
    /// The number of the envelope that is accepted next.
    next: u64,
    /// How many envelopes came back as undeliverable.
    reported: u64,
    stage: Stage,
    inbox: Inbox,
    /// What the network may deliver here, oldest first.
    letters: VecDeque<Letter>,
    /// The last frame that was sent to here.
    sample: Option<Frame>,
    /// The processes of the peer that were heard and the last of their frames that entered, the present
    /// one last.
    speakers: Vec<(Process, u64)>,
    /// The envelope of each process that comes next, unless some are left out.
    expected: BTreeMap<Process, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Leaving,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inbox {
    Open,
    Closed,
}

struct Letter {
    frame: Frame,
    sent: Duration,
}

impl World {
    pub fn new(mood: Mood) -> Self {
        let now = Duration::from_secs(100);
        let [left, right] =
            Side::BOTH.map(|side| Server::start(side, 1_000 + side as Process, now));
        let first = [(left.process, right.process), (right.process, left.process)];
        let first_listeners = first.into_iter().collect();
        Self { mood, now, left, right, entered: BTreeMap::new(), first_listeners }
    }

    fn server(&mut self, side: Side) -> &mut Server {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    pub fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Batch(side, envelopes) => self.server(side).push_batch(envelopes, now),
            Step::Single(side, bytes) => self.server(side).push_single(bytes, now),
            Step::Turn(side) => self.turn(side),
            Step::Deliver { to, place, again } => self.deliver(to, place, again),
            Step::Lose(side) => self.server(side).letters.clear(),
            Step::Enter(side, frames) => self.enter(side, frames.into()),
            Step::Wait(millis) => self.now += Duration::from_millis(millis.into()),
            Step::Stop(millis) => self.stop(Duration::from_millis(millis.into())),
            Step::Restart { side, manners } => self.restart(side, manners),
            Step::CloseInbox(side) => self.server(side).close(),
            Step::SayGoodbye(side) => self.server(side).leave(),
            Step::Forge { to, forgery } if self.mood == Mood::Hostile => {
                let sample = self.server(to).sample.clone();
                let forged = sample.and_then(|sample| forgery.frame(sample.encode()));
                forged.into_iter().for_each(|frame| self.handle(to, frame));
            }
            Step::Truncate { to, place, header, body } if self.mood == Mood::Hostile => {
                self.truncate(to, place, header, body);
            }
            Step::Forge { .. } | Step::Truncate { .. } => {}
        }
        self.check();
    }

    fn turn(&mut self, side: Side) {
        let now = self.now;
        let server = self.server(side);
        server.link.handle_timeout(now);
        let told = server.link.tell();
        let mut frames = Vec::new();
        while let Some(frame) = server.link.poll_transmit(now) {
            frames.push(frame);
            assert!(frames.len() <= FRAMES_IN_A_TURN, "it sends without end");
        }
        let due = server.link.poll_timeout(now);
        assert!(due.is_none_or(|due| due > now), "it wants to run again at once");
        assert!(told.is_ok() || self.mood == Mood::Hostile, "{told:?}");
        let other = self.server(side.other());
        frames.into_iter().for_each(|frame| other.post(frame, now));
    }

    fn deliver(&mut self, to: Side, place: u8, again: bool) {
        let now = self.now;
        if self.mood == Mood::Peaceful {
            // The link counts on letters to come within the peer timeout, or not at all.
            self.server(to).letters.retain(|letter| now < letter.sent + PEER_TIMEOUT);
        }
        let Some(frame) = self.server(to).take_letter(place, again) else { return };
        self.handle(to, frame);
    }

    fn handle(&mut self, to: Side, frame: Frame) {
        let now = self.now;
        self.server(to).handle(frame, now);
    }

    fn truncate(&mut self, to: Side, place: u8, header: u8, body: u16) {
        let Some(frame) = self.server(to).take_letter(place, true) else { return };
        let (bytes, whole) = frame.encode();
        let cut = usize::from(header);
        if cut < bytes.len() {
            assert!(Frame::decode(&bytes[..cut], whole.clone()).is_none(), "half a header");
        }
        let body = whole.slice(..whole.len().min(body.into()));
        if let Some(frame) = Frame::decode(&bytes, body) {
            self.handle(to, frame);
        }
    }

    fn enter(&mut self, side: Side, frames: usize) {
        let now = self.now;
        let server = self.server(side);
        let mut held = Vec::new();
        while held.len() < frames
            && let Some(arrival) = server.link.enter(now)
        {
            server.check_sequence(&arrival);
            held.push(arrival);
        }
        let bytes: usize = held.iter().map(|arrival| arrival.len + FRAME_OVERHEAD).sum();
        assert!(held.len() < 2 || bytes <= WINDOW, "{bytes} bytes wait for the inbox");
        let is_empty = |arrival: &Arrival| arrival.len == 0;
        assert!(server.inbox == Inbox::Open || held.iter().all(is_empty), "the inbox is closed");
        if self.mood == Mood::Peaceful {
            held.into_iter().for_each(|arrival| self.receive(side, arrival));
        }
    }

    /// The envelopes of a frame, which their sender has numbered, enter an inbox.
    fn receive(&mut self, side: Side, arrival: Arrival) {
        let server = self.server(side);
        let (listener, writer) = (server.process, server.speaker());
        let exact = self.is_told_of_all(side.other(), writer, listener);
        let server = self.server(side);
        let expected = server.expected.entry(writer).or_default();
        *expected += arrival.missed;
        let mut due = *expected;
        for envelope in arrival {
            let number = envelope.msg_id.unsigned_abs();
            assert!(due <= number, "{number} of {writer} comes when {due} is due");
            assert!(due == number || !exact, "{writer} left out {due} and did not tell {listener}");
            self.entered.entry(writer).or_default().insert(number);
            due = number + 1;
        }
        self.server(side).expected.insert(writer, due);
    }

    /// Whether a listener has to know of all that this writer leaves out. What a process before it turned
    /// away, and what was given up on that one's word, it need not know.
    fn is_told_of_all(&mut self, side: Side, writer: Process, listener: Process) -> bool {
        let now = self.now;
        let is_first = self.first_listeners.get(&writer) == Some(&listener);
        let server = self.server(side);
        is_first && server.process == writer && server.link.stats(now).dropped.inbox_closed == 0
    }

    fn stop(&mut self, pause: Duration) {
        self.now += pause;
        self.left.link.forgive(pause);
        self.right.link.forgive(pause);
    }

    fn restart(&mut self, side: Side, manners: Manners) {
        let now = self.now;
        let server = self.server(side);
        let process = server.process + 10;
        let mut old = std::mem::replace(server, Server::start(side, process, now));
        let peer = self.server(side.other()).process;
        self.first_listeners.insert(process, peer);
        let server = self.server(side);
        // What was on its way to the old process finds the new one.
        server.letters = std::mem::take(&mut old.letters);
        server.sample = old.sample.take();
        if manners == Manners::Polite {
            let frame = old.link.last_words(now);
            self.server(side.other()).post(frame, now);
        }
        let stats = old.link.stats(now);
        let pending = stats.queued + stats.in_flight;
        assert_eq!(old.link.into_undelivered(), pending, "what is pending is handed back");
    }

    fn check(&mut self) {
        for side in Side::BOTH {
            let (now, mood) = (self.now, self.mood);
            let server = self.server(side);
            let stats = server.check_accounts(now);
            let process = server.process;
            let entered = self.entered.get(&process).map_or(0, |numbers| numbers.len() as u64);
            let is_true = mood == Mood::Hostile || stats <= entered;
            assert!(is_true, "{stats} envelopes are acknowledged, {entered} have entered");
        }
    }

    /// From now on the network works.
    pub fn end(&mut self) {
        Side::BOTH.into_iter().for_each(|side| self.enter(side, usize::MAX));
        self.check();
        if self.mood == Mood::Hostile {
            return;
        }
        self.left.letters.clear();
        self.right.letters.clear();
        self.settle();
        let before = self.acknowledged();
        let now = self.now;
        Side::BOTH.into_iter().for_each(|side| self.server(side).push_batch(0, now));
        self.settle();
        let expected = [self.left.reaches(&self.right), self.right.reaches(&self.left)];
        let arrived = std::array::from_fn(|at| self.acknowledged()[at] - before[at]);
        assert_eq!(arrived, expected, "one envelope more arrives from each that is open at each");
    }

    /// All that is under way arrives and is acknowledged.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.now += HEARTBEAT;
            (0..4).for_each(|_| self.exchange());
            self.check();
        }
        for server in [&self.left, &self.right] {
            let stats = server.link.stats(self.now);
            let left = stats.queued + stats.in_flight + stats.window_bytes;
            assert_eq!(left, 0, "nothing is pending in the end: {stats:?}");
        }
    }

    fn acknowledged(&self) -> [u64; 2] {
        [&self.left, &self.right].map(|server| server.link.stats(self.now).acknowledged)
    }

    fn exchange(&mut self) {
        for side in Side::BOTH {
            self.turn(side);
            while let Some(Letter { frame, .. }) = self.server(side.other()).letters.pop_front() {
                self.handle(side.other(), frame);
            }
            self.enter(side.other(), usize::MAX);
        }
    }
}

impl Server {
    fn start(side: Side, process: Process, now: Duration) -> Self {
        let [own, peer] = [side, side.other()].map(|side| Pid::new(side as u32 + 1));
        let largest = LARGEST[side as usize];
        let settings = Settings {
            own,
            peer,
            incarnation: process,
            window: WINDOW,
            largest,
            heartbeat: HEARTBEAT,
            peer_timeout: PEER_TIMEOUT,
        };
        Self {
            link: Link::new(settings, now).expect("an incarnation is not zero"),
            process,
            largest,
            next: 0,
            reported: 0,
            stage: Stage::Open,
            inbox: Inbox::Open,
            letters: VecDeque::new(),
            sample: None,
            speakers: Vec::new(),
            expected: BTreeMap::new(),
        }
    }

    fn envelope(number: u64, bytes: usize) -> Envelope {
        Envelope::broadcast(vec![7; bytes]).with_id(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn push_batch(&mut self, envelopes: u8, now: Duration) {
        let numbers = self.next..=self.next + u64::from(envelopes % 32);
        let batch: Vec<_> = numbers.map(|number| Self::envelope(number, 8)).collect();
        if self.stage == Stage::Open && self.link.push_batch(&batch, now) == Admission::Accepted {
            self.next += batch.len() as u64;
        }
    }

    fn push_single(&mut self, bytes: u16, now: Duration) {
        let envelope = Self::envelope(self.next, usize::from(bytes) % (self.largest as usize + 1));
        if self.stage == Stage::Open && self.link.push_single(envelope, now) == Admission::Accepted
        {
            self.next += 1;
        }
    }

    /// How many of one envelope that it sends now the peer gets.
    fn reaches(&self, peer: &Self) -> u64 {
        (self.stage == Stage::Open && peer.inbox == Inbox::Open).into()
    }

    fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.link.say_goodbye();
    }

    fn close(&mut self) {
        self.inbox = Inbox::Closed;
        self.link.close();
    }

    /// The network takes a frame for this server.
    fn post(&mut self, frame: Frame, now: Duration) {
        let (header, body) = frame.encode();
        let frame = Frame::decode(&header, body).expect("what a link sends is a frame");
        self.sample = Some(frame.clone());
        self.letters.push_back(Letter { frame, sent: now });
        if self.letters.len() > LETTERS {
            self.letters.pop_front();
        }
    }

    fn take_letter(&mut self, place: u8, again: bool) -> Option<Frame> {
        let place = usize::from(place) % self.letters.len().max(1);
        if again {
            return self.letters.get(place).map(|letter| letter.frame.clone());
        }
        self.letters.remove(place).map(|letter| letter.frame)
    }

    fn handle(&mut self, frame: Frame, now: Duration) {
        let process = frame.incarnation();
        if self.link.handle_frame(frame, now) != Ok(true) {
            return;
        }
        let known = self.speakers.iter().position(|(known, _)| *known == process);
        let known = known.map_or((process, 0), |at| self.speakers.remove(at));
        self.speakers.push(known);
        if self.speakers.len() > REMEMBERED {
            self.speakers.remove(0);
        }
    }

    /// The process that is listened to.
    fn speaker(&self) -> Process {
        self.speakers.last().expect("somebody was heard").0
    }

    fn check_sequence(&mut self, arrival: &Arrival) {
        let (process, last) = self.speakers.last_mut().expect("somebody was heard");
        let sequence = arrival.sequence;
        assert!(*last < sequence, "frame {sequence} of {process} comes after {last}");
        *last = sequence;
    }

    /// Returns how many envelopes are acknowledged.
    fn check_accounts(&mut self, now: Duration) -> u64 {
        while let Some(envelopes) = self.link.poll_dropped() {
            self.reported += envelopes;
        }
        let stats = self.link.stats(now);
        let places = stats.acknowledged + self.reported + stats.queued + stats.in_flight;
        assert_eq!(stats.accepted, self.next, "accepted: {stats:?}");
        assert_eq!(stats.accepted, places, "{} reported, and {stats:?}", self.reported);
        assert_eq!(stats.dropped.total(), self.reported, "{stats:?}");
        let most = WINDOW.max(self.largest as usize) + 3 * FRAME_OVERHEAD;
        assert!(stats.window_bytes <= most as u64, "{stats:?}");
        stats.acknowledged
    }
}
