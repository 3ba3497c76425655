//! Frames made by hand, from the byte table of the protocol alone.

/// A header, field by field. The default is a heartbeat from server 3 to server 1 that says nothing
/// wrong.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub kind: u8,
    pub flags: u8,
    pub cluster: u64,
    pub from: u32,
    pub to: u32,
    pub incarnation: u64,
    pub sequence: u64,
    pub base: u64,
    pub round: u32,
    pub envelopes: u32,
    pub missed: u64,
    pub msg_id: i64,
    /// The acknowledgement: of which incarnation. A payload is taken by that process alone.
    pub of: u64,
    pub next: u64,
    pub gap: u32,
    pub silence: u32,
    pub largest: u32,
    /// The acknowledgement: how many bytes of the payload expected have come.
    pub next_offset: u32,
    /// Where in its payload the frame begins.
    pub offset: u32,
    /// Of the payload.
    pub length: u32,
    pub stamp: u32,
    pub delay: u32,
    /// How much of a payload is broken off before this one.
    pub suspends: u32,
}

/// The header's length in bytes.
pub const LENGTH: usize = 124;

pub const BATCH: u8 = 1;
pub const SINGLE: u8 = 2;
pub const GOODBYE: u8 = 3;

pub const URGENT: u8 = 1;
pub const SETTLED: u8 = 2;
pub const CLOSED: u8 = 8;
pub const ENDED: u8 = 16;

impl Default for Header {
    fn default() -> Self {
        Self {
            kind: 0,
            flags: 0,
            cluster: 0,
            from: 3,
            to: 1,
            incarnation: 1,
            sequence: 1,
            base: 1,
            round: 1,
            envelopes: 0,
            missed: 0,
            msg_id: 0,
            of: 0,
            next: 1,
            gap: 0,
            silence: u32::MAX,
            largest: u32::MAX,
            next_offset: 0,
            offset: 0,
            length: 0,
            stamp: 0,
            delay: 0,
            suspends: 0,
        }
    }
}

impl Header {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"rcl\x02".to_vec();
        bytes.extend([self.kind, self.flags, 0, 0]);
        bytes.extend(self.cluster.to_le_bytes());
        bytes.extend(self.from.to_le_bytes());
        bytes.extend(self.to.to_le_bytes());
        bytes.extend(self.incarnation.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.base.to_le_bytes());
        bytes.extend(self.round.to_le_bytes());
        bytes.extend(self.envelopes.to_le_bytes());
        bytes.extend(self.missed.to_le_bytes());
        bytes.extend(self.msg_id.to_le_bytes());
        bytes.extend(self.of.to_le_bytes());
        bytes.extend(self.next.to_le_bytes());
        bytes.extend(self.gap.to_le_bytes());
        bytes.extend(self.silence.to_le_bytes());
        bytes.extend(self.largest.to_le_bytes());
        let last =
            [self.next_offset, self.offset, self.length, self.stamp, self.delay, self.suspends];
        for last in last {
            bytes.extend(last.to_le_bytes());
        }
        assert_eq!(bytes.len(), LENGTH);
        bytes
    }

    /// A frame with the whole of a payload.
    pub fn before(self, body: Vec<u8>) -> [Vec<u8>; 2] {
        [Self { length: body.len() as u32, ..self }.bytes(), body]
    }

    /// The header with other bytes at this offset of the table.
    pub fn with(&self, offset: usize, other: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes();
        bytes[offset..offset + other.len()].copy_from_slice(other);
        bytes
    }
}

/// An envelope of a batch that says its message has `length` bytes.
pub fn envelope(length: u32, msg: &[u8]) -> Vec<u8> {
    let head = (length << 8).to_le_bytes();
    [&head[..], &0_i64.to_le_bytes(), msg].concat()
}

/// A well-formed batch of one envelope.
pub fn batch_of_one(header: Header, msg: &[u8]) -> [Vec<u8>; 2] {
    Header { kind: BATCH, envelopes: 1, ..header }.before(envelope(msg.len() as u32, msg))
}

/// The incarnation that a header says, if it is from this server.
pub fn incarnation_of(from: u32, header: &[u8]) -> Option<u64> {
    let is_from = header.get(16..20)? == from.to_le_bytes();
    is_from.then(|| u64::from_le_bytes(field(header, 24)))
}

/// What a header acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub of: u64,
    pub next: u64,
    pub next_offset: u32,
    pub gap: u32,
}

impl Acknowledgement {
    pub fn in_header(header: &[u8]) -> Self {
        Self {
            of: u64::from_le_bytes(field(header, 72)),
            next: u64::from_le_bytes(field(header, 80)),
            next_offset: u32::from_le_bytes(field(header, 100)),
            gap: u32::from_le_bytes(field(header, 88)),
        }
    }
}

fn field<const BYTES: usize>(header: &[u8], offset: usize) -> [u8; BYTES] {
    header[offset..offset + BYTES].try_into().unwrap()
}
