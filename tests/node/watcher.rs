//! A terminal of its own with a shell that runs `node --watch`, and who sits there: what the screen
//! shows, as a terminal would show it, and the keyboard.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::signal::{self, Signal};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::event::{PollFd, PollFlags, poll};

#[cfg(target_os = "linux")]
use crate::children::children;
use crate::cluster::Cluster;
use crate::process::PATIENCE;

/// As in a shell, the terminal is there before `node` and after it. Its status is the last that the
/// screen shows.
const SHELL: &str = r#"trap : INT TERM HUP; "$@"; echo "exit status $?"; read -r line"#;

/// The same, with nothing on the stdin of `node`.
const SHELL_WITHOUT_KEYS: &str = r#""$@" < /dev/null; echo "exit status $?"; read -r line"#;

pub(crate) struct Watcher {
    shell: Child,
    terminal: Option<Arc<Pty>>,
    /// Reads until the other end of `stop` is gone.
    reader: Option<JoinHandle<()>>,
    stop: Option<UnixStream>,
    seen: Arc<Seen>,
    /// The modes of the terminal before `node` was there.
    modes: Termios,
}

/// What has come out of the terminal.
struct Seen {
    state: Mutex<(vt100::Parser, Vec<u8>)>,
    changed: Condvar,
}

impl Watcher {
    /// `node --watch` with these arguments more, at a terminal of this width and height.
    pub(crate) fn of(cluster: &Cluster, arguments: &[&str], size: (u16, u16)) -> Self {
        Self::with(cluster, &[&["--watch"], arguments].concat(), size, &[])
    }

    /// `node` with these arguments, and with these variables in its environment.
    pub(crate) fn with(
        cluster: &Cluster,
        arguments: &[&str],
        size: (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        Self::run(SHELL, cluster, arguments, size, variables)
    }

    /// `node` with these arguments, at a terminal without a keyboard.
    pub(crate) fn without_keys(cluster: &Cluster, arguments: &[&str], size: (u16, u16)) -> Self {
        Self::run(SHELL_WITHOUT_KEYS, cluster, arguments, size, &[])
    }

    fn run(
        shell: &str,
        cluster: &Cluster,
        arguments: &[&str],
        (width, height): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        let (terminal, screen) = open().unwrap();
        terminal.resize(Size::new(height, width)).unwrap();
        let modes = tcgetattr(&terminal).unwrap();
        let node = env!("CARGO_BIN_EXE_node");
        let command = Command::new("sh").args(["-c", shell, "sh", node]).args(arguments);
        let command = command.current_dir(cluster.path("")).env_remove("NO_COLOR");
        let command = command.env("TERM", "xterm-256color").envs(variables.iter().copied());
        let shell = command.spawn(screen).unwrap();
        let terminal = Arc::new(terminal);
        let seen = Arc::new(Seen {
            state: Mutex::new((vt100::Parser::new(height, width, 0), Vec::new())),
            changed: Condvar::new(),
        });
        let (from, to) = (Arc::clone(&terminal), Arc::clone(&seen));
        let (stop, stopped) = UnixStream::pair().unwrap();
        let reader = Some(thread::spawn(move || to.read(&from, &stopped)));
        Self { shell, terminal: Some(terminal), reader, stop: Some(stop), seen, modes }
    }

    /// The process of `node`.
    #[cfg(target_os = "linux")]
    pub(crate) fn node(&self) -> Pid {
        let node = children(self.group());
        Pid::from_raw(node.trim().parse().unwrap())
    }

    /// Closes the window.
    pub(crate) fn hangs_up(&mut self) {
        self.stop = None;
        self.reader.take().unwrap().join().unwrap();
        self.terminal = None;
    }

    fn terminal(&self) -> &Pty {
        self.terminal.as_ref().expect("it was not closed")
    }

    pub(crate) fn presses(&self, keys: &str) {
        let mut terminal = self.terminal();
        terminal.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resizes(&self, width: u16, height: u16) {
        // A new one: where the screen becomes smaller, what is still drawn for the larger one is too much
        // for the old one. None can have a single column.
        self.seen.lock().0 = vt100::Parser::new(height, width.max(2), 0);
        self.terminal().resize(Size::new(height, width)).unwrap();
    }

    /// Sends a signal to all that runs at the terminal. The shell survives an interrupt.
    pub(crate) fn signals(&self, signal: Signal) {
        signal::killpg(self.group(), signal).unwrap();
    }

    /// The lines of the screen once one of them contains all of these texts.
    pub(crate) fn sees(&self, texts: &[&str]) -> Vec<String> {
        self.until(&format!("a line with {texts:?}"), |lines| {
            lines.iter().any(|line| texts.iter().all(|text| line.contains(text)))
        })
    }

    /// The lines of the screen once they are as wanted.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let (mut state, late) = (self.seen.lock(), Instant::now() + PATIENCE);
        loop {
            let lines = lines(&state.0);
            if wanted(&lines) {
                return lines;
            }
            let left = late.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}: {lines:#?}");
            state = self.seen.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for the end of `node`, and holds it to leave the terminal as it was. Returns what the
    /// screen shows then.
    pub(crate) fn ends_with(&self, status: i32) -> Vec<String> {
        let lines = self.sees(&[&format!("exit status {status}")]);
        let state = self.seen.lock();
        assert!(!state.0.screen().alternate_screen(), "still on the other screen: {lines:#?}");
        assert!(!state.0.screen().hide_cursor(), "there is no cursor: {lines:#?}");
        assert_eq!(tcgetattr(self.terminal()).unwrap(), self.modes, "{lines:#?}");
        lines
    }

    /// All that has come out of the terminal, as it came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen.lock().1.clone()
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.shell.id().try_into().unwrap())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Nothing is left of the group where it was killed before.
        let _ = signal::killpg(self.group(), Signal::SIGKILL);
        self.shell.wait().unwrap();
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, (vt100::Parser, Vec<u8>)> {
        self.state.lock().unwrap()
    }

    /// Reads until the terminal is gone, or it is stopped.
    fn read(&self, mut terminal: &Pty, stopped: &UnixStream) {
        let mut bytes = [0; 4096];
        while is_readable(terminal, stopped)
            && let Ok(count @ 1..) = terminal.read(&mut bytes)
        {
            let mut state = self.lock();
            state.0.process(&bytes[..count]);
            state.1.extend(&bytes[..count]);
            self.changed.notify_all();
        }
    }
}

/// Waits until there is something to read, or it is stopped.
fn is_readable(terminal: &Pty, stopped: &UnixStream) -> bool {
    let mut ends = [PollFd::new(terminal, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
    poll(&mut ends, None).unwrap();
    ends[1].revents().is_empty()
}

fn lines(parser: &vt100::Parser) -> Vec<String> {
    let screen = parser.screen();
    screen.rows(0, screen.size().1).map(|line| line.trim_end().to_owned()).collect()
}
