//! Which frame an envelope travels in.

use crate::envelope::Envelope;
use crate::frame::Payload;
use crate::wire::{Batch, ENVELOPE_OVERHEAD};

/// Gathers envelopes into as few frames as their order allows.
///
/// Broadcasts are encoded once, for all peers, until an envelope for a single peer comes: from there on
/// each peer's envelopes are encoded for it alone, so that what was put in the outbox in turns, broadcast
/// and single, still travels in large frames and in order.
#[derive(Debug)]
pub(crate) struct Packer {
    shared: Batch,
    /// What comes after the shared batch, for each peer.
    separate: Vec<Batch>,
    mode: Mode,
    bytes: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Shared,
    Separate,
}

/// Whom an envelope is for, as a place among the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressee {
    All,
    One(usize),
}

impl Packer {
    /// Packs for so many `peers` until `limit` bytes are gathered.
    pub(crate) fn new(peers: usize, limit: usize) -> Self {
        Self {
            shared: Batch::default(),
            separate: std::iter::repeat_with(Batch::default).take(peers).collect(),
            mode: Mode::Shared,
            bytes: 0,
            limit,
        }
    }

    /// Whether the envelope can be packed together with what has been gathered.
    pub(crate) fn has_room(&self, envelope: &Envelope) -> bool {
        self.bytes + envelope.msg.len() + ENVELOPE_OVERHEAD <= self.limit
    }

    pub(crate) fn push(&mut self, envelope: &Envelope, addressee: Addressee) {
        self.bytes += envelope.msg.len() + ENVELOPE_OVERHEAD;
        match (self.mode, addressee) {
            (Mode::Shared, Addressee::All) => self.shared.push(envelope),
            (Mode::Separate, Addressee::All) => {
                for batch in &mut self.separate {
                    batch.push(envelope);
                }
            }
            (_, Addressee::One(peer)) => {
                self.mode = Mode::Separate;
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
        self.mode = Mode::Shared;
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
