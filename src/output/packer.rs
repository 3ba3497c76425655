//! Which frame an envelope travels in.

use crate::envelope::Envelope;
use crate::frame::Payload;
use crate::link::FRAME_OVERHEAD;
use crate::output::sizes::{MAX_BATCH, MIN_SINGLE};
use crate::wire::{Batch, ENVELOPE_OVERHEAD};

/// Gathers envelopes into as few frames as their order allows.
///
/// Broadcasts are encoded once, for all peers, until an envelope for a single peer comes: from
/// there on each peer's envelopes are encoded for it alone, so that what was put in the outbox in
/// turns, broadcast and single, still travels in large frames and in order.
#[derive(Debug)]
pub(crate) struct Packer {
    shared: Batch,
    /// What comes after the shared batch, for each peer.
    separate: Vec<Batch>,
    /// Whether an envelope for a single peer has come, after which nothing is shared.
    separated: bool,
    /// What has been gathered, in bytes.
    bytes: usize,
    max_batch: usize,
    min_single: usize,
    /// What `max_batch` and `min_single` are at most.
    most: (usize, usize),
}

/// How an envelope travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Together with what has been gathered.
    Batch,
    /// With others, but not with those that have been gathered.
    Full,
    /// As a frame of its own.
    Single,
}

/// Whom an envelope is for, as a place among the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressee {
    All,
    One(usize),
}

impl Packer {
    /// Packs for so many `peers`, each with a window of this many bytes.
    pub(crate) fn new(peers: usize, window: usize, max_message: usize) -> Self {
        let max_batch = MAX_BATCH.min(window / 4);
        let most = (max_batch, max_message.saturating_add(1));
        let mut packer = Self {
            shared: Batch::default(),
            separate: std::iter::repeat_with(Batch::default).take(peers).collect(),
            separated: false,
            bytes: 0,
            max_batch,
            min_single: 0,
            most,
        };
        packer.limit(MAX_BATCH);
        packer
    }

    /// From now on gathers so many bytes at most.
    pub(crate) fn limit(&mut self, max_batch: usize) {
        let (most, min_single) = self.most;
        self.max_batch = most.min(max_batch);
        let room = self.max_batch.saturating_sub(FRAME_OVERHEAD);
        self.min_single = MIN_SINGLE.min(room).min(min_single);
    }

    /// How many bytes of envelopes one frame gathers at most.
    pub(crate) fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Whether the envelope can be packed together with what has been gathered.
    pub(crate) fn fit(&self, envelope: &Envelope) -> Fit {
        let bytes = envelope.msg.len();
        if bytes >= self.min_single {
            Fit::Single
        } else if self.bytes + bytes + ENVELOPE_OVERHEAD <= self.max_batch {
            Fit::Batch
        } else {
            Fit::Full
        }
    }

    pub(crate) fn push(&mut self, envelope: &Envelope, addressee: Addressee) {
        self.bytes += envelope.msg.len() + ENVELOPE_OVERHEAD;
        match (self.separated, addressee) {
            (false, Addressee::All) => self.shared.push(envelope),
            (true, Addressee::All) => {
                for batch in &mut self.separate {
                    batch.push(envelope);
                }
            }
            (_, Addressee::One(peer)) => {
                self.separated = true;
                self.separate[peer].push(envelope);
            }
        }
    }

    /// Hands out the payloads gathered, each with the place of the peer it is for.
    pub(crate) fn flush(&mut self, mut put: impl FnMut(usize, Payload)) {
        if self.bytes == 0 {
            return;
        }
        self.bytes = 0;
        self.separated = false;
        if !self.shared.is_empty() {
            let payload = self.shared.take();
            for peer in 0..self.separate.len() {
                put(peer, payload.clone());
            }
        }
        for (peer, batch) in self.separate.iter_mut().enumerate() {
            if !batch.is_empty() {
                put(peer, batch.take());
            }
        }
    }
}
