//! The attempts of one socket to connect, as libzmq's monitor tells of them.

use std::time::Duration;

use zmq::SocketEvent;

use super::outlet::CONNECT_MS;
use crate::transport::ConnectionFailure;
use crate::transport::connection::ConnectionEvent;

/// How long an attempt takes that gets no answer, at least. It says no more than that the peer is
/// silent.
const UNANSWERED: Duration = Duration::from_millis(CONNECT_MS.unsigned_abs() as u64 / 2);

/// Which attempts were refused, and how the others failed.
///
/// ```text
///             delayed             connected                succeeded
///   idle ────────────► connecting ─────────► greeting ──────────────────► idle
///    ▲                    │ closed              │ disconnected
///    └────────────────────┴─────────────────────┘
///          refused, or unanswered       not the peer, or unanswered
/// ```
pub(super) struct Attempts {
    at_path: bool,
    stage: Stage,
    /// Of each kind in its place, those that were not told yet.
    failures: [u32; ConnectionFailure::COUNT],
}

#[derive(Clone, Copy)]
enum Stage {
    Idle,
    /// Since then it is on its way through the network.
    Connecting(Duration),
    /// Since then there is a connection, on which the other side is to greet.
    Greeting(Duration),
}

impl Attempts {
    pub(super) fn new(at_path: bool) -> Self {
        Self { at_path, stage: Stage::Idle, failures: [0; ConnectionFailure::COUNT] }
    }

    /// What libzmq's event says of the connection, if anything.
    pub(super) fn interpret(
        &mut self,
        event: SocketEvent,
        now: Duration,
    ) -> Option<ConnectionEvent> {
        match event {
            SocketEvent::CONNECT_DELAYED => {
                self.stage = Stage::Connecting(now);
                None
            }
            SocketEvent::CONNECTED => {
                self.stage = Stage::Greeting(now);
                Some(ConnectionEvent::Made)
            }
            SocketEvent::HANDSHAKE_SUCCEEDED => {
                self.stage = Stage::Idle;
                None
            }
            SocketEvent::DISCONNECTED => {
                self.handle_end(now);
                Some(ConnectionEvent::Closed)
            }
            SocketEvent::CLOSED => Some(self.handle_failure(now)),
            _ => None,
        }
    }

    /// A connection has ended, before or after the greeting.
    fn handle_end(&mut self, now: Duration) {
        if let Stage::Greeting(since) = std::mem::replace(&mut self.stage, Stage::Idle) {
            let answered = now < since + UNANSWERED;
            self.note(if answered {
                ConnectionFailure::Handshake
            } else {
                ConnectionFailure::Unanswered
            });
        }
    }

    /// None could be made.
    fn handle_failure(&mut self, now: Duration) -> ConnectionEvent {
        // One that fails before it gets to the network, for want of ports for instance, says
        // nothing of the peer. Only paths know at once.
        let answered = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Connecting(since) => now < since + UNANSWERED,
            Stage::Idle | Stage::Greeting(_) => false,
        };
        if answered || self.at_path {
            self.note(ConnectionFailure::Refused);
            ConnectionEvent::Refused
        } else {
            self.note(ConnectionFailure::Unanswered);
            ConnectionEvent::Failed
        }
    }

    /// The socket is gone, and with it what was on its way.
    pub(super) fn give_up(&mut self) {
        if !matches!(std::mem::replace(&mut self.stage, Stage::Idle), Stage::Idle) {
            self.note(ConnectionFailure::Unanswered);
        }
    }

    fn note(&mut self, failure: ConnectionFailure) {
        let count = &mut self.failures[failure as usize];
        *count = count.saturating_add(1);
    }

    /// The next attempt that failed.
    pub(super) fn poll_failure(&mut self) -> Option<ConnectionFailure> {
        use ConnectionFailure::{Handshake, Refused, Unanswered};
        let failure = [Refused, Unanswered, Handshake]
            .into_iter()
            .find(|failure| self.failures[*failure as usize] > 0)?;
        self.failures[failure as usize] -= 1;
        Some(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionFailure::{Handshake, Refused, Unanswered};
    use SocketEvent::{CLOSED, CONNECT_DELAYED, CONNECTED, DISCONNECTED, HANDSHAKE_SUCCEEDED};

    fn play(at_path: bool, events: &[(u64, SocketEvent)]) -> (Vec<ConnectionEvent>, Attempts) {
        let mut attempts = Attempts::new(at_path);
        let interpret = |(millis, event): &(u64, SocketEvent)| {
            attempts.interpret(*event, Duration::from_millis(*millis))
        };
        (events.iter().filter_map(interpret).collect(), attempts)
    }

    /// What libzmq's events say, which come at these times, in milliseconds.
    fn interpret(at_path: bool, events: &[(u64, SocketEvent)]) -> Vec<ConnectionEvent> {
        play(at_path, events).0
    }

    /// The failures that they show.
    fn failures(at_path: bool, events: &[(u64, SocketEvent)]) -> Vec<ConnectionFailure> {
        let (_, mut attempts) = play(at_path, events);
        std::iter::from_fn(|| attempts.poll_failure()).collect()
    }

    #[test]
    fn an_attempt_is_refused_if_it_fails_soon() {
        use ConnectionEvent::{Closed, Made, Refused};
        let made = [(0, CONNECT_DELAYED), (1, CONNECTED), (5, DISCONNECTED)];
        assert_eq!(interpret(false, &made), [Made, Closed]);
        assert_eq!(interpret(false, &[(15, CONNECT_DELAYED), (16, CLOSED)]), [Refused]);
    }

    #[test]
    fn an_attempt_without_an_answer_is_not_refused() {
        let events = [(15, CONNECT_DELAYED), (1_015, CLOSED)];
        assert_eq!(interpret(false, &events), [ConnectionEvent::Failed]);
        assert_eq!(failures(false, &events), [Unanswered]);
    }

    #[test]
    fn what_fails_before_the_network_is_no_refusal_but_at_a_path() {
        let events = [(0, CONNECT_DELAYED), (1, CLOSED), (10, CLOSED)];
        assert_eq!(interpret(false, &events), [ConnectionEvent::Refused, ConnectionEvent::Failed]);
        assert_eq!(interpret(true, &events), [ConnectionEvent::Refused; 2]);
        assert_eq!(failures(false, &events), [Refused, Unanswered]);
        assert_eq!(failures(true, &events), [Refused; 2]);
    }

    #[test]
    fn one_that_ends_before_the_greeting_met_another_program_or_one_that_says_nothing() {
        let greeted = [(0, CONNECT_DELAYED), (1, CONNECTED), (2, HANDSHAKE_SUCCEEDED)];
        let ended = [&greeted[..], &[(3, DISCONNECTED)]].concat();
        assert_eq!(failures(false, &ended), []);
        let [soon, late] = [(3, DISCONNECTED), (5_001, DISCONNECTED)];
        assert_eq!(failures(false, &[&greeted[..2], &[soon]].concat()), [Handshake]);
        assert_eq!(failures(false, &[&greeted[..2], &[late]].concat()), [Unanswered]);
    }

    #[test]
    fn one_whose_socket_is_given_up_was_unanswered() {
        let events = [(0, CONNECT_DELAYED), (1, CONNECTED), (2, HANDSHAKE_SUCCEEDED)];
        for (played, left) in [(0, None), (1, Some(Unanswered)), (2, Some(Unanswered)), (3, None)] {
            let (_, mut attempts) = play(false, &events[..played]);
            attempts.give_up();
            assert_eq!(attempts.poll_failure(), left, "after {played} events");
        }
    }
}
