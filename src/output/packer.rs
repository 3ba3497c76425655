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
    /// How much may be gathered for each peer, in bytes, and for all.
    limits: Vec<usize>,
    limit: usize,
    /// The largest of these.
    max_batch: usize,
    max_message: usize,
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
        Self {
            shared: Batch::default(),
            separate: std::iter::repeat_with(Batch::default).take(peers).collect(),
            separated: false,
            bytes: 0,
            limits: vec![max_batch; peers],
            limit: max_batch,
            max_batch,
            max_message,
        }
    }

    /// From now on there are so many peers. Nothing is gathered at the moment.
    pub(crate) fn resize(&mut self, peers: usize) {
        self.separate.resize_with(peers, Batch::default);
        self.limits.resize(peers, self.max_batch);
    }

    /// From now on gathers so many bytes for a peer at most. Returns how many that really are.
    pub(crate) fn limit(&mut self, peer: usize, bytes: usize) -> usize {
        self.limits[peer] = bytes.min(self.max_batch);
        self.limits[peer]
    }

    /// To be called when the limits are set: what is for all must not exceed any.
    pub(crate) fn share_limits(&mut self) {
        self.limit = self.limits.iter().copied().fold(self.max_batch, usize::min);
    }

    /// How much may be gathered for this peer, in bytes.
    pub(crate) fn limit_for(&self, peer: usize) -> usize {
        self.limits[peer]
    }

    /// How much may be gathered for this addressee, in bytes.
    fn limit_of(&self, addressee: Addressee) -> usize {
        match addressee {
            Addressee::All => self.limit,
            Addressee::One(peer) => self.limits[peer],
        }
    }

    /// Whether an envelope with so many bytes can be packed together with what has been gathered.
    pub(crate) fn fit(&self, bytes: usize, addressee: Addressee) -> Fit {
        let limit = self.limit_of(addressee);
        let needed = bytes + ENVELOPE_OVERHEAD;
        let min_single = MIN_SINGLE.min(limit.saturating_sub(FRAME_OVERHEAD));
        if bytes >= min_single || bytes > self.max_message {
            Fit::Single
        } else if self.bytes + needed <= self.max_batch
            && self.gathered(addressee) + needed <= limit
        {
            Fit::Batch
        } else {
            Fit::Full
        }
    }

    /// How much has been gathered for this addressee, in bytes.
    fn gathered(&self, addressee: Addressee) -> usize {
        let separate = match addressee {
            _ if !self.separated => 0,
            Addressee::All => self.separate.iter().map(Batch::len).max().unwrap_or_default(),
            Addressee::One(peer) => self.separate[peer].len(),
        };
        self.shared.len() + separate
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
