//! Whether the way to a peer is shared by those who need it quick.

use std::time::Duration;

/// How long the way counts as shared after one who needs little of it has put something in.
const LASTS: Duration = Duration::from_millis(20);

/// While an outbox that needs little of the way puts something in behind what fills it, less is good
/// to be on the way: what is on it cannot be overtaken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sharing {
    /// Whether something was put in since the time was looked at.
    noted: bool,
    until: Duration,
}

impl Sharing {
    pub(super) fn note(&mut self) {
        self.noted = true;
    }

    pub(super) fn is_shared(&mut self, now: Duration) -> bool {
        if std::mem::take(&mut self.noted) {
            self.until = now + LASTS;
        }
        now < self.until
    }
}
