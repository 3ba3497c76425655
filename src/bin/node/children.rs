//! Child processes, each a server. What they say and how they end comes as news, on one channel.
//!
//! ```text
//!          ┌─ child 1 ─┐
//!  leads ──┤     …     ├── stdout, stderr ── a thread each ── news ── the parent's main thread
//!          └─ child 5 ─┘
//! ```

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::Sender;
use raft_cluster::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::lead::Lead;
use crate::{INCOMPLETE, UNUSABLE, write_to_stderr};

/// What the parent hears of a child. A line ends in a newline.
pub(crate) enum News {
    Stdout(Pid, Vec<u8>),
    Stderr(Pid, Vec<u8>),
    /// The last.
    Ended(Pid, Ending),
}

/// The process of one server. Dropping it ends the process at once.
pub(crate) struct Process {
    pub(crate) lead: Lead,
    child: Arc<Mutex<Child>>,
}

impl Process {
    /// Starts this program again, with these arguments, and the threads that tell what it says.
    ///
    /// It has a process group of its own, so that a terminal's Ctrl-C reaches only the parent,
    /// which passes it on.
    pub(crate) fn start(
        pid: Pid,
        arguments: impl IntoIterator<Item = OsString>,
        tell: &Sender<News>,
    ) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::other("a child process has no pipes"));
        };
        let child = Arc::new(Mutex::new(child));

        let said = tell.clone();
        let complaints = thread::Builder::new()
            .name(format!("stderr of {pid}"))
            .spawn(move || pass_on(stderr, |line| said.send(News::Stderr(pid, line)).is_ok()))?;
        let (said, ending) = (tell.clone(), Arc::clone(&child));
        thread::Builder::new().name(format!("stdout of {pid}")).spawn(move || {
            pass_on(stdout, |line| said.send(News::Stdout(pid, line)).is_ok());
            let _ = complaints.join();
            let status = lock(&ending).wait();
            let _ = said.send(News::Ended(pid, Ending(status)));
        })?;
        Ok(Self { lead: Lead::new(stdin), child })
    }

    /// The number by which the system knows the process.
    pub(crate) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Ends the process by SIGKILL. One that has ended already stays as it is.
    pub(crate) fn kill(&self) -> io::Result<()> {
        lock(&self.child).kill()
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives every line to `tell`, until the stream ends or `tell` says that nobody listens.
fn pass_on(stream: impl Read, tell: impl Fn(Vec<u8>) -> bool) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut line) {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        if !tell(mem::take(&mut line)) {
            return;
        }
    }
}

/// How a process ended, if that could be learnt.
#[derive(Debug)]
pub(crate) struct Ending(io::Result<ExitStatus>);

impl Ending {
    /// The exit status, if it is one that this program promises. A process that was killed has
    /// none.
    pub(crate) fn promised(&self) -> Option<u8> {
        let code = self.0.as_ref().ok()?.code()?;
        u8::try_from(code).ok().filter(|&code| code <= UNUSABLE)
    }

    /// Whether it was by a signal that asks a process to end, as a terminal's interrupt is.
    pub(crate) fn is_by_interrupt(&self) -> bool {
        let signal = self.0.as_ref().ok().and_then(ExitStatusExt::signal);
        matches!(signal, Some(SIGINT | SIGTERM))
    }

    #[cfg(test)]
    pub(crate) fn by_signal(signal: i32) -> Self {
        Self(Ok(ExitStatus::from_raw(signal)))
    }

    /// What the parent is to end with because of it. Who died has left something undelivered.
    pub(crate) fn code(&self) -> u8 {
        self.promised().unwrap_or(INCOMPLETE)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(status) if status.signal().is_some() => write!(f, "has ended by {status}"),
            Ok(status) => write!(f, "has ended with {status}"),
            Err(error) => write!(f, "has ended, but it cannot be learnt how: {error}"),
        }
    }
}

/// Shows on stderr what a child has said there.
pub(crate) fn pass_complaint(label: &str, line: &[u8]) {
    write_to_stderr(&format!("{label}{}", String::from_utf8_lossy(line)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(raw: i32) -> Ending {
        Ending(Ok(ExitStatus::from_raw(raw)))
    }

    #[test]
    fn whatever_happens_to_a_child_gives_a_promised_status() {
        for code in 0..=2 {
            assert_eq!(ending(code << 8).promised(), Some(code as u8));
            assert_eq!(ending(code << 8).code(), code as u8);
        }
        for raw in [3 << 8, 101 << 8, 130 << 8, 255 << 8, 9, 15, 11 | 0x80] {
            assert_eq!((ending(raw).promised(), ending(raw).code()), (None, INCOMPLETE), "{raw}");
        }
        let unknown = Ending(Err(io::Error::other("no such child")));
        assert_eq!((unknown.promised(), unknown.code()), (None, INCOMPLETE));
    }

    #[test]
    fn an_ending_names_the_signal_or_the_status() {
        assert_eq!(ending(9).to_string(), "has ended by signal: 9 (SIGKILL)");
        assert_eq!(ending(101 << 8).to_string(), "has ended with exit status: 101");
    }
}
