//! Another configuration for a server that runs: its files are read again when somebody asks for it.
//!
//! ```text
//!  signals, lead ── reread ──► reader ── request ──► the thread that has the server
//!                               │  ▲                    │
//!      one ◄────── outcome ─────┘  └────── answer ──────┘
//! ```
//!
//! The reader may wait for a file, or for stderr to take a complaint. Neither what arrives nor the
//! end of the server waits for it.

use std::io;
use std::path::PathBuf;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use raft_cluster::{Changes, Config, KeyFileError, Pid, ReconfigureError, SecretKey, Server};

use crate::args::Arguments;
use crate::{chain, complain, keygen};

/// What came of a reading, or what is wrong and kept everything as it was.
pub(crate) type Outcome = Result<Changes, String>;

/// Where a server's configuration and its key lie.
pub(crate) struct Files {
    pid: Pid,
    config: PathBuf,
    secret_key: Option<PathBuf>,
}

impl Files {
    pub(crate) fn of(arguments: &Arguments, pid: Pid) -> Self {
        let (config, secret_key) = (arguments.config.clone(), arguments.secret_key.clone());
        Self { pid, config, secret_key }
    }

    /// The server's key, if it is to have one.
    pub(crate) fn secret_key(&self) -> Result<Option<SecretKey>, KeyFileError> {
        self.secret_key.as_ref().map(|path| keygen::load(path, self.pid)).transpose()
    }

    /// What the files say. The warnings are on stderr by then.
    fn read(&self) -> Result<(Config, Option<SecretKey>), String> {
        let config = Config::load(&self.config).map_err(|error| chain(&error))?;
        config.warnings().iter().for_each(|warning| complain(&warning.to_string()));
        let secret = self.secret_key().map_err(|error| chain(&error))?;
        Ok((config, secret))
    }
}

/// What a server is to go by.
pub(crate) struct Request {
    config: Config,
    secret: Option<SecretKey>,
    answer: Sender<Result<Changes, ReconfigureError>>,
}

impl Request {
    pub(crate) fn carry_out(self, server: &Server) {
        let changed = match self.secret {
            Some(secret) => server.reconfigure_with_key(&self.config, secret),
            None => server.reconfigure(&self.config),
        };
        // There is room for the one answer, and the reader waits for it.
        let _ = self.answer.send(changed);
    }
}

/// Starts the thread that reads the files as often as it is `told_to_reread`, until `requests` are
/// not taken any more. What came of it is on the channel that is returned.
pub(crate) fn start_reader(
    files: Files,
    told_to_reread: Receiver<()>,
    requests: Sender<Request>,
) -> io::Result<Receiver<Outcome>> {
    let (outcomes, told) = bounded(0);
    let reader = Reader { files, told_to_reread, requests, outcomes };
    thread::Builder::new().name("reader".into()).spawn(move || reader.run())?;
    Ok(told)
}

struct Reader {
    files: Files,
    told_to_reread: Receiver<()>,
    requests: Sender<Request>,
    outcomes: Sender<Outcome>,
}

impl Reader {
    /// Whoever asks during a reading gets one more afterwards.
    fn run(self) {
        while self.told_to_reread.recv().is_ok() {
            let Some(outcome) = self.reconfigure() else { return };
            if let Err(fault) = &outcome {
                complain(&format!("{fault}; nothing was changed"));
            }
            if self.outcomes.send(outcome).is_err() {
                return;
            }
        }
    }

    /// Has the server go by what the files say. There is no outcome if it has ended, or is about to.
    fn reconfigure(&self) -> Option<Outcome> {
        let (config, secret) = match self.files.read() {
            Ok(read) => read,
            Err(fault) => return Some(Err(fault)),
        };
        let (answer, answered) = bounded(1);
        self.requests.send(Request { config, secret, answer }).ok()?;
        match answered.recv().ok()? {
            Err(ReconfigureError::Ended) => None,
            answer => Some(answer.map_err(|error| chain(&error))),
        }
    }
}
