//! The lead between a parent and its child: a pipe, which is the child's stdin.
//!
//! An empty line on it asks the child to leave. Any other line has a child of `--all` read its
//! files again, or send a test message, and a child of `--demo` sends it as if it had been typed.
//! The end of the pipe says that the parent is gone, however that came about, and ends the child at
//! once: so not even `kill -9` on the parent leaves children behind.

use std::io::{self, BufRead, Write};
use std::process::{self, ChildStdin};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use raft_cluster::{Envelope, Monitor};

use crate::signals::{INTERRUPTED, Orders};
use crate::watch::Tester;
use crate::{complain, terminal};

/// What has a child of `--all --watch` send a test message. Its lines end in a newline.
const TEST: &str = "test\n";

/// The parent's end. Dropping it ends the child at once.
pub(crate) struct Lead(ChildStdin);

impl Lead {
    pub(crate) fn new(stdin: ChildStdin) -> Self {
        Self(stdin)
    }

    /// Asks the child to leave in order.
    pub(crate) fn leave(&mut self) {
        self.write("\n");
    }

    /// Has a child of `--all` read its files again.
    ///
    /// A signal would end a child that has just been started and does not wait for it yet.
    pub(crate) fn reread(&mut self) {
        self.write("reread\n");
    }

    /// Has a child of `--all --watch` send a test message.
    pub(crate) fn test(&mut self) {
        self.write(TEST);
    }

    /// Has a child of `--demo` send what would be typed in these lines. Each ends in a newline.
    pub(crate) fn dictate(&mut self, lines: &str) {
        self.write(lines);
    }

    fn write(&mut self, text: &str) {
        // It fails when the child has already ended.
        let _ = self.0.write_all(text.as_bytes());
    }
}

/// The end of a child of `--all`: starts the thread that passes on what the parent says. One that is
/// watched has a tester, and stays until it is asked to leave.
pub(crate) fn follow(orders: Orders, mut tester: Option<Tester>) -> io::Result<()> {
    thread::Builder::new().name("lead".into()).spawn(move || {
        for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
            match (&line[..], &mut tester) {
                (b"", _) => drop(orders.leave.try_send(())),
                (line, Some(tester)) if line == TEST.trim_end().as_bytes() => {
                    if let Err(fault) = tester.send() {
                        complain(&fault.to_string());
                    }
                }
                _ => drop(orders.reread.try_send(())),
            }
        }
        process::exit(INTERRUPTED)
    })?;
    Ok(())
}

/// The end of a child of `--demo`: starts the thread that puts what the parent dictates in the
/// outbox. The channel that it returns ends, and the outbox with it, when the child is to leave.
pub(crate) fn take_dictation(
    outbox: Sender<Envelope>,
    monitor: Monitor,
) -> io::Result<Receiver<()>> {
    let (open, input) = bounded(0);
    thread::Builder::new().name("dictation".into()).spawn(move || {
        let mut open: Option<(Sender<()>, _)> = Some((open, outbox));
        for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
            let said = open.as_ref().filter(|_| !line.is_empty());
            if said.is_none_or(|(_, outbox)| terminal::send(line, outbox, &monitor).is_err()) {
                open = None;
            }
        }
        process::exit(INTERRUPTED)
    })?;
    Ok(input)
}
