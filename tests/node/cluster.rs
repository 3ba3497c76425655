//! A cluster of its own for each test: a configuration in a temporary folder, and `node` run on it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crossbeam_channel::bounded;
use nix::sys::stat::Mode;
use nix::unistd;
use serde_json::json;
use tempfile::TempDir;

use crate::process::{PATIENCE, Process};

pub(crate) struct Cluster {
    folder: TempDir,
}

impl Cluster {
    /// A cluster of these servers, each on a socket in the folder.
    pub(crate) fn of(pids: &[u32]) -> Self {
        let cluster = Self::empty();
        let urls: Vec<_> = pids.iter().map(|&pid| (pid, cluster.ipc(pid))).collect();
        cluster.configure(&urls);
        cluster
    }

    /// `node --all` on three servers that wait for a fourth, which never starts, once all three
    /// listen.
    ///
    /// The parent reads three servers out of a pipe. While it has that open, a file with four takes
    /// the place of the pipe, for its children to read.
    pub(crate) fn that_waits_for_good(arguments: &[&str]) -> (Self, Process) {
        let cluster = Self::empty();
        unistd::mkfifo(&cluster.config(), Mode::S_IRWXU).unwrap();
        let node = cluster.node(&[&["--all"], arguments].concat());
        let mut pipe = open_pipe(cluster.config());
        fs::remove_file(cluster.config()).unwrap();
        let urls = [1, 2, 3, 4].map(|pid| (pid, cluster.ipc(pid)));
        cluster.configure(&urls);
        pipe.write_all(configuration(&urls[..3]).as_bytes()).unwrap();
        drop(pipe);
        (0..3).for_each(|_| {
            node.stdout.until("listens on");
        });
        (cluster, node)
    }

    /// A folder without a configuration.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn configure(&self, urls: &[(u32, String)]) {
        fs::write(self.config(), configuration(urls)).unwrap();
    }

    /// Lists these servers, each on a socket in the folder, in a new file that takes the place of
    /// the old one at once.
    pub(crate) fn list(&self, pids: &[u32]) {
        let urls: Vec<_> = pids.iter().map(|&pid| (pid, self.ipc(pid))).collect();
        self.replace(&configuration(&urls));
    }

    /// Has a text take the place of the configuration at once.
    pub(crate) fn replace(&self, text: &str) {
        let new = self.path("config.json.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.config()).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("config.json")
    }

    pub(crate) fn ipc(&self, pid: u32) -> String {
        format!("ipc://{}", self.socket(pid).display())
    }

    /// Where a server listens.
    pub(crate) fn socket(&self, pid: u32) -> PathBuf {
        self.path(&pid.to_string())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `node` in the folder, with these arguments, its stdout piped and nothing on its stdin.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
        command.current_dir(self.folder.path()).args(arguments);
        // Whoever runs the tests may want their own log.
        command.env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Starts that.
    pub(crate) fn node(&self, arguments: &[&str]) -> Process {
        Process::spawn(&mut self.command(arguments))
    }

    /// Starts server `pid` with these arguments more, and waits until it listens. Text only.
    pub(crate) fn server(&self, pid: u32, arguments: &[&str]) -> Process {
        let server = self.node(&[&["--pid", &pid.to_string()], arguments].concat());
        server.stdout.until("listens on");
        server
    }
}

/// A configuration that lists these servers.
pub(crate) fn configuration(urls: &[(u32, String)]) -> String {
    let servers: Vec<_> = urls.iter().map(|(pid, url)| json!({"mypid": pid, "url": url})).collect();
    json!({"object": {"total": servers.len(), "Servers": servers}}).to_string()
}

/// The end of a named pipe to write to, once another process has opened the end to read from.
fn open_pipe(path: PathBuf) -> File {
    let (opened, pipe) = bounded(1);
    thread::spawn(move || opened.send(File::options().write(true).open(path).unwrap()));
    pipe.recv_timeout(PATIENCE).expect("somebody reads the configuration")
}

/// Waits until nobody listens on the socket.
pub(crate) fn wait_until_nobody_listens(socket: &Path) {
    while let Ok(connection) = UnixStream::connect(socket) {
        wait_for_the_end_of(connection);
    }
}

/// Waits for the end of a connection, which comes with that of the process at its other end.
pub(crate) fn wait_for_the_end_of(mut connection: UnixStream) {
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    if let Err(error) = connection.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{connection:?}: {error}");
    }
}
