//! Who may listen at a path of the file system.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

/// The lock on the path of an `ipc://` url, which one server at a time can have.
///
/// The socket at the path cannot tell whether somebody listens there: that of a process that has
/// crashed stays, and libzmq replaces what it finds. The lock is on a file beside it, `PATH.lock`,
/// and ends with the process at the latest. The file itself stays, since removing it would let in
/// two: one that has it open still, and one that makes it anew.
#[derive(Debug)]
pub(super) struct PathLock(OwnedFd);

impl PathLock {
    /// Takes the lock, if the url is one of a path.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) while another server has it, in whatever process.
    pub(super) fn take(url: &str) -> io::Result<Option<Self>> {
        // A name that begins with `@` is none of the file system, and its socket ends with its
        // process.
        let Some(path) = url.strip_prefix("ipc://").filter(|path| !path.starts_with('@')) else {
            return Ok(None);
        };
        let path = format!("{path}.lock");
        // Nobody else may lock it, and what a link leads to is not touched.
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(&path, flags, Mode::RUSR | Mode::WUSR);
        let file = file.map_err(|error| refusal(error, &format!("`{path}` cannot be opened")))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => {
                let message = format!("another server listens there and has locked `{path}`");
                Err(io::Error::new(io::ErrorKind::AddrInUse, message))
            }
            Err(error) => Err(refusal(error, &format!("`{path}` cannot be locked"))),
        }
    }
}

impl Drop for PathLock {
    fn drop(&mut self) {
        // Closing the file would not do while a child process has it that is yet to call `exec`. If
        // it cannot be unlocked, it is closed all the same.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn refusal(error: Errno, what: &str) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("ipc://{}/1", folder.path().display());
        let lock = PathLock::take(&url).unwrap();
        assert!(lock.is_some());
        let error = PathLock::take(&url).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("/1.lock`"), "{error}");
        // A copy of the descriptor, as a child process has one for a moment, keeps nobody out.
        let kept_open = lock.as_ref().unwrap().0.try_clone().unwrap();
        drop(lock);
        assert!(PathLock::take(&url).unwrap().is_some());
        drop(kept_open);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = PathLock::take("ipc:///nowhere/1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("`/nowhere/1.lock` cannot be opened"), "{error}");
    }

    #[test]
    fn only_a_path_is_locked() {
        for url in ["tcp://127.0.0.1:80", "ipc://@orders"] {
            assert!(PathLock::take(url).unwrap().is_none());
        }
    }
}
