//! `node keygen`: the keys of one server, or of a whole configuration.
//!
//! ```text
//!  keygen ──────┬── file: a configuration, read and put in its place
//!   └─ rotation ┴── edit: its text with other keys
//! ```

mod edit;
mod file;
mod rotation;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use raft_cluster::{KeyFileError, Pid, SecretKey};
use thiserror::Error;

use self::file::{ConfigFile, Keys};
use crate::args::{Keygen, Task};

/// Makes what is asked for, and says on stdout what there is now.
pub(crate) fn run(keygen: &Keygen) -> Result<ExitCode, Box<dyn Error>> {
    let made = match keygen.task() {
        Task::One(path) => {
            let key = SecretKey::generate()?;
            key.save(path)?;
            format!("{}\n", key.public_key())
        }
        Task::All => equip(&keygen.config, &keygen.out_dir)?,
        Task::Replace(pid) => rotation::replace(&keygen.config, &keygen.out_dir, pid)?,
        Task::Retire(pid) => rotation::retire(&keygen.config, pid)?,
    };
    io::stdout().write_all(made.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The secret key of a server, out of a file or out of a folder with those of all servers.
pub(crate) fn load(path: &Path, pid: Pid) -> Result<SecretKey, KeyFileError> {
    match path.is_dir() {
        true => SecretKey::load(file_of(path, pid)),
        false => SecretKey::load(path),
    }
}

fn file_of(folder: &Path, pid: Pid) -> PathBuf {
    folder.join(format!("server-{pid}.key"))
}

/// A configuration has keys where it is to get its first ones.
#[derive(Debug, Error)]
#[error("{path} has keys already; to give it new ones, take them out first", path = .0.display())]
struct HasKeys(PathBuf);

/// Gives every server of a configuration a key. All goes well or nothing stays of it, but for the
/// secret keys that could not be removed again.
fn equip(path: &Path, folder: &Path) -> Result<String, Box<dyn Error>> {
    let file = ConfigFile::read(path)?;
    if file.keys().values().any(|keys| !keys.is_empty()) {
        return Err(HasKeys(path.to_owned()).into());
    }
    let mut saved = Saved::default();
    let mut keys = Keys::new();
    for &pid in file.config().pids() {
        let key = SecretKey::generate()?;
        saved.save(&key, file_of(folder, pid))?;
        keys.insert(pid, vec![key.public_key()]);
    }
    file.replace(edit::with_keys(file.text(), &keys), &keys)?;

    let lines = saved.keep().into_iter().map(|file| format!("{}\n", file.display()));
    Ok(lines.chain([format!("{}\n", path.display())]).collect())
}

/// Secret keys that are removed again unless they are kept.
#[derive(Default)]
struct Saved(Vec<PathBuf>);

impl Saved {
    /// Writes the key to a new file.
    fn save(&mut self, key: &SecretKey, file: PathBuf) -> Result<(), KeyFileError> {
        key.save(&file)?;
        self.0.push(file);
        Ok(())
    }

    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        for file in &self.0 {
            // What failed before is what the user has to know.
            let _ = fs::remove_file(file);
        }
    }
}
