//! A payload that comes in fragments.

use crate::frame::{Payload, Whole};
use crate::wire;

/// The fragments of one payload, as far as they have come, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Assembly {
    whole: Whole,
    body: Vec<u8>,
}

impl Assembly {
    pub(super) fn new(whole: Whole) -> Self {
        Self { whole, body: Vec::new() }
    }

    /// Whether a frame is of this payload, as far as it says.
    pub(super) fn is_of(&self, whole: Whole) -> bool {
        self.whole == whole
    }

    /// How many bytes have come.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.body.len()).unwrap_or(u32::MAX)
    }

    /// Adds a fragment, of which some may have come before. Returns how many bytes are there now.
    pub(super) fn append(&mut self, offset: u32, fragment: &[u8]) -> u32 {
        let known = self.body.len().saturating_sub(offset as usize);
        let fresh = fragment.get(known..).unwrap_or_default();
        self.reserve(fresh.len());
        self.body.extend_from_slice(fresh);
        self.len()
    }

    /// Memory grows with what has come, not with what is promised, and not beyond that.
    fn reserve(&mut self, bytes: usize) {
        if self.body.capacity() - self.body.len() < bytes {
            let left = self.whole.len as usize - self.body.len();
            self.body.reserve_exact(bytes.max(self.body.len()).min(left));
        }
    }

    /// The payload, if it is what its fragments said.
    pub(super) fn finish(self) -> Option<Payload> {
        wire::assemble(self.whole, self.body.into())
    }
}
