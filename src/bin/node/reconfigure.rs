//! Another configuration for a server that runs: its files are read again when somebody asks for
//! it, and with `--watch-config` when they say something else.
//!
//! ```text
//!  signals, lead ── reread ──► reader ── request ──► the thread that has the server
//!                                 ▲                     │       │
//!                                 └────── outcome ──────┘       └──── outcome ──► one
//! ```
//!
//! The reader may wait for a file, or for stderr to take a complaint. Neither what arrives nor the
//! end of the server waits for it.

mod files;

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use raft_cluster::{Changes, Config, ReconfigureError, SecretKey, Server};

use self::files::Watch;
pub(crate) use self::files::{Files, Reading};
use crate::{chain, complain};

/// What came of a reading, or what is wrong and kept everything as it was.
pub(crate) type Outcome = Result<Changes, String>;

/// That a server is to go by what was read.
pub(crate) struct Request {
    reading: Reading,
    answer: Sender<Outcome>,
}

impl Request {
    /// Has the server go by it, and tells what came of that: first `tell`, which shows it, so that
    /// it is shown even where the server ends because of it. There is no outcome if it has ended.
    pub(crate) fn carry_out(self, server: &Server, tell: &Sender<Outcome>) {
        let changed = match (self.reading.config, self.reading.secret) {
            (Err(fault), _) | (_, Err(fault)) => Err(fault),
            (Ok(config), Ok(secret)) => match change(server, &config, secret) {
                Err(ReconfigureError::Ended) => return,
                changed => changed.map_err(|error| chain(&error)),
            },
        };
        if tell.send(changed.clone()).is_ok() {
            // There is room for the one answer, and the reader waits for it.
            let _ = self.answer.send(changed);
        }
    }
}

fn change(
    server: &Server,
    config: &Config,
    secret: Option<SecretKey>,
) -> Result<Changes, ReconfigureError> {
    match secret {
        Some(secret) => server.reconfigure_with_key(config, secret),
        None => server.reconfigure(config),
    }
}

/// Reads the files of a server again.
pub(crate) struct Reader {
    pub(crate) files: Files,
    pub(crate) told_to_reread: Receiver<()>,
    /// To whoever has the server.
    pub(crate) requests: Sender<Request>,
}

impl Reader {
    /// Starts the thread that reads as often as it is told to, until nobody takes its requests any
    /// more.
    pub(crate) fn start(self) -> io::Result<()> {
        self.spawn(None)
    }

    /// The same, and it reads too when the files say something else than what is known.
    pub(crate) fn start_to_watch(self, known: Reading) -> io::Result<()> {
        self.spawn(Some(Watch::new(known)))
    }

    fn spawn(self, watch: Option<Watch>) -> io::Result<()> {
        thread::Builder::new().name("reader".into()).spawn(move || self.run(watch))?;
        Ok(())
    }

    /// Whoever asks during a reading gets one more afterwards.
    fn run(self, mut watch: Option<Watch>) {
        while let Some(reading) = self.next(&mut watch) {
            let warnings = reading.config.iter().flat_map(Config::warnings);
            warnings.for_each(|warning| complain(&warning.to_string()));
            let (answer, answered) = bounded(1);
            if self.requests.send(Request { reading, answer }).is_err() {
                return;
            }
            if let Ok(Err(fault)) = answered.recv() {
                complain(&format!("{fault}; nothing was changed"));
            }
        }
    }

    /// Waits for the next reading that matters.
    fn next(&self, watch: &mut Option<Watch>) -> Option<Reading> {
        loop {
            let look = watch.as_ref().map_or_else(never, |watch| after(watch.pause()));
            select! {
                recv(self.told_to_reread) -> told => {
                    told.ok()?;
                    let reading = self.files.read();
                    if let Some(watch) = watch {
                        watch.know(reading.clone());
                    }
                    return Some(reading);
                }
                recv(look) -> _ => {
                    let reading = self.files.read();
                    if watch.as_mut().is_some_and(|watch| watch.is_news(&reading)) {
                        return Some(reading);
                    }
                }
            }
        }
    }
}
