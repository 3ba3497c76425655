//! How much libzmq holds of what a socket was given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bodies that libzmq holds for one socket: exactly, since each is counted until libzmq lets go
/// of it.
///
/// A peer that acknowledges what it does not read opens the window again and again, and each time
/// as much more would wait in libzmq. So a body is [lost](Self::admits) when there is no room for
/// it, and all that follow it are until libzmq holds nothing more: to the peer they are worth
/// nothing without it, and what is held is then a stretch of the stream without gaps. Of scattered
/// pieces each could keep the whole of a large message, of which only the piece is counted.
pub(super) struct Held {
    /// Only a number: nothing else is handed from one thread to another by it.
    bytes: Arc<AtomicUsize>,
    /// How many bytes there may be, unless it is a single body.
    most: usize,
    full: bool,
}

/// One body in the count, for as long as this lives.
pub(super) struct Counted {
    bytes: usize,
    sum: Arc<AtomicUsize>,
}

impl Held {
    /// Nothing is held yet, and later no more than `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Arc::default(), most, full: false }
    }

    /// Whether there is room for another body of `len` bytes. One is always taken.
    pub(super) fn admits(&mut self, len: usize) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.full = bytes > 0 && (self.full || bytes.saturating_add(len) > self.most);
        !self.full
    }

    /// Counts a body of `len` bytes.
    pub(super) fn count(&self, len: usize) -> Counted {
        self.bytes.fetch_add(len, Ordering::Relaxed);
        Counted { bytes: len, sum: self.bytes.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_there_may_be() {
        let mut held = Held::new(100);
        let take = |_| held.admits(30).then(|| held.count(30));
        let counted: Vec<_> = (0..5).filter_map(take).collect();
        assert_eq!(counted.len(), 3);
    }

    #[test]
    fn one_body_is_always_taken() {
        let mut held = Held::new(100);
        assert!(held.admits(1_000));
        let _counted = held.count(1_000);
        assert!(!held.admits(1));
    }

    #[test]
    fn what_follows_a_lost_body_is_lost_until_nothing_is_held() {
        let mut held = Held::new(100);
        let first = held.count(30);
        let second = held.count(60);
        assert!(!held.admits(30));
        drop(first);
        assert!(!held.admits(10));
        drop(second);
        assert!(held.admits(10));
    }
}
