//! Frames that nobody sent.

use arbitrary::Arbitrary;
use raft_cluster::Bytes;
use raft_cluster::internals::HEADER_LEN;

/// A frame as its two parts.
type Parts = ([u8; HEADER_LEN], Bytes);

/// How a true frame is changed. What comes out need not be a frame.
#[derive(Arbitrary, Debug)]
pub struct Forgery {
    changes: Vec<(Field, Change)>,
    body: Body,
}

/// A field of the header, by the byte table of `src/wire.rs`.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Field {
    Magic,
    Version,
    Kind,
    Flags,
    Cluster,
    From,
    To,
    Incarnation,
    Sequence,
    Base,
    Epoch,
    Envelopes,
    Missed,
    MsgId,
    AcknowledgedIncarnation,
    AcknowledgedNext,
    AcknowledgedEpoch,
    Silence,
    MaxMessage,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    /// Something close to what was there.
    By(i8),
    To(u64),
    /// About the last place that a stream can have.
    Edge(i8),
}

#[derive(Arbitrary, Debug)]
enum Body {
    AsItWas,
    Empty,
    Bytes(Vec<u8>),
    /// Envelopes of this length, and their number in the header.
    Batch {
        envelopes: u8,
        length: u8,
    },
}

impl Field {
    /// Its place and its length in bytes.
    const fn span(self) -> (usize, usize) {
        match self {
            Self::Magic => (0, 3),
            Self::Version => (3, 1),
            Self::Kind => (4, 1),
            Self::Flags => (5, 1),
            Self::Cluster => (8, 8),
            Self::From => (16, 4),
            Self::To => (20, 4),
            Self::Incarnation => (24, 8),
            Self::Sequence => (32, 8),
            Self::Base => (40, 8),
            Self::Epoch => (48, 4),
            Self::Envelopes => (52, 4),
            Self::Missed => (56, 8),
            Self::MsgId => (64, 8),
            Self::AcknowledgedIncarnation => (72, 8),
            Self::AcknowledgedNext => (80, 8),
            Self::AcknowledgedEpoch => (88, 4),
            Self::Silence => (92, 4),
            Self::MaxMessage => (96, 4),
        }
    }
}

impl Forgery {
    /// What comes of a true frame.
    pub fn forge(&self, (mut header, body): Parts) -> Parts {
        let body = self.body(&mut header, body);
        for (field, change) in &self.changes {
            let (at, length) = field.span();
            let place = &mut header[at..at + length];
            let mut number = [0; 8];
            number[..length].copy_from_slice(place);
            let changed = match change {
                Change::By(by) => u64::from_le_bytes(number).wrapping_add_signed((*by).into()),
                Change::To(other) => *other,
                Change::Edge(by) => (u64::MAX / 2).wrapping_add_signed((*by).into()),
            };
            place.copy_from_slice(&changed.to_le_bytes()[..length]);
        }
        (header, body)
    }

    fn body(&self, header: &mut [u8; HEADER_LEN], body: Bytes) -> Bytes {
        const BATCH: u8 = 1;
        const LENGTH_SHIFT: u32 = 8;
        match &self.body {
            Body::AsItWas => body,
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) => Bytes::copy_from_slice(bytes),
            Body::Batch { envelopes, length } => {
                header[4] = BATCH;
                header[52..56].copy_from_slice(&u32::from(*envelopes).to_le_bytes());
                header[64..72].fill(0);
                let mut envelope = (u32::from(*length) << LENGTH_SHIFT).to_le_bytes().to_vec();
                envelope.resize(12 + usize::from(*length), 0);
                envelope.repeat((*envelopes).into()).into()
            }
        }
    }
}
