//! A server at a terminal, and who types there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::process::Process;

/// A server and the keyboard of its terminal.
pub(crate) struct Typist {
    keyboard: File,
    pub(crate) server: Process,
}

impl Typist {
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

    /// Closes the terminal, and returns the server.
    pub(crate) fn hangs_up(self) -> Process {
        self.server
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
