//! What becomes of the connection to a peer, and when nobody listens there any more.
//!
//! When a process dies its kernel closes its connections at once and refuses new ones, which tells
//! of the death long before the silence does.

use std::time::Duration;

/// What happened to the connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEvent {
    Made,
    /// The other side has closed it, or its kernel has.
    Closed,
    /// The other side has refused another.
    Refused,
    /// An attempt to make one failed otherwise, which says nothing of the peer.
    Failed,
}

/// The connection to one peer, as its events tell.
///
/// ```text
///           made               closed             refused, failed
///   Never ────────► Connected ────────► Closed ──────────────┐
///                       ▲                 │ ▲                │
///                       └─────────────────┘ └────────────────┘
///                              made
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Never,
    Connected,
    Closed {
        /// Since when the peer may be gone: what fails otherwise is not held against it.
        since: Duration,
        /// Whether it was refused since that was told last.
        refused: bool,
    },
}

impl Connection {
    /// Takes note of an event, seen now.
    pub(super) fn handle(&mut self, event: ConnectionEvent, now: Duration) {
        match (event, &mut self.state) {
            (ConnectionEvent::Made, state) => *state = State::Connected,
            (ConnectionEvent::Closed, state @ State::Connected)
            | (ConnectionEvent::Failed, state @ State::Closed { .. }) => {
                *state = State::Closed { since: now, refused: false };
            }
            (ConnectionEvent::Refused, State::Closed { refused, .. }) => *refused = true,
            // One that was never made and cannot be says that the peer is still to come.
            (ConnectionEvent::Closed | ConnectionEvent::Refused | ConnectionEvent::Failed, _) => {}
        }
    }

    /// How long ago the connection was closed, or an attempt got no answer since, if another has
    /// been refused since this was asked last. To be asked when all events there are have been
    /// [handled](Self::handle): the last of them may be that the peer is back.
    pub(super) fn take_refusal(&mut self, now: Duration) -> Option<Duration> {
        let State::Closed { since, refused } = &mut self.state else { return None };
        std::mem::take(refused).then(|| now.saturating_sub(*since))
    }

    /// How long the peer has been without a connection, if there has ever been one.
    pub(super) fn closed_for(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Never => None,
            State::Connected => Some(Duration::ZERO),
            State::Closed { since, .. } => Some(now.saturating_sub(since)),
        }
    }

    /// The process did not run for `pause`.
    pub(super) fn handle_pause(&mut self, pause: Duration) {
        if let State::Closed { since, .. } = &mut self.state {
            *since += pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectionEvent::{Closed, Failed, Made, Refused};
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// For how long the peer has refused connections, whenever that is asked after an event, in
    /// milliseconds.
    fn refusals(events: &[(u64, ConnectionEvent)]) -> Vec<u128> {
        let mut connection = Connection::default();
        let told = events.iter().map(|(millis, event)| {
            connection.handle(*event, at(*millis));
            connection.take_refusal(at(*millis))
        });
        told.flatten().map(|refused_for| refused_for.as_millis()).collect()
    }

    #[test]
    fn a_peer_refuses_once_its_side_has_closed_the_connection() {
        let events = [(1, Made), (5, Closed), (15, Refused), (205, Refused), (405, Refused)];
        assert_eq!(refusals(&events), [10, 200, 400]);
        // And not before it was ever there.
        assert!(refusals(&events[2..]).is_empty());
    }

    #[test]
    fn one_that_is_back_does_not_refuse() {
        let events = [(1, Made), (5, Closed), (6, Made), (7, Refused), (8, Made), (9, Closed)];
        assert!(refusals(&events).is_empty());
        let mut connection = Connection::default();
        for event in [Made, Closed, Refused, Made] {
            connection.handle(event, at(1));
        }
        assert_eq!(connection.take_refusal(at(1_000)), None);
    }

    #[test]
    fn it_does_not_refuse_while_attempts_get_no_answer() {
        let events = [(1, Made), (5, Closed), (1_005, Failed), (1_015, Refused)];
        assert_eq!(refusals(&events), [10]);
    }

    #[test]
    fn a_pause_of_the_process_is_none_of_the_peers() {
        let mut connection = Connection::default();
        connection.handle(Made, at(1));
        connection.handle(Closed, at(5));
        connection.handle(Refused, at(7));
        connection.handle_pause(at(3_000));
        assert_eq!(connection.take_refusal(at(3_010)), Some(at(5)));
        assert_eq!(connection.take_refusal(at(3_010)), None);
    }
}
