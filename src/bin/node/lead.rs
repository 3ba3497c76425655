//! The lead between the parent of `--all` and a child: a pipe, which is the child's stdin.
//!
//! A byte on it asks the child to leave. Its end says that the parent is gone, however that came
//! about, and ends the child at once: so not even `kill -9` on the parent leaves children behind.

use std::io::{self, Read, Write};
use std::process::{self, ChildStdin};
use std::thread;

use crossbeam_channel::Sender;

use crate::interrupts::INTERRUPTED;

/// The parent's end. Dropping it ends the child at once.
pub(crate) struct Lead(ChildStdin);

impl Lead {
    pub(crate) fn new(stdin: ChildStdin) -> Self {
        Self(stdin)
    }

    /// Asks the child to leave in order.
    pub(crate) fn leave(&mut self) {
        // It fails when the child has already ended.
        let _ = self.0.write_all(b"\n");
    }
}

/// The child's end: starts the thread that passes on to `leave` what the parent says on stdin.
pub(crate) fn follow(leave: Sender<()>) -> io::Result<()> {
    thread::Builder::new().name("lead".into()).spawn(move || {
        while let Ok(1..) = io::stdin().read(&mut [0]) {
            let _ = leave.try_send(());
        }
        process::exit(INTERRUPTED)
    })?;
    Ok(())
}
