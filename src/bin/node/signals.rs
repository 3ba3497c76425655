//! The signals: Ctrl-C and SIGTERM ask the program to leave, and a second one ends it at once.
//! SIGHUP has it read its files again.

use std::convert::Infallible;
use std::io;
use std::mem;
use std::process;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::complain;

/// What a shell reports for a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: i32 = 130;

/// How long the program waits for its own announcement.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where it is told what a process is to do. A channel that is full says the same already.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) leave: Sender<()>,
    pub(crate) reread: Sender<()>,
}

/// From now on an interrupt does not end the program but is told to `leave`, and SIGHUP to `reread`
/// until then.
///
/// The second interrupt does not go that way: whoever reads the channel may be stuck, writing to a
/// pipe that nobody empties.
pub(crate) fn watch(orders: Orders) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let watch = move || {
        let mut interrupted = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP if interrupted => {}
                SIGHUP => drop(orders.reread.try_send(())),
                _ if mem::replace(&mut interrupted, true) => process::exit(INTERRUPTED),
                _ => {
                    announce();
                    let _ = orders.leave.try_send(());
                }
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}

/// Says that the program is leaving, which it may have done right after. Where stderr is stuck, it
/// leaves without a word, and a second interrupt still finds a thread that is free.
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
