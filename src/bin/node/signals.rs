//! The signals: Ctrl-C and SIGTERM ask the program to leave, and a second one ends it at once.
//! SIGHUP has it read its files again.

use std::convert::Infallible;
use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::raise;

use crate::complain;
use crate::watch;

/// What a shell reports for a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: i32 = 130;

/// How long the program waits for its own announcement, and for the terminal to take what gives it
/// back.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether somebody has asked the program to leave.
static LEAVING: AtomicBool = AtomicBool::new(false);

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
                _ if interrupted => {
                    with_patience(watch::restore);
                    process::exit(INTERRUPTED);
                }
                _ => {
                    interrupted = true;
                    LEAVING.store(true, Ordering::Relaxed);
                    announce();
                    let _ = orders.leave.try_send(());
                }
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}

/// Interrupts the program, as the terminal does at Ctrl-C where that is not a key like others.
pub(crate) fn interrupt() {
    // It fails for signals only that there are not.
    let _ = raise(SIGINT);
}

/// Has the program leave in order. Asked again, it goes on doing so.
pub(crate) fn leave() {
    if !LEAVING.swap(true, Ordering::Relaxed) {
        interrupt();
    }
}

/// Says that the program is leaving, which it may have done right after. A watch says so itself.
fn announce() {
    if !watch::tell(watch::Note::Leaving) {
        with_patience(|| complain("leaving; interrupt again to end at once"));
    }
}

/// Writes to the terminal. Where that is stuck, the program goes on without it, and a second
/// interrupt still finds a thread that is free.
fn with_patience(write: impl FnOnce() + Send + 'static) {
    let (written, is_written) = bounded::<Infallible>(0);
    let thread = thread::Builder::new().name("announcement".into()).spawn(move || {
        let _written = written;
        write();
    });
    if thread.is_ok() {
        let _ = is_written.recv_timeout(PATIENCE);
    }
}
