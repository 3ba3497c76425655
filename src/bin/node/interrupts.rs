//! Ctrl-C and SIGTERM: the first asks the program to leave, a second one ends it at once.

use std::convert::Infallible;
use std::mem;
use std::process;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use crate::complain;

/// What a shell reports for a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: i32 = 130;

/// How long the program waits for its own announcement.
const PATIENCE: Duration = Duration::from_secs(1);

/// From now on an interrupt does not end the program but is told to `leave`.
///
/// The second one does not go that way: whoever reads the channel may be stuck, writing to a pipe
/// that nobody empties.
pub(crate) fn watch(leave: Sender<()>) -> Result<(), ctrlc::Error> {
    let mut asked = false;
    ctrlc::set_handler(move || {
        if mem::replace(&mut asked, true) {
            process::exit(INTERRUPTED);
        }
        announce();
        // A full channel says the same already.
        let _ = leave.try_send(());
    })
}

/// Says that the program is leaving, which it may have done right after. Where stderr is stuck, it
/// leaves without a word, and a second interrupt still finds a handler that is free.
fn announce() {
    let (said, is_said) = bounded::<Infallible>(0);
    let thread = thread::Builder::new().name("announcement".into()).spawn(move || {
        let _said = said;
        complain("leaving; interrupt again to end at once");
    });
    if thread.is_ok() {
        let _ = is_said.recv_timeout(PATIENCE);
    }
}
