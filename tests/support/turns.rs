//! Turns: tests that need the processor itself, and not only time, do not all run at once.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::waits::{TEST_BOUND, within};

/// How many such tests run at once for each core.
const FOR_EACH_CORE: usize = 2;

static TURNS: LazyLock<(Sender<()>, Receiver<()>)> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    bounded(cores * FOR_EACH_CORE)
});

/// The turn of a test, until it is dropped.
pub struct Turn(());

impl Turn {
    /// Waits for one.
    pub fn take() -> Self {
        within(TEST_BOUND, "its turn", || TURNS.0.send(())).unwrap();
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.1.recv().unwrap();
    }
}
