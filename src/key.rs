//! The keys of CURVE, libzmq's own security: who has a server's secret key is that server.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use crate::envelope::Pid;

/// The length of a key in bytes.
const BYTES: usize = 32;

/// The length of a key as text.
const CHARACTERS: usize = 40;

/// Where the last five characters of a key begin.
const PADDING: usize = CHARACTERS - 5;

/// What is read of a file at most, in bytes: enough to say how wrong it is.
const LONGEST_FILE: usize = 4_096;

/// The key by which the peers know a server, as its `public_key` in the configuration.
///
/// Its text is 40 characters of [Z85](https://rfc.zeromq.org/spec/32/), as all of libzmq's tools
/// write it.
///
/// ```
/// use raft_cluster::{PublicKey, SecretKey};
///
/// let key: PublicKey = SecretKey::generate()?.public_key();
/// assert_eq!(key.to_string().parse(), Ok(key));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; BYTES]);

impl PublicKey {
    pub(crate) const fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text).map(|bytes| Self(*bytes))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&z85::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// The key by which a server proves who it is. It never leaves the server's machine.
///
/// Nothing shows it: it has no `Display`, its `Debug` is empty, and no error repeats any of it. Its
/// memory is wiped when it is dropped. libzmq has a copy of its own for as long as the server runs.
///
/// ```
/// use raft_cluster::SecretKey;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("server-1.key");
/// let key = SecretKey::generate()?;
/// key.save(&path)?; // a new file, which nobody else can read
/// assert_eq!(SecretKey::load(&path)?.public_key(), key.public_key());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SecretKey(Box<Zeroizing<[u8; BYTES]>>);

impl SecretKey {
    /// Draws a new key.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = Box::new(Zeroizing::new([0; BYTES]));
        getrandom::fill(&mut bytes[..])?;
        Ok(Self(bytes))
    }

    /// Reads the key from a file: its text, and a newline or none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, when others than its owner can (on Unix), or when it holds
    /// something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let unreadable = |source| KeyFileError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        refuse_shared(&file, path)?;
        // The room is there from the start, so that no copy is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(2 * LONGEST_FILE));
        file.take(LONGEST_FILE as u64).read_to_string(&mut text).map_err(unreadable)?;
        let key = text.strip_suffix('\n').unwrap_or(&text);
        let key = key.strip_suffix('\r').unwrap_or(key);
        key.parse().map_err(|reason| KeyFileError::NotAKey { path: path.to_owned(), reason })
    }

    /// Writes the key to a new file, which on Unix nobody but its owner can read.
    ///
    /// # Errors
    ///
    /// When the file is there already, or cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), KeyFileError> {
        let path = path.as_ref();
        let mut text = Zeroizing::new(z85::encode(self.as_bytes()));
        text.push('\n');
        let write = |mut file: File| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        private().open(path).and_then(write).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
            _ => KeyFileError::Write { path: path.to_owned(), source },
        })
    }

    /// The public key that belongs to it.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(x25519(*self.as_bytes(), X25519_BASEPOINT_BYTES))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text).map(|bytes| Self(Box::new(bytes)))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Why a text is not a key. It repeats nothing of the text, which may be meant as a secret one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is too short or too long.
    #[error("a key has {CHARACTERS} characters, not {found}")]
    WrongLength {
        /// How many characters it has.
        found: usize,
    },
    /// A character, or the five that begin with it, cannot be there in Z85.
    #[error("not Z85 at character {position}; a key is as `node keygen` writes it")]
    NotZ85 {
        /// The place of the character, counted from 1.
        position: usize,
    },
}

/// Why a file with a secret key could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It does not exist, or may not be read.
    #[error("cannot read the secret key in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner can get at it.
    #[error("others can get at the secret key in {path} (its mode is {mode:03o}): `chmod 600` it")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("{path} does not hold a secret key: {reason}")]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong. Part of the message, and so not its source.
        reason: KeyError,
    },
    /// It is there already.
    #[error("{path} is there already, and a secret key in it would be lost: move it away")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write the secret key to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// All the keys that a server needs.
#[derive(Debug)]
pub(crate) struct Keyring {
    pub(crate) secret: SecretKey,
    /// Those of each peer, of which it has one: while a key is replaced, the old one and the new one.
    pub(crate) peers: BTreeMap<Pid, Vec<PublicKey>>,
}

impl Keyring {
    /// The keys that a peer may have.
    pub(crate) fn of(&self, peer: Pid) -> &[PublicKey] {
        self.peers.get(&peer).map_or(&[], Vec::as_slice)
    }
}

fn decode(text: &str) -> Result<Zeroizing<[u8; BYTES]>, KeyError> {
    if let Some(at) = text.chars().position(|character| !character.is_ascii()) {
        return Err(KeyError::NotZ85 { position: at + 1 });
    }
    if text.len() != CHARACTERS {
        return Err(KeyError::WrongLength { found: text.len() });
    }
    // A `#` cannot stand there: the crate takes it for the mark of a padded end, which no key has.
    if text.as_bytes()[PADDING] == b'#' {
        return Err(KeyError::NotZ85 { position: PADDING + 1 });
    }
    let decoded = z85::decode(text).map(Zeroizing::new).map_err(|error| match error {
        z85::DecodeError::InvalidByte(at, _) | z85::DecodeError::InvalidChunk(at) => {
            KeyError::NotZ85 { position: at + 1 }
        }
        _ => KeyError::WrongLength { found: text.len() },
    })?;
    let mut bytes = Zeroizing::new([0; BYTES]);
    bytes.copy_from_slice(&decoded);
    Ok(bytes)
}

#[cfg(unix)]
fn refuse_shared(file: &File, path: &Path) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt;

    /// All that somebody else than the owner may be allowed to do.
    const OTHERS: u32 = 0o077;
    let metadata =
        file.metadata().map_err(|source| KeyFileError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_shared(_file: &File, _path: &Path) -> Result<(), KeyFileError> {
    Ok(())
}

/// How a new file is made that nobody else can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
