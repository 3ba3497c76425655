//! The one way to the end of a server, which both threads follow.

use std::time::Duration;

/// How far a server is on the way to its end. The output thread decides, and tells the input thread
/// each stage by the control channel between them.
///
/// ```text
///         outbox ended          settled, or linger over        the inbox has ended,
///   Open ─────────────► Leaving ──────────────────────► Settled ─────────────────► both
///     │                    │                               │     and peers have    threads
///     │ stop               │ stop                          │ stop    parted        end
///     ▼                    ▼                               ▼                         ▲
///   Stopping ◄─────────────┘── settled, or linger over ─► Ending ────────────────────┘
///                                                               peers have parted
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// The application may still send.
    Open,
    /// The outbox has ended. What the peers still send is welcome.
    Leaving,
    /// The application wants the server to end: the outbox is closed, and the inbox does not stay.
    Stopping,
    /// All is acknowledged, or the linger time is over. The inbox stays until the peers have left.
    Settled,
    /// The same, and the inbox does not stay.
    Ending,
}

/// What the application tells the output thread. When it drops its end of the channel, the server is to
/// shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Both threads end where they stand, as if they were killed.
    #[cfg(feature = "testing")]
    Abort,
}

/// What brings a server closer to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All senders of the outbox are gone.
    OutboxEnded,
    /// The application shuts the server down.
    Stop,
    /// Everything that was accepted is acknowledged or given up.
    Settled,
    /// The linger time is over.
    LingerOver,
}

impl Stage {
    /// The stage after this step; none if the step changes nothing.
    pub(crate) fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Open, Step::OutboxEnded) => Some(Self::Leaving),
            (Self::Open | Self::Leaving, Step::Stop) => Some(Self::Stopping),
            (Self::Leaving, Step::Settled | Step::LingerOver) => Some(Self::Settled),
            (Self::Stopping, Step::Settled | Step::LingerOver) => Some(Self::Ending),
            (Self::Settled, Step::Stop) => Some(Self::Ending),
            _ => None,
        }
    }

    /// Whether the server still waits for its peers to acknowledge.
    pub(crate) fn lingers(self) -> bool {
        matches!(self, Self::Leaving | Self::Stopping)
    }
}

/// The stage of a server, and how long it may linger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifecycle {
    stage: Stage,
    linger: Duration,
    /// When the server began to leave.
    left_at: Duration,
}

impl Lifecycle {
    pub(crate) fn new(linger: Duration) -> Self {
        Self { stage: Stage::Open, linger, left_at: Duration::ZERO }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes a step. Returns the stage it leads to, if it changes anything.
    pub(crate) fn take(&mut self, step: Step, now: Duration) -> Option<Stage> {
        let next = self.stage.after(step)?;
        if self.stage == Stage::Open {
            self.left_at = now;
        }
        self.stage = next;
        Some(next)
    }

    /// The process did not run for `pause`, which does not count.
    pub(crate) fn handle_pause(&mut self, pause: Duration) {
        self.left_at += pause;
    }

    /// When the linger time is over, if it has begun and matters.
    pub(crate) fn linger_deadline(&self) -> Option<Duration> {
        self.stage.lingers().then(|| self.left_at.saturating_add(self.linger))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 5] =
        [Stage::Open, Stage::Leaving, Stage::Stopping, Stage::Settled, Stage::Ending];

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn every_step_leads_where_the_picture_says() {
        use Stage::{Ending, Leaving, Settled, Stopping};
        let table = [
            (Step::OutboxEnded, [Some(Leaving), None, None, None, None]),
            (Step::Stop, [Some(Stopping), Some(Stopping), None, Some(Ending), None]),
            (Step::Settled, [None, Some(Settled), Some(Ending), None, None]),
            (Step::LingerOver, [None, Some(Settled), Some(Ending), None, None]),
        ];
        for (step, after) in table {
            assert_eq!(STAGES.map(|stage| stage.after(step)), after, "{step:?}");
        }
    }

    #[test]
    fn the_linger_time_begins_once_and_ends_with_the_waiting() {
        let mut lifecycle = Lifecycle::new(at(500));
        assert_eq!(lifecycle.linger_deadline(), None);
        assert_eq!(lifecycle.take(Step::Settled, at(1)), None);
        assert_eq!(lifecycle.take(Step::OutboxEnded, at(2)), Some(Stage::Leaving));
        assert_eq!(lifecycle.take(Step::Stop, at(100)), Some(Stage::Stopping));
        assert_eq!(lifecycle.linger_deadline(), Some(at(502)));
        lifecycle.handle_pause(at(1_000));
        assert_eq!(lifecycle.linger_deadline(), Some(at(1_502)));
        assert_eq!(lifecycle.take(Step::LingerOver, at(502)), Some(Stage::Ending));
        assert_eq!(lifecycle.linger_deadline(), None);
        assert_eq!(lifecycle.stage(), Stage::Ending);
    }
}
