//! Whether a state recovers: from then on the network works, and each thread runs when what it
//! waits for has come, not before.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::event::Event;
use crate::frame::Incarnation;
use crate::input;
use crate::model::audit::{Audit, Verdict};
use crate::model::interned::Interned;
use crate::model::server::{Server, Settings, Threads, pending};
use crate::model::state::State;
use crate::model::{HEARTBEAT, NOW, PEER_TIMEOUT, Scope, Side, Upsets};

use crate::output;
use crate::transport::memory::Sent;

/// Nobody gives up while the network works.
const FOREVER: Duration = Duration::from_secs(1_000);

/// More turns than this without an end are none.
const TURNS: usize = 1_000;

/// Which states recover: all that there is to it are the servers, and what their applications know.
#[derive(Debug, Default)]
pub(super) struct Recoveries(Mutex<HashMap<Known, bool>>);

type Known = (Interned<Server>, Interned<Server>, Audit);

impl Recoveries {
    /// All the network holds is lost, and from then on it works: within a few heartbeats everything
    /// must have entered and be acknowledged, and then both servers can end in order.
    pub(super) fn recovers(&self, state: &State, scope: &Scope) -> bool {
        let State { sender, receiver, audit, .. } = state.clone();
        let mut known = self.0.lock().unwrap();
        *known.entry((sender, receiver, audit)).or_insert_with(|| {
            let mut recovery = Recovery::new(state, scope.settings);
            // The frame that came late was the last one of a process that is dead.
            let late = scope.upsets == Upsets::Late;
            let time = if late { PEER_TIMEOUT + HEARTBEAT * 4 } else { HEARTBEAT * 4 };
            recovery.completes_within(time) && recovery.ends()
        })
    }

    /// How many have been tried.
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Two servers and the network between them, which carries everything at once.
struct Recovery {
    now: Duration,
    sender: Running,
    receiver: Running,
    audit: Audit,
    /// Who has been told that the peer has left.
    left: [bool; 2],
    turns: usize,
}

/// A server whose threads run.
struct Running {
    incarnation: u64,
    /// None once both threads have ended.
    threads: Option<Threads>,
    output_wait: output::Wait,
    input_wait: input::Wait,
    input_due: Option<Duration>,
    /// Whether something has come in that the input thread has not looked at.
    arrived: bool,
}

impl Running {
    fn new(server: &Server, settings: Settings) -> Self {
        let threads = server.output.is_some().then(|| Threads::resume(server, settings, NOW));
        Self {
            incarnation: server.incarnation,
            threads,
            // In which state the threads wait is not known: each has one turn of its own accord.
            output_wait: output::Wait { until: NOW, outbox: true },
            input_wait: input::Wait { timeout: None, room: false },
            input_due: Some(NOW),
            arrived: false,
        }
    }

    /// When a thread runs although nothing has come.
    fn poll_timeout(&self) -> Option<Duration> {
        let threads = self.threads.as_ref()?;
        let input_due = self.input_due.filter(|_| threads.input.is_some());
        input_due.into_iter().chain([self.output_wait.until]).min()
    }

    fn output_is_due(&self, now: Duration) -> bool {
        let Some(threads) = &self.threads else { return false };
        now >= self.output_wait.until || threads.wakes_output(self.output_wait)
    }

    fn input_is_due(&mut self, now: Duration) -> bool {
        let Some(threads) = &self.threads else { return false };
        let Some(input) = &threads.input else { return false };
        let due = self.input_due.is_some_and(|due| now >= due);
        due || if self.input_wait.room {
            !threads.inbox.is_full() && input.has_room()
        } else {
            self.arrived || !threads.wake_ups.is_empty()
        }
    }
}

impl Recovery {
    /// All that the network held is lost.
    fn new(state: &State, settings: Settings) -> Self {
        let settings = Settings { linger: FOREVER, ..settings };
        Self {
            now: NOW,
            sender: Running::new(&state.sender, settings),
            receiver: Running::new(&state.receiver, settings),
            audit: state.audit.clone(),
            left: Side::BOTH.map(|side| state.server(side).has_left()),
            turns: 0,
        }
    }

    /// Whether all that was sent enters and is acknowledged within this time, and the two servers
    /// hear each other, unless one has ended.
    fn completes_within(&mut self, time: Duration) -> bool {
        self.runs_until(NOW + time, |it| it.audit.is_complete() && it.is_connected())
    }

    fn is_connected(&self) -> bool {
        let hears = |running: &Running, peer: &Running| {
            let listener = running.threads.as_ref().and_then(|it| it.output.link().listener());
            listener.map(Incarnation::to_wire) == Some(peer.incarnation)
        };
        let one_has_ended = self.sender.threads.is_none() || self.receiver.threads.is_none();
        one_has_ended || hears(&self.sender, &self.receiver) && hears(&self.receiver, &self.sender)
    }

    /// Whether both servers end in order within a few heartbeats when both applications have
    /// dropped their outboxes, and know of each other that they have left. One that has waited for
    /// its peer in vain may end before that hears of it, and one that has ended already does not
    /// count.
    fn ends(&mut self) -> bool {
        let (Some(sender), Some(receiver)) = (&mut self.sender.threads, &mut self.receiver.threads)
        else {
            return true;
        };
        sender.outbox = None;
        receiver.outbox = None;
        let vain = [sender, receiver].iter().any(|it| it.output.has_given_up());
        let time = if vain { PEER_TIMEOUT + HEARTBEAT } else { HEARTBEAT / 2 };
        let over = |it: &Self| it.sender.threads.is_none() && it.receiver.threads.is_none();
        let ended = self.runs_until(self.now + time, over);
        ended && self.audit.is_complete() && (vain || self.left == [true; 2])
    }

    fn running(&mut self, side: Side) -> &mut Running {
        match side {
            Side::Sender => &mut self.sender,
            Side::Receiver => &mut self.receiver,
        }
    }

    fn runs_until(&mut self, deadline: Duration, over: impl Fn(&Self) -> bool) -> bool {
        while self.turns < TURNS && self.audit.verdict == Verdict::Fine {
            let mut ran = false;
            for side in Side::BOTH {
                ran |= self.run_output(side);
                ran |= self.run_input(side);
            }
            if ran {
                continue;
            }
            if over(self) {
                return true;
            }
            let due = Side::BOTH.into_iter().filter_map(|side| self.running(side).poll_timeout());
            match due.collect::<Vec<_>>().into_iter().min() {
                Some(due) if due <= deadline => self.now = due,
                _ => return false,
            }
        }
        false
    }

    /// The output thread of this side has a turn, if it waits no longer.
    fn run_output(&mut self, side: Side) -> bool {
        let now = self.now;
        let running = self.running(side);
        if !running.output_is_due(now) {
            return false;
        }
        let Some(threads) = &mut running.threads else { return false };
        let listener = threads.output.link().listener();
        let next = threads.output.turn(now);
        let same = threads.output.link().listener() == listener;
        let speaker = listener.filter(|_| same).map(Incarnation::to_wire);
        let departures = threads.departures.clone();
        let events: Vec<_> = threads.events.try_iter().collect();
        let unsent = threads.outbox.as_ref().map_or(0, |outbox| outbox.len() as u64);
        let unsettled = unsent + pending(threads.output.link());
        match next {
            output::Next::Again => running.output_wait.until = now,
            output::Next::Wait(wait) => running.output_wait = wait,
            output::Next::End => {}
        }
        events.iter().for_each(|event| self.audit.note(event));
        if side == Side::Sender {
            self.settle(unsettled, speaker);
        }
        if next == output::Next::End {
            return self.end(side);
        }
        self.carry(side, &departures);
        self.turns += 1;
        true
    }

    fn settle(&mut self, unsettled: u64, speaker: Option<u64>) {
        let acknowledged = self.audit.pushed - unsettled;
        let present = speaker == Some(self.receiver.incarnation);
        self.audit.acknowledge(acknowledged, self.sender.incarnation, present);
    }

    fn end(&mut self, side: Side) -> bool {
        let now = self.now;
        let Some(threads) = self.running(side).threads.take() else { return false };
        let departures = threads.departures.clone();
        let reports = threads.output.end(now);
        if side == Side::Sender {
            let undelivered: usize = reports.iter().map(|report| report.undelivered.len()).sum();
            self.audit.report(undelivered as u64);
        }
        self.carry(side, &departures);
        true
    }

    fn carry(&mut self, from: Side, departures: &Receiver<Sent>) {
        let to = self.running(from.other());
        for sent in departures.try_iter() {
            if let (Sent::Frame(frame), Some(threads)) = (sent, &to.threads) {
                threads.arrivals.put(frame);
                to.arrived = true;
            }
        }
    }

    /// The input thread of this side has a turn, if it waits no longer, and the application reads.
    fn run_input(&mut self, side: Side) -> bool {
        let now = self.now;
        let running = self.running(side);
        if !running.input_is_due(now) {
            return false;
        }
        let Some(threads) = &mut running.threads else { return false };
        let Some(input) = &mut threads.input else { return false };
        let _ = threads.wake_ups.try_recv();
        running.arrived = false;
        let before = threads.inbox.len();
        let next = input.turn(now).unwrap();
        let entered: Vec<_> = threads.inbox.try_iter().skip(before).collect();
        let events: Vec<_> = threads.events.try_iter().collect();
        match next {
            input::Next::Again => running.input_due = Some(now),
            input::Next::Wait(wait) => {
                running.input_due = wait.timeout.map(|timeout| now + timeout);
                running.input_wait = wait;
            }
            input::Next::End => threads.input = None,
        }
        let sender = self.sender.incarnation;
        entered.iter().for_each(|envelope| self.audit.enter(envelope, sender));
        events.iter().for_each(|event| self.audit.note(event));
        self.left[side as usize] |= events.iter().any(|event| matches!(event, Event::Left(_)));
        self.turns += 1;
        true
    }
}
