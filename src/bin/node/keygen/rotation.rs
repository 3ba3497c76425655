//! Another key for one server of a cluster that goes on running.
//!
//! ```text
//!             replace                      retire
//!  "OLD"  ───────────────►  ["OLD", "NEW"]  ────►  "NEW"
//! ```
//!
//! Between the two, all servers get the configuration with both keys, and then the server its new
//! secret one.

use std::error::Error;
use std::path::{Path, PathBuf};

use raft_cluster::{Pid, PublicKey, SecretKey};
use thiserror::Error;

use super::file::ConfigFile;
use super::{Saved, edit, file_of};

/// Why a server's key is not replaced.
#[derive(Debug, Error)]
enum RotationError {
    #[error("server {pid} is not listed in {path}, which lists {listed}", path = .path.display())]
    NotListed { pid: Pid, path: PathBuf, listed: String },
    #[error("{path} has no keys; `node keygen --all` gives every server one", path = .0.display())]
    NoKeys(PathBuf),
    #[error(
        "server {pid} has an old and a new key in {path} already: finish that replacement first; \
         once server {pid} uses the new key, `node keygen --pid {pid} --retire` takes the old one \
         out",
        path = .path.display()
    )]
    TwoKeys { pid: Pid, path: PathBuf },
    #[error(
        "server {pid} has one key in {path}, and no old one beside it that could be taken out",
        path = .path.display()
    )]
    OneKey { pid: Pid, path: PathBuf },
}

/// Gives a server a new key beside its old one. All goes well or nothing stays of it, but for a
/// secret key that could not be removed again.
pub(super) fn replace(path: &Path, folder: &Path, pid: Pid) -> Result<String, Box<dyn Error>> {
    let file = ConfigFile::read(path)?;
    let &[old] = listed(&file, pid)? else {
        return Err(RotationError::TwoKeys { pid, path: path.to_owned() }.into());
    };
    let (secret, place) = (SecretKey::generate()?, folder.join(format!("server-{pid}.new.key")));
    let new = secret.public_key();
    let mut saved = Saved::default();
    saved.save(&secret, place.clone())?;
    let mut keys = file.keys();
    keys.insert(pid, vec![old, new]);
    file.replace(edit::with_new_key(file.text(), pid, &new), &keys)?;
    saved.keep();

    let (place, former) = (place.display(), file_of(folder, pid));
    Ok(format!(
        "{place}\n{}\nnext: have all servers read the new configuration; then move {place} over \
         {} and have server {pid} read it; then `node keygen --pid {pid} --retire`: see \
         docs/changing.md\n",
        path.display(),
        former.display(),
    ))
}

/// Takes the old one of a server's two keys out.
pub(super) fn retire(path: &Path, pid: Pid) -> Result<String, Box<dyn Error>> {
    let file = ConfigFile::read(path)?;
    let &[_, new] = listed(&file, pid)? else {
        return Err(RotationError::OneKey { pid, path: path.to_owned() }.into());
    };
    let mut keys = file.keys();
    keys.insert(pid, vec![new]);
    file.replace(edit::without_old_key(file.text(), pid), &keys)?;
    Ok(format!(
        "{}\nnext: have all servers read the new configuration, which refuses the old key\n",
        path.display()
    ))
}

/// The keys of a server. It has one or two.
fn listed<'a>(file: &'a ConfigFile<'_>, pid: Pid) -> Result<&'a [PublicKey], RotationError> {
    let path = file.path().to_owned();
    let config = file.config();
    if !config.pids().contains(&pid) {
        let listed: Vec<_> = config.pids().iter().map(Pid::to_string).collect();
        return Err(RotationError::NotListed { pid, path, listed: listed.join(", ") });
    }
    match config.public_keys(pid) {
        [] => Err(RotationError::NoKeys(path)),
        keys => Ok(keys),
    }
}
