//! Waits that end. Each has a bound and says what it waited for, whatever hangs.

use std::convert::Infallible;
use std::fmt::Debug;
use std::io::{self, Write};
use std::process::abort;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use raft_cluster::{Receiver, Report, Server};

/// Longer than anything takes on a busy machine: a test that waits for it has failed.
pub const BOUND: Duration = Duration::from_secs(60);

/// Longer than any test takes as a whole.
pub const TEST_BOUND: Duration = Duration::from_secs(300);

/// Does what may hang. If it has not ended within the bound, the test program says what it waited
/// for and ends, with all its tests: a thread that hangs cannot be ended alone, and a test that
/// merely fails would hang again when it drops what hangs.
pub fn within<T>(bound: Duration, what: impl Into<String>, wait: impl FnOnce() -> T) -> T {
    let _watchdog = Watchdog::new(bound, what);
    wait()
}

/// Ends the test program if it lives longer than its bound.
pub struct Watchdog {
    /// Dropped to tell the thread that all is well.
    well: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub fn new(bound: Duration, what: impl Into<String>) -> Self {
        let (well, news) = bounded(0);
        let what = what.into();
        let test = thread::current().name().unwrap_or("a thread of a test").to_owned();
        let watch = move || {
            if news.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                give_up(&test, &what, bound);
            }
        };
        Self { well: Some(well), thread: Some(thread::spawn(watch)) }
    }

    /// Watches a test from its first line until all that it holds is dropped.
    pub fn of_this_test() -> Self {
        Self::new(TEST_BOUND, "all of it to end")
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.well = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell, and nothing in it panics.
            let _ = thread.join();
        }
    }
}

fn give_up(test: &str, what: &str, bound: Duration) -> ! {
    let line = format!("\n{test} waited {bound:?} in vain for {what}\n");
    // Written where the test runner hides nothing. If it cannot be written, the end says enough.
    let _ = io::stderr().write_all(line.as_bytes());
    abort();
}

/// Looks until what there is to see is as wanted, and returns it.
///
/// This is for what tells nobody that it has changed, such as the statistics of a server. Wherever
/// there is a channel to wait on, wait on that.
pub fn poll<T: Debug>(what: &str, mut look: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let started = Instant::now();
    loop {
        let seen = look();
        if wanted(&seen) {
            return seen;
        }
        assert!(started.elapsed() < BOUND, "waited in vain for {what}: {seen:?}");
        // There is nothing to sleep on. Those who are to bring it about may need this core.
        thread::yield_now();
    }
}

/// All that comes in until the channel ends. It is a failed test if neither happens for long.
pub fn until_end<T>(channel: &Receiver<T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(|| match channel.recv_timeout(BOUND) {
        Ok(item) => Some(item),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("nothing more comes in, and no end"),
    })
}

/// That the channel ends, and nothing more comes in before.
pub fn assert_ends<T: Debug>(channel: &Receiver<T>) {
    let next = until_end(channel).next();
    assert!(next.is_none(), "instead of the end came {next:?}");
}

/// Waits for the natural end of a server.
pub fn join(server: Server) -> Report {
    let what = format!("server {} to end by itself", server.pid());
    within(BOUND, what, || server.join())
}

/// Brings about the end of a server, and waits for it.
pub fn shut_down(server: Server) -> Report {
    let what = format!("the shutdown of server {}", server.pid());
    within(BOUND, what, || server.shutdown())
}
