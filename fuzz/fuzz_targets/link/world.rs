//! Two servers, the network between them, and what must hold whatever happens.
//!
//! - Nothing panics, no thread runs or sends without end, and a server that is told to end does so
//!   in time.
//! - What is accepted is acknowledged, reported or pending, in every snapshot; what comes back as
//!   an event or in the last report is what was counted; nothing is accepted that was not sent.
//! - No frame of one process enters an inbox twice.
//! - Neither half of a link holds more than its window, or one frame, and the inbox no more than
//!   that.
//! - At rest the output thread knows all that the input thread does.
//!
//! In a peaceful play, too:
//!
//! - The envelopes of one process enter an inbox in order, each at most once and unchanged, and who
//!   listens is told of all that are left out: from the start, or from the first that it has read.
//! - No acknowledgement is refused as false, none counts what has entered no inbox, and nobody
//!   listens to a process that was replaced while the present one is heard.
//! - Once the network works, all is settled within a few heartbeats.

use std::time::Duration;

use raft_cluster::internals::{Frame, Thread};

use crate::ledger::{Knows, Ledger, Process, Record};
use crate::server::Server;
use crate::setup::{HEARTBEAT, Setup, WINDOW};
use crate::{Manners, Mood, Side, Step, To, What};

/// How late a thread may run when it is due.
const TICK: Duration = HEARTBEAT;

/// The same, while the network works.
const SHORT_TICK: Duration = Duration::from_millis(10);

/// How long it takes at most until all is settled once the network works.
const SETTLED_WITHIN: Duration = Duration::from_secs(12);

/// The longest that one step waits.
const LONGEST_WAIT: u16 = 8_192;

/// How often the threads may run at one instant.
const TURNS: usize = 1_000;

/// The largest message that one frame brings, or all messages of a batch, in bytes.
const LARGEST_FRAME: usize = 6_000;

/// How many small messages one step sends at most.
const MOST_AT_ONCE: u8 = 32;

/// A small message, in bytes.
const SMALL: usize = 8;

pub struct World {
    mood: Mood,
    setup: Setup,
    now: Duration,
    left: Server,
    right: Server,
    ledger: Ledger,
}

impl World {
    pub fn new(mood: Mood, setup: Setup) -> Self {
        let now = Duration::from_secs(100);
        let [left, right] =
            Side::BOTH.map(|side| Server::start(side, 1_000 + side as Process, (mood, setup), now));
        let mut ledger = Ledger::default();
        ledger.start(left.id, right.id);
        ledger.start(right.id, left.id);
        Self { mood, setup, now, left, right, ledger }
    }

    fn server(&mut self, side: Side) -> &mut Server {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Send(side, to, envelopes) => {
                let server = self.server(side);
                let _ = (0..=envelopes % MOST_AT_ONCE).all(|_| server.send(to, SMALL));
            }
            Step::SendLarge(side, to, bytes) => {
                let server = self.server(side);
                server.send(to, server.large(bytes));
            }
            Step::Read(side, envelopes) => {
                self.read(side, envelopes.into());
            }
            Step::ReadEvents(side) => self.server(side).read_events(),
            Step::Turn(side, which) => self.turn(side, which.into()),
            Step::Deliver { to, place, again } => self.deliver(to, place, again),
            Step::Lose(side) => self.server(side).letters.lose(),
            Step::Flow => self.flow(),
            Step::Wait(millis) => self.wait(millis),
            Step::Stop(millis) => {
                let pause = Duration::from_millis(millis.into());
                self.now += pause;
                Side::BOTH.into_iter().for_each(|side| self.pause(side, Duration::ZERO, pause));
            }
            Step::Pause(side, millis) => {
                let pause = Duration::from_millis(millis.into());
                self.pause(side, pause, pause);
            }
            Step::Drop(side, what) => self.drop(side, what),
            Step::Restart { side, manners } => self.restart(side, manners),
            Step::Forge { .. } | Step::Truncate { .. } if self.mood == Mood::Peaceful => {}
            Step::Forge { to, forgery } => {
                if let Some(sample) = self.server(to).letters.sample() {
                    let (header, body) = forgery.forge(sample.encode());
                    self.server(to).process.arrive_raw(&header, body);
                }
            }
            Step::Truncate { to, place, header, body } => {
                let Some(frame) = self.server(to).letters.take(place, true) else { return };
                let (bytes, whole) = frame.encode();
                let header = &bytes[..bytes.len().min(header.into())];
                let body = whole.slice(..whole.len().min(body.into()));
                self.server(to).process.arrive_raw(header, body);
            }
        }
    }

    fn turn(&mut self, side: Side, thread: Thread) {
        let now = self.now;
        let frames = self.server(side).turn(thread, now);
        self.post(side.other(), frames);
        self.check_acknowledged(side);
    }

    fn post(&mut self, to: Side, frames: Vec<Frame>) {
        let now = self.now;
        frames.into_iter().for_each(|frame| self.server(to).letters.post(frame, now));
    }

    fn deliver(&mut self, to: Side, place: u8, again: bool) {
        let now = self.now;
        let expire = self.mood == Mood::Peaceful && !self.setup.has_ghosts;
        let server = self.server(to);
        if expire {
            server.letters.expire(now);
        }
        if server.takes_letters()
            && let Some(frame) = server.letters.take(place, again)
        {
            server.arrive(frame);
        }
    }

    /// Lets all threads run that have something to do at this instant.
    fn run(&mut self) {
        for _ in 0..TURNS {
            let mut runs = false;
            for side in Side::BOTH {
                let now = self.now;
                if let Some(frames) = self.server(side).run(now) {
                    runs = true;
                    self.post(side.other(), frames);
                    self.check_acknowledged(side);
                }
            }
            if !runs {
                let now = self.now;
                return Side::BOTH.into_iter().for_each(|side| self.server(side).check_rest(now));
            }
        }
        panic!("the threads run without end");
    }

    fn wait(&mut self, millis: u16) {
        let end = self.now + Duration::from_millis((millis % LONGEST_WAIT).into());
        self.run();
        while self.now < end {
            let due = self.left.poll_timeout().min(self.right.poll_timeout());
            if due > end {
                self.now = end;
                return;
            }
            self.now = end.min(self.now + TICK).max(due);
            self.run();
        }
    }

    /// Lets everything happen that can happen at this instant while the network works.
    fn flow(&mut self) {
        for _ in 0..TURNS {
            self.run();
            let mut moves = false;
            for side in Side::BOTH {
                while self.server(side).takes_letters()
                    && let Some(frame) = self.server(side).letters.take(0, false)
                {
                    self.server(side).arrive(frame);
                    moves = true;
                }
                moves |= self.read(side, usize::MAX) > 0;
            }
            let stuck = |server: &Server| !server.takes_letters();
            if !moves || stuck(&self.left) || stuck(&self.right) {
                return;
            }
        }
        panic!("the servers talk without end");
    }

    /// The application reads so many envelopes. Returns how many there were.
    fn read(&mut self, side: Side, envelopes: usize) -> usize {
        let mut read = 0;
        let mut bytes = 0;
        while read < envelopes
            && let Some(envelope) = self.server(side).read()
        {
            read += 1;
            bytes += envelope.msg.len();
            if self.mood == Mood::Peaceful {
                let record = Record::of(&envelope).expect("it is for somebody who runs");
                self.ledger.enter(record);
                let knows = self.knows(side, record.writer);
                self.server(side).received().read(record, knows);
            }
        }
        let is_bounded = self.mood == Mood::Hostile || bytes <= WINDOW + LARGEST_FRAME;
        assert!(is_bounded, "{bytes} bytes wait in the inbox");
        read
    }

    /// What the process on this side has to know of what this writer leaves out. What a process
    /// before it turned away, it need not know; nor what one takes that was replaced, but still
    /// runs.
    fn knows(&mut self, side: Side, writer: Process) -> Knows {
        let listener = self.server(side).id;
        let is_first = self.ledger.is_first_listener(writer, listener);
        let has_ghosts = self.setup.has_ghosts;
        let server = self.server(side.other());
        if server.id != writer || !server.tells_all() {
            Knows::Nothing
        } else if is_first {
            Knows::All
        } else if has_ghosts {
            Knows::Nothing
        } else {
            Knows::AfterTheFirst
        }
    }

    fn pause(&mut self, side: Side, further: Duration, pause: Duration) {
        let until = self.now + further;
        self.server(side).pause(until, pause);
    }

    fn drop(&mut self, side: Side, what: What) {
        let now = self.now;
        match what {
            What::Outbox => self.server(side).process.drop_outbox(),
            What::Inbox => {
                self.read(side, usize::MAX);
                self.server(side).process.drop_inbox();
            }
            What::Server => self.server(side).stop(now),
        }
    }

    fn restart(&mut self, side: Side, manners: Manners) {
        self.read(side, usize::MAX);
        let (now, scene) = (self.now, (self.mood, self.setup));
        let id = self.server(side).id + 10;
        let old = self.server(side).replace(Server::start(side, id, scene, now));
        let listener = self.server(side.other()).id;
        self.ledger.start(id, listener);
        let frames = old.end(manners, now);
        self.post(side.other(), frames);
    }

    /// Nothing is acknowledged that has entered no inbox.
    fn check_acknowledged(&mut self, side: Side) {
        if self.mood == Mood::Peaceful {
            let (acknowledged, writer) = (self.server(side).acknowledged(), self.server(side).id);
            let entered = self.ledger.entered(writer) + self.server(side.other()).waiting();
            assert!(acknowledged <= entered, "{acknowledged} acknowledged, {entered} entered");
        }
    }

    /// From now on the network works, applications read, and no process is stopped.
    pub fn end(&mut self) {
        let now = self.now;
        for side in Side::BOTH {
            self.server(side).resume(now);
            self.read(side, usize::MAX);
            self.server(side).read_events();
        }
        self.run();
        if self.mood == Mood::Hostile {
            return;
        }
        self.left.letters.lose();
        self.right.letters.lose();
        self.settle();
        if Side::BOTH.into_iter().any(|side| self.replace_ended(side)) {
            self.settle();
        }
        self.check_settled();
        self.say_one_thing_more();
    }

    /// Starts another process where one has ended, so that there is somebody to take what is left.
    fn replace_ended(&mut self, side: Side) -> bool {
        let has_ended = self.server(side).process.has_ended();
        if has_ended {
            self.restart(side, Manners::Killed);
        }
        has_ended
    }

    /// All that is under way arrives and is acknowledged.
    fn settle(&mut self) {
        let end = self.now + SETTLED_WITHIN;
        while self.now < end {
            let due = self.left.poll_timeout().min(self.right.poll_timeout());
            self.now = due.clamp(self.now + SHORT_TICK, self.now + HEARTBEAT);
            self.flow();
            let [left, right] = [&self.left, &self.right];
            if left.is_settled(right, self.now) && right.is_settled(left, self.now) {
                return;
            }
        }
    }

    fn check_settled(&mut self) {
        for side in Side::BOTH {
            self.server(side).read_events();
            let runs = |server: &Server| !server.process.has_ended();
            if runs(&self.left) && runs(&self.right) {
                self.server(side).check_settled();
            }
        }
    }

    /// Each sends one envelope, which arrives if both are open.
    fn say_one_thing_more(&mut self) {
        let before = [self.left.acknowledged(), self.right.acknowledged()];
        let mut expected = [0; 2];
        for side in Side::BOTH {
            let listens = self.server(side.other()).process.is_inbox_open();
            let server = self.server(side);
            let arrives = server.is_open() && server.send(To::All, SMALL) && listens;
            expected[side as usize] = arrives.into();
        }
        self.flow();
        self.now += HEARTBEAT;
        self.flow();
        let arrived = [&self.left, &self.right].map(Server::acknowledged);
        let arrived = [arrived[0] - before[0], arrived[1] - before[1]];
        let stats = [&self.left, &self.right].map(|server| server.process.stats().peers);
        assert_eq!(arrived, expected, "one envelope more arrives where both are open: {stats:?}");
        for side in Side::BOTH {
            if arrived[side as usize] > 0 {
                let writer = self.server(side).id;
                self.server(side.other()).received().close(writer);
            }
        }
    }
}
