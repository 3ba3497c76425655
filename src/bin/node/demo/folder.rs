//! Where the demo's servers meet: a folder with their configuration and their sockets.

use std::error::Error;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{self, Path, PathBuf};
use std::{env, process};

use raft_cluster::{Config, Pid};
use serde_json::json;

/// A new folder, only for this process and its children. It goes when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it, among the system's temporary ones, and configures these servers there.
    pub(super) fn with_servers(pids: &[Pid]) -> Result<Self, Box<dyn Error>> {
        let base = path::absolute(env::temp_dir())?;
        let folder = Self::in_folder(&base)
            .map_err(|error| format!("cannot make a folder in {}: {error}", base.display()))?;
        let text = folder.configuration(pids)?;
        let wrong = |error| format!("cannot use {} for sockets: {error}", folder.0.display());
        text.parse::<Config>().map_err(wrong)?;
        fs::write(folder.config(), text)?;
        Ok(folder)
    }

    fn in_folder(base: &Path) -> io::Result<Self> {
        let name = format!("raft-cluster-demo-{}", process::id());
        // One that is in the way was left behind by a process of the same number, which was killed.
        let mut paths = (0..100).map(|attempt| base.join(format!("{name}-{attempt}")));
        let made = paths.find_map(|path| match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
            result => Some(result.map(|()| Self(path))),
        });
        made.unwrap_or_else(|| Err(ErrorKind::AlreadyExists.into()))
    }

    fn configuration(&self, pids: &[Pid]) -> Result<String, String> {
        let path = self.0.to_str().ok_or_else(|| format!("{:?} is not UTF-8", self.0))?;
        let server = |pid| json!({"mypid": pid, "url": format!("ipc://{path}/{pid}")});
        let servers: Vec<_> = pids.iter().map(server).collect();
        Ok(json!({"object": {"total": pids.len(), "Servers": servers}}).to_string())
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("config.json")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in a temporary place, so that somebody else will clean up if this fails.
        let _ = fs::remove_dir_all(&self.0);
    }
}
