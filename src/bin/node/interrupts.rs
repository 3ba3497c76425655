//! Ctrl-C and SIGTERM: the first asks the program to leave, a second one ends it at once.

use std::mem;
use std::process;

use crossbeam_channel::Sender;

use crate::complain;

/// What a shell reports for a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: i32 = 130;

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
        // A full channel says the same already.
        let _ = leave.try_send(());
        complain("leaving; interrupt again to end at once");
    })
}
