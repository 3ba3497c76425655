//! What the fuzzer looks at.

use super::{Incoming, Presence};
use crate::frame::{Acknowledgement, Incarnation, Sequence};

impl Incoming {
    /// The process that is listened to, and the payload of it that enters the inbox next.
    pub(crate) fn progress(&self) -> Option<(Incarnation, Sequence)> {
        self.stream.as_ref().map(|stream| (stream.incarnation, stream.next().sequence))
    }

    /// What the sending half has to know.
    pub(crate) fn known(&self) -> (Presence, Acknowledgement) {
        (self.presence, self.ack_to_send())
    }
}
