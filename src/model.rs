//! Every state that two servers can get into, within a small scope.
//!
//! One server sends, the other one acknowledges. Each of them can restart once, or be cut off for
//! so long that the other takes it for dead or its connection is replaced, or leave. The network
//! holds the last few frames of each direction, and delivers any of them never, now, later or
//! again. Time stands still, since it only decides when something may happen, and here everything
//! may happen at any moment.
//!
//! Each step is one turn of one thread, made by the code that runs:
//! [`Output::turn`](crate::output::Output) or [`Input::turn`](crate::input::Input), with the
//! channels between the threads and to the application as they are, over the memory transport.
//! Threads can neither be copied nor compared. So a state holds what they know and what is in the
//! channels as values ([`server`]), and for each step the threads are made from it, have their
//! turn, and are taken apart again.

mod audit;
mod interned;
mod recovery;
mod server;
mod state;
mod turns;

use std::time::Duration;

use stateright::{Checker, Model, Property};

use crate::envelope::Pid;
use crate::model::audit::Verdict;
use crate::model::recovery::Recoveries;
use crate::model::server::Settings;
use crate::model::state::State;
use crate::model::turns::Turns;

const NOW: Duration = Duration::from_secs(100);
const HEARTBEAT: Duration = Duration::from_secs(1);
const PEER_TIMEOUT: Duration = Duration::from_secs(5);
const RECONNECT_GRACE: Duration = Duration::from_millis(500);
const LINGER: Duration = Duration::from_secs(2);

/// When an acknowledgement that waits for company is due.
const ACKNOWLEDGED: Duration = Duration::from_millis(10);

/// When a connection that confirms nothing is replaced.
const RENEWED: Duration = Duration::from_secs(3);

/// When an end that waits for the peers to part waits no longer.
const PARTED: Duration = Duration::from_secs(1);

/// A piece of a batch with the one message there is, which travels in two then.
const PIECE: usize = 16;

/// The scope of a search.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// How many envelopes each process of the sender accepts.
    envelopes: usize,
    /// How many frames the network holds, on the way to the receiver and to the sender.
    frames: [usize; 2],
    /// How often a process goes back to resend.
    epochs: u32,
    settings: Settings,
    /// Whether the receiver's application always reads at once, else it does so when it likes.
    reads_at_once: bool,
    upsets: Upsets,
}

/// What happens to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upsets {
    /// Either restarts, once.
    Restarts,
    /// Either hears nothing for the peer timeout, or its connection is replaced, once.
    Cuts,
    /// The sender leaves or is shut down, and the receiver restarts once.
    Leaving,
    /// The sender restarts, and a frame reaches the receiver later than the peer timeout, once
    /// each.
    Late,
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
    /// The sender's application puts an envelope in the outbox.
    Push,
    /// The receiver's application takes an envelope out of the inbox.
    Read,
    /// The output thread has a turn, so long after the one before.
    Output(Side, Duration),
    /// The input thread has a turn, so long after the one before.
    Input(Side, Duration),
    /// The same, for the frame at this place of the network, which may come again.
    Deliver(Side, usize, Duration),
    Restart(Side),
    /// The application drops its outbox.
    Leave(Side),
    /// The application shuts the server down.
    Stop(Side),
}

/// A search through all of a scope.
struct Search {
    scope: Scope,
    turns: Turns,
    recoveries: Recoveries,
}

impl Search {
    fn new(scope: Scope) -> Self {
        Self { scope, turns: Turns::new(scope.settings), recoveries: Recoveries::default() }
    }

    /// What may happen to a server whatever the upsets.
    fn turns(side: Side, state: &State, actions: &mut Vec<Action>) {
        let server = state.server(side);
        if server.output.is_some() {
            let times = [Duration::ZERO, HEARTBEAT];
            actions.extend(times.map(|after| Action::Output(side, after)));
        }
        let Some(input) = &server.input else { return };
        actions.push(Action::Input(side, ACKNOWLEDGED));
        if input.parting {
            actions.push(Action::Input(side, PARTED));
        }
        let places = 0..state.arriving[side as usize].len();
        actions.extend(places.map(|place| Action::Deliver(side, place, Duration::ZERO)));
    }

    fn upsets(&self, side: Side, state: &State, actions: &mut Vec<Action>) {
        let fresh = !state.upset[side as usize];
        match (self.scope.upsets, side) {
            (Upsets::Leaving, Side::Sender) => Self::endings(side, state, actions),
            (Upsets::Restarts, _)
            | (Upsets::Leaving, Side::Receiver)
            | (Upsets::Late, Side::Sender)
                if fresh =>
            {
                actions.push(Action::Restart(side));
            }
            (Upsets::Cuts, _) if fresh => {
                actions.push(Action::Output(side, RENEWED));
                actions.push(Action::Input(side, PEER_TIMEOUT));
            }
            (Upsets::Late, Side::Receiver) if fresh => {
                let places = 0..state.arriving[side as usize].len();
                actions.extend(places.map(|place| Action::Deliver(side, place, PEER_TIMEOUT)));
            }
            _ => {}
        }
    }

    fn endings(side: Side, state: &State, actions: &mut Vec<Action>) {
        let server = state.server(side);
        if !server.leaving && !server.stopping {
            actions.extend([Action::Leave(side), Action::Stop(side)]);
        }
        if server.output.as_ref().is_some_and(|output| output.stage.lingers()) {
            actions.push(Action::Output(side, LINGER));
        }
    }

    /// Whether a thread that runs so late does so only once.
    fn is_upset(&self, after: Duration) -> bool {
        [RENEWED, PEER_TIMEOUT].contains(&after)
    }
}

impl Model for Search {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::start(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let open = !state.sender.leaving && !state.sender.stopping;
        if open && state.audit.pushed < self.scope.envelopes as u64 {
            actions.push(Action::Push);
        }
        if !state.receiver.inbox.is_empty() {
            actions.push(Action::Read);
        }
        for side in Side::BOTH {
            Self::turns(side, state, actions);
            self.upsets(side, state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Push => next.push(self),
            Action::Read => {
                next.act(Side::Receiver, self, |server| {
                    server.inbox.pop_front();
                });
            }
            Action::Output(side, after) => {
                next.upset[side as usize] |= self.is_upset(after);
                next.turn_output(side, after, self);
            }
            Action::Input(side, after) => {
                next.upset[side as usize] |= self.is_upset(after);
                next.turn_input(side, None, after, self);
            }
            Action::Deliver(side, place, after) => {
                next.upset[side as usize] |= self.is_upset(after);
                let frame = next.arriving[side as usize][place].clone();
                next.turn_input(side, Some(frame), after, self);
            }
            Action::Restart(side) => next.restart(side, self),
            Action::Leave(side) => next.act(side, self, |server| server.leaving = true),
            Action::Stop(side) => next.act(side, self, |server| server.stopping = true),
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("in order, once, and none left out", |_, state: &State| {
                state.audit.verdict == Verdict::Fine
            }),
            Property::always("what is acknowledged has entered", |_, state: &State| {
                state.audit.acknowledged <= state.audit.fresh
            }),
            Property::always("no deadlock", |search: &Self, state: &State| {
                search.recoveries.recovers(state, &search.scope)
            }),
            Property::sometimes("all is acknowledged after all upsets", |search, state: &State| {
                let [sender, receiver] = state.upset;
                let left = search.scope.upsets == Upsets::Leaving && state.sender.output.is_none();
                let acknowledged = state.audit.acknowledged == search.scope.envelopes as u64;
                acknowledged && receiver && (sender || left)
            }),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        let epochs = |side| state.server(side).output.as_ref().map(|output| output.link.epochs());
        Side::BOTH.into_iter().filter_map(epochs).all(|epochs| epochs <= self.scope.epochs)
    }
}

/// Searches all of a scope, and tells how much that was.
fn check(scope: Scope) {
    let checker = Search::new(scope).checker().spawn_bfs().join();
    let Search { turns, recoveries, .. } = checker.model();
    println!(
        "{} states, {} of them different; {} turns and {} recoveries: {scope:?}",
        checker.state_count(),
        checker.unique_state_count(),
        turns.count(),
        recoveries.count(),
    );
    checker.assert_properties();
}

/// One envelope for each process, two processes, one frame on the way in each direction.
fn scope(upsets: Upsets) -> Scope {
    let settings = Settings { inbox: 1, feedback: 1, linger: LINGER, max_frame: 1 << 20 };
    let (envelopes, frames, epochs) = (1, [1, 1], 2);
    Scope { envelopes, frames, epochs, settings, reads_at_once: true, upsets }
}

/// The same with an envelope that travels in two pieces.
fn in_pieces(upsets: Upsets) -> Scope {
    let scope = Scope { frames: [2, 1], ..scope(upsets) };
    Scope { settings: Settings { max_frame: PIECE, ..scope.settings }, ..scope }
}

#[test]
fn a_link_keeps_its_promises_in_every_state_although_both_ends_restart() {
    check(Scope { frames: [1, 2], ..scope(Upsets::Restarts) });
}

#[test]
fn a_payload_in_pieces_arrives_whole_in_every_state_although_both_ends_are_cut_off() {
    check(in_pieces(Upsets::Cuts));
}

#[test]
fn a_link_keeps_its_promises_in_every_state_although_both_ends_are_cut_off() {
    check(Scope { envelopes: 2, ..scope(Upsets::Cuts) });
}

#[test]
fn a_link_keeps_its_promises_in_every_state_although_a_frame_of_a_dead_process_comes() {
    check(Scope { frames: [2, 1], reads_at_once: false, ..scope(Upsets::Late) });
}

#[test]
fn a_server_leaves_in_order_from_every_state_although_its_peer_restarts() {
    check(scope(Upsets::Leaving));
}

#[test]
#[ignore = "takes more than a minute"]
fn a_link_keeps_its_promises_in_every_state_of_a_wider_scope() {
    check(Scope { frames: [2, 1], ..scope(Upsets::Restarts) });
    check(Scope { epochs: 3, reads_at_once: false, ..scope(Upsets::Restarts) });
    check(Scope { frames: [2, 2], reads_at_once: false, ..scope(Upsets::Cuts) });
    check(Scope { envelopes: 2, epochs: 3, reads_at_once: false, ..scope(Upsets::Cuts) });
    check(Scope { envelopes: 2, frames: [2, 1], ..scope(Upsets::Late) });
    check(Scope { frames: [1, 2], reads_at_once: false, ..scope(Upsets::Leaving) });
    for upsets in [Upsets::Restarts, Upsets::Late, Upsets::Leaving] {
        check(in_pieces(upsets));
    }
    for upsets in [Upsets::Restarts, Upsets::Cuts, Upsets::Late, Upsets::Leaving] {
        // Two pieces of feedback wait for the output thread, instead of one that keeps others back.
        let scope = scope(upsets);
        check(Scope { settings: Settings { feedback: 2, ..scope.settings }, ..scope });
    }
}
