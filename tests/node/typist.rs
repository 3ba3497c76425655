//! A server at a terminal, and who types there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::cluster::Cluster;
use crate::process::{Finished, Process};

/// A server and the keyboard of its terminal.
pub(crate) struct Typist {
    keyboard: File,
    pub(crate) server: Process,
}

impl Typist {
    /// Server `pid` of the cluster, with these arguments more.
    pub(crate) fn of(cluster: &Cluster, pid: u32, arguments: &[&str]) -> Self {
        let own = ["--linger=20", "--pid", &pid.to_string()];
        Self::at(&mut cluster.command(&[&own, arguments].concat()))
    }

    /// The same for all of these, once each has received the greetings of the others.
    pub(crate) fn all_of(cluster: &Cluster, pids: &[u32], arguments: &[&str]) -> Vec<Self> {
        let typists: Vec<_> = pids.iter().map(|&pid| Self::of(cluster, pid, arguments)).collect();
        for (pid, typist) in pids.iter().zip(&typists) {
            let others = pids.iter().filter(|other| *other != pid);
            let greetings = others.map(|other| format!("peer {other} to all: hello there"));
            typist.server.stdout.until_all(&greetings.collect::<Vec<_>>());
        }
        typists
    }

    pub(crate) fn at(command: &mut Command) -> Self {
        let (keyboard, slave) = open_terminal().unwrap();
        // Nobody reads the echo.
        let mut modes = tcgetattr(&slave).unwrap();
        modes.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&slave, SetArg::TCSANOW, &modes).unwrap();
        let server = Process::spawn(command.stdin(slave));
        server.stderr.until("a line typed goes to all");
        Self { keyboard, server }
    }

    pub(crate) fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Ctrl-D, which a terminal turns into the end of input.
    pub(crate) fn ends_input(&mut self) {
        self.keyboard.write_all(b"\x04").unwrap();
    }

    /// Has the server read its files, and waits until it says that they say this.
    pub(crate) fn rereads(&self, changes: &str) {
        self.server.signal(Signal::SIGHUP);
        self.has_reread(changes);
    }

    /// Waits until the server says what has changed, and that it is this.
    pub(crate) fn has_reread(&self, changes: &str) {
        let lines = self.server.stdout.until("has read its configuration again: ");
        assert!(lines[lines.len() - 1].ends_with(&format!(": {changes}")), "{lines:#?}");
    }

    /// Waits until the server complains, and that it is about this, and keeps everything as it was.
    pub(crate) fn complains(&self, fault: &str) {
        let line = &self.server.stderr.until("")[0];
        assert!(line.starts_with("node: ") && line.contains(fault), "{line}");
        assert!(line.ends_with("; nothing was changed"), "{line}");
    }

    /// Closes the terminal, and returns the server.
    pub(crate) fn hangs_up(self) -> Process {
        self.server
    }
}

/// Servers 1 and 2 hear each other.
pub(crate) fn talk(typists: &mut [Typist], text: &str) {
    typists.iter_mut().for_each(|typist| typist.types(text));
    for (typist, other) in typists.iter().zip([2, 1]) {
        typist.server.stdout.until(&format!("peer {other} to all: {text}"));
    }
}

/// Has all of them leave, and holds them to have delivered everything and to have no complaint.
pub(crate) fn leave(mut typists: Vec<Typist>) {
    typists.iter_mut().for_each(Typist::ends_input);
    for typist in typists {
        let Finished { code, stdout, stderr } = typist.server.finish();
        assert_eq!((code, stderr), (Some(0), vec![]), "{stdout:#?}");
    }
}

/// Both ends of a new terminal, neither of which another process gets by chance: one that had the
/// keyboard would keep the terminal there.
fn open_terminal() -> io::Result<(File, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    let flags = flags | OpenptFlags::CLOEXEC;
    let keyboard = openpt(flags)?;
    // Where no flag does it, it is done as soon as can be.
    fcntl_setfd(&keyboard, FdFlags::CLOEXEC)?;
    grantpt(&keyboard)?;
    unlockpt(&keyboard)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let screen = open(ptsname(&keyboard, Vec::new())?, flags, Mode::empty())?;
    Ok((keyboard.into(), screen))
}
