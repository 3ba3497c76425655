//! What the former processes of a server have had, told by a file to those that come after them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::memory::INBOX;
use crate::{Result, SERVERS};

/// How far one process of a peer was heard: its generation, and the number of what comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Heard {
    generation: u32,
    next: u64,
}

/// A process that is killed can tell nobody any more what it had received; but what it wrote to a
/// file stays.
///
/// What a process has acknowledged is not sent to its successor. Acknowledgements that were held up
/// on their way can come when the successor has had some of it already: then the rest is missing in
/// the middle of what it receives.
pub(crate) struct Predecessors {
    file: File,
    heard: [Heard; SERVERS],
}

impl Heard {
    const LEN: usize = 12;

    fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.generation.to_le_bytes());
        bytes[4..].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; Self::LEN]) -> Self {
        let [a, b, c, d, next @ ..] = bytes;
        let generation = u32::from_le_bytes([a, b, c, d]);
        Self { generation, next: u64::from_le_bytes(next) }
    }
}

impl Predecessors {
    /// Reads what they have left in the file, which is made if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut heard = [Heard::default(); SERVERS];
        for (from, heard) in heard.iter_mut().enumerate() {
            let mut bytes = [0; Heard::LEN];
            // At first it is empty.
            if file.read_exact_at(&mut bytes, Self::offset(from)).is_ok() {
                *heard = Heard::decode(bytes);
            }
        }
        Ok(Self { file, heard })
    }

    /// Whether they may have had all that a process of this peer sent before this number. What is
    /// in an inbox has been acknowledged, whether anybody reads it or not.
    pub(crate) fn had(&self, from: usize, generation: u32, number: u64) -> bool {
        let heard = self.heard[from];
        heard.generation == generation && number <= heard.next + INBOX as u64
    }

    /// Leaves to the next how far this process has heard a peer.
    pub(crate) fn leave(&self, from: usize, generation: u32, next: u64) -> Result<()> {
        let own = Heard { generation, next };
        if own > self.heard[from] {
            self.file.write_all_at(&own.encode(), Self::offset(from))?;
        }
        Ok(())
    }

    fn offset(from: usize) -> u64 {
        (from * Heard::LEN) as u64
    }
}
