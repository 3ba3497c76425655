//! A running `node`, its output read line by line, killed when it is dropped.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

/// How long a test waits for what must come, whatever else comes before. It is not reached unless
/// something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process in a group of its own, as a shell starts it.
pub(crate) struct Process {
    group: Pid,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
    exit: Receiver<ExitStatus>,
}

impl Process {
    /// Starts the command; stdout and stderr are read unless the command sets stdout itself.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let group = Pid::from_raw(child.id().try_into().unwrap());
        let stdout = Lines::of(child.stdout.take());
        let stderr = Lines::of(child.stderr.take());
        Self { group, stdout, stderr, exit: exit_of(child) }
    }

    /// Sends a signal to the process and all of its group, as a terminal does.
    pub(crate) fn signal(&self, signal: Signal) {
        signal::killpg(self.group, signal).unwrap();
    }

    /// The number by which the system knows the process.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> Pid {
        // It leads its group.
        self.group
    }

    /// Waits until the process has ended.
    pub(crate) fn status(&self) -> ExitStatus {
        self.exit.recv_timeout(PATIENCE).expect("the process ends")
    }

    /// The exit status of the process once it has ended, and all that it had still to say.
    pub(crate) fn finish(self) -> Finished {
        let code = self.status().code();
        Finished { code, stdout: self.stdout.rest(), stderr: self.stderr.rest() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left of the group when the process has ended.
        let _ = signal::killpg(self.group, Signal::SIGKILL);
    }
}

fn exit_of(mut child: Child) -> Receiver<ExitStatus> {
    let (told, exit) = bounded(1);
    thread::spawn(move || told.send(child.wait().unwrap()));
    exit
}

/// What a process leaves behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

/// The lines of a stream, read as they come.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let (read, lines) = unbounded();
        if let Some(stream) = stream {
            thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.into_iter().try_for_each(|line| read.send(line))
            });
        }
        Self(lines)
    }

    /// The lines up to and with the first that contains `text`.
    pub(crate) fn until(&self, text: &str) -> Vec<String> {
        self.until_all(&[text])
    }

    /// The lines until each of these texts is in one of them, in whatever order they come.
    pub(crate) fn until_all(&self, texts: &[impl AsRef<str> + Debug]) -> Vec<String> {
        let (mut lines, late) = (Vec::<String>::new(), Instant::now() + PATIENCE);
        while !texts.iter().all(|text| lines.iter().any(|line| line.contains(text.as_ref()))) {
            match self.0.recv_deadline(late) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("instead of {texts:?} came {lines:#?}: {error}"),
            }
        }
        lines
    }

    /// The lines up to the end of the stream.
    pub(crate) fn rest(&self) -> Vec<String> {
        let (mut lines, late) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            match self.0.recv_deadline(late) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(RecvTimeoutError::Timeout) => panic!("there is no end to {lines:#?}"),
            }
        }
    }
}

/// A line of `--json` without its time, which must be the last field.
pub(crate) fn untimed(line: &str) -> String {
    let (rest, _) = line.rsplit_once(r#","at":"#).unwrap_or_else(|| panic!("no time in {line}"));
    time(line);
    format!("{rest}}}")
}

/// The time of a line of `--json`, in seconds since the start of the server.
pub(crate) fn time(line: &str) -> f64 {
    let object: Value = serde_json::from_str(line).unwrap();
    object["at"].as_f64().unwrap_or_else(|| panic!("the time in {line} is no number"))
}
