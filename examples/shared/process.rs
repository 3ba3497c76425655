//! Processes of this same program, each in a role of its own, and how they and their parent talk:
//! each thing that is said is a line of JSON.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio, exit};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;

/// A child process, as its parent sees it. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    /// Passes on what it tells.
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts this program again as `--role`, and passes on what it tells.
    pub(crate) fn start<News: DeserializeOwned>(
        role: &impl Serialize,
        mut hear: impl FnMut(News) + Send + 'static,
    ) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--role", &serde_json::to_string(role)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("a child has no stdin")?;
        let stdout = child.stdout.take().ok_or("a child has no stdout")?;
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                // One that was killed may have been cut short.
                let Ok(news) = serde_json::from_str(&line) else { return };
                hear(news);
            }
        });
        Ok(Self { child, stdin, reader: Some(reader) })
    }

    /// The number by which the system knows it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn order(&mut self, order: &impl Serialize) -> Result<()> {
        Ok(self.stdin.write_all(&line(order)?)?)
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until all is passed on that it has told. It has to have ended.
    pub(crate) fn hear_out(&mut self) -> Result<()> {
        let reader = self.reader.take();
        Ok(reader.map_or(Ok(()), JoinHandle::join).map_err(|_| "a reader panicked")?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the parent orders, for a child process, which ends with its parent: nobody is left to work
/// for.
pub(crate) fn orders<Order: DeserializeOwned + Send + 'static>() -> Receiver<Order> {
    let (pass_on, orders) = bounded(1);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(std::result::Result::ok) {
            let Ok(order) = serde_json::from_str(&line) else { break };
            // It may be about to end, and the parent may still go.
            let _ = pass_on.send(order);
        }
        exit(1);
    });
    orders
}

/// Tells the parent.
pub(crate) fn tell(news: &impl Serialize) -> Result<()> {
    Ok(io::stdout().write_all(&line(news)?)?)
}

fn line(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
