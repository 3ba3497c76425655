//! Every state that one link can get into, within a small scope.
//!
//! One server sends, the other one acknowledges; each can restart once, and each can be cut off for so
//! long that the other takes it for dead, or has its socket replaced. The network holds the last few frames
//! of each direction, and delivers any of them never, now, later or again. What a server has heard can reach
//! its sending half late, and a newer state replaces an older one. Time stands still, since it only decides
//! when something may happen, and here everything may happen at any moment.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use stateright::{Checker, Model, Property};

use crate::envelope::{Pid, Recipient};
use crate::frame::{ClusterId, Frame, Incarnation, Payload, Silence};
use crate::link::{Ends, Incoming, Limits, Outgoing};

const NOW: Duration = Duration::from_secs(100);
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The scope of the search.
struct Scope {
    /// How many envelopes each process of the sender accepts.
    envelopes: usize,
    /// How many frames the network holds, on the way to the receiver and to the sender.
    frames: [usize; 2],
    /// How often a process goes back to resend.
    epochs: u32,
    upsets: Upsets,
}

/// What happens to a server, once to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upsets {
    Restarts,
    /// It hears nothing for the peer timeout, or its socket is replaced.
    Cuts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Side {
    Sender,
    Receiver,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Sender, Self::Receiver];

    fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }

    fn pid(self) -> Pid {
        Pid::new(self as u32 + 1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// The sender's application sends an envelope.
    Push,
    /// An output thread hears what its input thread knows, and sends what it has to.
    Turn(Side),
    /// The same when a heartbeat is due.
    Beat(Side),
    /// The frame at this place arrives at the side it is for, and may do so again.
    Deliver(Side, usize),
    /// The arrival at the front enters the receiver's inbox.
    Enter,
    /// Nothing was heard for the peer timeout.
    Silence(Side),
    /// The socket is replaced.
    Renew(Side),
    Restart(Side),
}

/// A server: the halves of the two links that end at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Server {
    outgoing: Outgoing,
    incoming: Incoming,
    /// What the network may deliver here, oldest first.
    arriving: VecDeque<Frame>,
    restarted: bool,
    /// Whether it has been cut off for a while.
    disturbed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    sender: Server,
    receiver: Server,
    /// How many envelopes the present sender has accepted.
    pushed: u64,
    /// How many envelopes of the present sender its peer has ever acknowledged.
    acknowledged: u64,
    /// What entered the inbox of the present receiver last: which process sent it, and its number.
    entered: BTreeMap<u64, u64>,
    /// The first of the present sender's envelopes that entered no inbox yet.
    fresh: u64,
    verdict: Verdict,
}

/// What is wrong with what has happened so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    Fine,
    /// An envelope entered twice, or after a later one.
    Disorder,
    /// An envelope was left out that nobody had acknowledged, or acknowledged by a process that had left it
    /// out.
    Loss,
    /// An acknowledgement was refused as false.
    FalseAcknowledgement,
}

impl Server {
    fn start(side: Side, restarted: bool) -> Self {
        let incarnation = 1 + u64::from(restarted);
        let ends = Ends {
            cluster: ClusterId::new(None),
            own: side.pid(),
            peer: side.other().pid(),
            incarnation: Incarnation::from_wire(incarnation).unwrap(),
        };
        let limits = Limits {
            window: 1 << 20,
            initial_window: 1 << 20,
            max_message: 1_000,
            heartbeat: HEARTBEAT,
            peer_timeout: HEARTBEAT * 5,
        };
        let outgoing = Outgoing::new(ends, limits, NOW);
        let incoming = Incoming::new(ends, limits, NOW);
        let arriving = VecDeque::new();
        Self { outgoing, incoming, arriving, restarted, disturbed: false }
    }

    fn incarnation(&self) -> u64 {
        1 + u64::from(self.restarted)
    }

    fn pending(&self) -> u64 {
        let stats = self.outgoing.stats(NOW);
        stats.queued + stats.in_flight
    }
}

impl State {
    fn server(&mut self, side: Side) -> &mut Server {
        match side {
            Side::Sender => &mut self.sender,
            Side::Receiver => &mut self.receiver,
        }
    }

    fn push(&mut self) {
        let msg = Bytes::from_static(b"some message");
        let msg_id = i64::try_from(self.sender.incarnation() << 32 | self.pushed).unwrap();
        let to = Recipient::Peer(Side::Receiver.pid());
        self.sender.outgoing.push(Payload::Single { to, msg_id, msg });
        self.pushed += 1;
    }

    fn send(&mut self, side: Side, now: Duration) -> Option<Frame> {
        let mut frame = self.server(side).outgoing.poll_transmit(now)?;
        let silence = &mut frame.header.acknowledgement.silence;
        if *silence != Silence::NEVER_HEARD {
            *silence = Silence::new(Duration::ZERO);
        }
        Some(frame)
    }

    fn deliver(&mut self, to: Side, frame: Frame, now: Duration) {
        // One of an older process may be refused aloud, which changes nothing.
        let _ = self.server(to).incoming.handle_frame(frame, now);
    }

    fn enter(&mut self, writer: u64, number: u64) {
        let present = self.sender.incarnation();
        let next = self.entered.get(&writer).map_or(0, |last| last + 1);
        if number < next {
            self.verdict = Verdict::Disorder;
        } else if writer == present && number > next && number > self.acknowledged {
            self.verdict = Verdict::Loss;
        }
        if writer == present {
            self.fresh = self.fresh.max(number + 1);
        }
        self.entered.insert(writer, number);
    }

    fn pop(&mut self, now: Duration) -> bool {
        let incoming = &mut self.receiver.incoming;
        let Some(arrival) = incoming.front() else { return false };
        let Payload::Single { msg_id, .. } = arrival.payload else { panic!("only singles") };
        incoming.pop(now);
        let msg_id = u64::try_from(msg_id).unwrap();
        self.enter(msg_id >> 32, msg_id & 0xffff);
        true
    }

    fn tell(&mut self, side: Side) {
        let server = self.server(side);
        let Some(heard) = server.incoming.poll_status() else { return };
        if server.outgoing.handle_status(&heard).is_err() {
            self.verdict = Verdict::FalseAcknowledgement;
        }
        let acknowledged = self.pushed - self.sender.pending();
        let present =
            heard.incarnation.map(Incarnation::to_wire) == Some(self.receiver.incarnation());
        let entered = self.entered.get(&self.sender.incarnation()).map_or(0, |last| last + 1);
        if present && acknowledged > self.acknowledged.max(entered) {
            self.verdict = Verdict::Loss;
        }
        self.acknowledged = acknowledged;
    }

    /// One turn of an output thread.
    fn turn(&mut self, side: Side, now: Duration, scope: &Scope) {
        self.tell(side);
        while let Some(frame) = self.send(side, now) {
            let arriving = &mut self.server(side.other()).arriving;
            if !arriving.contains(&frame) {
                arriving.push_back(frame);
            }
            if arriving.len() > scope.frames[side as usize] {
                arriving.pop_front();
            }
        }
    }

    fn restart(&mut self, side: Side) {
        let server = self.server(side);
        let arriving = std::mem::take(&mut server.arriving);
        *server = Server { arriving, ..Server::start(side, true) };
        match side {
            Side::Sender => {
                self.pushed = 0;
                self.acknowledged = 0;
                self.fresh = 0;
            }
            Side::Receiver => self.entered.clear(),
        }
    }

    /// All the network holds is lost, and from then on it works: within a few heartbeats everything must
    /// have entered and be acknowledged.
    fn recovers(&self) -> bool {
        let mut state = self.clone();
        for beats in 1..=4 {
            let now = NOW + HEARTBEAT * beats;
            // Answers to answers, too.
            for _ in 0..4 {
                for side in Side::BOTH {
                    while let Some(frame) = state.send(side, now) {
                        state.deliver(side.other(), frame, now);
                    }
                    while state.pop(now) {}
                    for side in Side::BOTH {
                        state.tell(side);
                    }
                }
            }
        }
        let all_entered = state.acknowledged == state.pushed && state.fresh == state.pushed;
        state.verdict == Verdict::Fine && all_entered
    }
}

impl Model for Scope {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            sender: Server::start(Side::Sender, false),
            receiver: Server::start(Side::Receiver, false),
            pushed: 0,
            acknowledged: 0,
            entered: BTreeMap::new(),
            fresh: 0,
            verdict: Verdict::Fine,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.pushed < self.envelopes as u64 {
            actions.push(Action::Push);
        }
        actions.push(Action::Enter);
        for (side, server) in [(Side::Sender, &state.sender), (Side::Receiver, &state.receiver)] {
            actions.extend([Action::Turn(side), Action::Beat(side)]);
            match self.upsets {
                Upsets::Restarts if !server.restarted => actions.push(Action::Restart(side)),
                Upsets::Cuts if !server.disturbed => {
                    actions.extend([Action::Silence(side), Action::Renew(side)]);
                }
                _ => {}
            }
            let places = 0..server.arriving.len();
            actions.extend(places.map(|place| Action::Deliver(side, place)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Push => next.push(),
            Action::Turn(side) => next.turn(side, NOW, self),
            Action::Beat(side) => next.turn(side, NOW + HEARTBEAT, self),
            Action::Deliver(side, place) => {
                let frame = next.server(side).arriving[place].clone();
                next.deliver(side, frame, NOW);
            }
            Action::Enter => next.pop(NOW).then_some(())?,
            Action::Silence(side) => {
                let server = next.server(side);
                server.disturbed = true;
                server.incoming.handle_timeout(NOW + HEARTBEAT * 5);
            }
            Action::Renew(side) => {
                let server = next.server(side);
                server.disturbed = true;
                server.outgoing.handle_renewal();
            }
            Action::Restart(side) => next.restart(side),
        }
        for side in Side::BOTH {
            let server = next.server(side);
            server.outgoing.make_timeless(NOW);
            server.incoming.make_timeless(NOW);
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("in order, once, and none left out", |_, state: &State| {
                state.verdict == Verdict::Fine
            }),
            Property::always("what is acknowledged has entered", |_, state: &State| {
                state.acknowledged <= state.fresh
            }),
            Property::always("no deadlock", |_, state: &State| state.recovers()),
            Property::sometimes("all is acknowledged after all upsets", |scope, state: &State| {
                let is_upset = |server: &Server| server.restarted || server.disturbed;
                let both = is_upset(&state.sender) && is_upset(&state.receiver);
                both && state.acknowledged == scope.envelopes as u64
            }),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        let epochs = |server: &Server| server.outgoing.epochs();
        epochs(&state.sender).max(epochs(&state.receiver)) <= self.epochs
    }
}

/// Searches all of a scope, and tells how much that was.
fn check(scope: Scope) -> String {
    let checker = scope.checker().spawn_bfs().join();
    checker.assert_properties();
    format!("{} states, {} of them different", checker.state_count(), checker.unique_state_count())
}

#[test]
fn a_link_keeps_its_promises_in_every_state_although_both_ends_restart() {
    let upsets = Upsets::Restarts;
    println!("{}", check(Scope { envelopes: 1, frames: [2, 1], epochs: 2, upsets }));
    println!("{}", check(Scope { envelopes: 1, frames: [1, 2], epochs: 2, upsets }));
}

#[test]
fn a_link_keeps_its_promises_in_every_state_although_both_ends_are_cut_off() {
    let upsets = Upsets::Cuts;
    println!("{}", check(Scope { envelopes: 1, frames: [2, 2], epochs: 2, upsets }));
    println!("{}", check(Scope { envelopes: 2, frames: [1, 1], epochs: 3, upsets }));
}

#[test]
#[ignore = "takes a minute, and finds what the others find"]
fn a_link_keeps_its_promises_in_every_state_of_a_wider_scope() {
    for (frames, epochs) in [([1, 1], 3), ([2, 2], 2)] {
        println!("{}", check(Scope { envelopes: 1, frames, epochs, upsets: Upsets::Restarts }));
        println!("{}", check(Scope { envelopes: 2, frames, epochs, upsets: Upsets::Cuts }));
    }
}
