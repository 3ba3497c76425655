//! A configuration file that is to get other keys.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use raft_cluster::{Config, ConfigError, Pid, PublicKey};
use thiserror::Error;

/// The public keys of each server.
pub(super) type Keys = BTreeMap<Pid, Vec<PublicKey>>;

/// A correct configuration, and the text that it was read from.
pub(super) struct ConfigFile<'a> {
    path: &'a Path,
    config: Config,
    text: String,
}

/// Why a configuration did not get its keys.
#[derive(Debug, Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Wrong(#[from] ConfigError),
    #[error("cannot read {path}", path = .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot replace {path}", path = .0.display())]
    Replace(PathBuf, #[source] io::Error),
    #[error("{path} was changed in the meantime; try again", path = .0.display())]
    Changed(PathBuf),
}

impl<'a> ConfigFile<'a> {
    pub(super) fn read(path: &'a Path) -> Result<Self, FileError> {
        let config = Config::load(path)?;
        let text =
            fs::read_to_string(path).map_err(|source| FileError::Read(path.to_owned(), source))?;
        Ok(Self { path, config, text })
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn keys(&self) -> Keys {
        keys_of(&self.config)
    }

    /// Puts an edited text in the place of the file, if it is a configuration with these keys.
    pub(super) fn replace(&self, edited: Option<String>, keys: &Keys) -> Result<(), FileError> {
        let edited = edited
            .filter(|text| text.parse().is_ok_and(|config| keys_of(&config) == *keys))
            .ok_or_else(|| FileError::Changed(self.path.to_owned()))?;
        replace(self.path, &edited)
            .map_err(|source| FileError::Replace(self.path.to_owned(), source))
    }
}

fn keys_of(config: &Config) -> Keys {
    config.pids().iter().map(|&pid| (pid, config.public_keys(pid).to_vec())).collect()
}

/// Puts the text in the place of the file, so that nobody ever reads half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: what it points to is replaced.
    let path = fs::canonicalize(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", process::id()));
    let new = PathBuf::from(name);
    let result = write(&new, text, &path).and_then(|()| fs::rename(&new, &path));
    if result.is_err() {
        let _ = fs::remove_file(&new);
    }
    result
}

/// Writes the text to a new file with the permissions of another.
fn write(new: &Path, text: &str, like: &Path) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(new)?;
    file.set_permissions(fs::metadata(like)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
