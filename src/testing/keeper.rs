//! The thread of a network: it does what is to be done later.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::state::State;

/// A network, whose thread lives as long as this.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// None until somebody listens.
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do sooner than before, or no more.
    changed: Condvar,
}

impl Keeper {
    pub(super) fn new(seed: u64) -> Self {
        let shared = Shared { state: Mutex::new(State::new(seed)), changed: Condvar::new() };
        Self { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Has the thread run.
    pub(super) fn start(&self) -> io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let builder = thread::Builder::new().name("network".to_owned());
            *thread = Some(builder.spawn(move || shared.run())?);
        }
        Ok(())
    }

    /// Does something with the network, now.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.shared.lock();
        let done = act(&mut state, Instant::now());
        if state.take_hurry() {
            self.shared.changed.notify_one();
        }
        done
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It has nothing to tell, and a panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.ended {
            let now = Instant::now();
            let next = state.advance(now);
            state.take_hurry();
            state = match next {
                Some(at) => {
                    let timeout = at.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(state, timeout);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
