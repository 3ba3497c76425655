//! How much memory a server may take: the sum of the bounds that its options set.

use std::fmt;

use raft_cluster::Builder;

use crate::SERVERS;

/// The largest message that is sent, in bytes.
pub(crate) const LARGEST: usize = 600_000;

/// The options, in bytes and in envelopes. The windows are small, so that a bound that does not
/// hold is seen.
const WINDOW: usize = 2 << 20;
const OUTBOX: usize = 32;
const INBOX: usize = 256;

/// The largest frame, which no option sets.
const FRAME: usize = 1 << 20;

/// What comes in between the pieces of a larger message, which no option sets either.
const INTERJECTION: usize = 256 << 10;

/// What a server takes whatever it does: the code it runs, the stacks of its threads, its channels,
/// libzmq's own, and what the allocator keeps of what was freed.
const PROGRAM: usize = 12 << 20;

/// Sets what the bound follows from.
pub(crate) fn bounded(builder: Builder<'_>) -> Builder<'_> {
    let builder = builder.outbox_capacity(OUTBOX).inbox_capacity(INBOX);
    builder.idle_timeout(None).window(WINDOW).max_message(LARGEST)
}

/// The bound of one server, by what it is made of.
pub(crate) struct Bound;

impl Bound {
    /// For each peer that is sent to: what it has not acknowledged, and what libzmq holds of that,
    /// some of it for the second time.
    const SENDING: usize = WINDOW + (2 * WINDOW + FRAME);

    /// For each peer that is heard: what waits for room in the inbox, a message that comes in
    /// fragments and one that comes in between, and what libzmq has read ahead, which is what the peer's libzmq held.
    const RECEIVING: usize = WINDOW + LARGEST + INTERJECTION + (2 * WINDOW + FRAME);

    /// The inbox is over its bound by a frame at most, the events by a message.
    const CHANNELS: usize = OUTBOX * LARGEST + (WINDOW + FRAME) + (WINDOW + LARGEST);

    const BYTES: usize =
        (SERVERS - 1) * (Self::SENDING + Self::RECEIVING) + Self::CHANNELS + PROGRAM;

    /// Whether so many KiB are within it.
    pub(crate) fn admits(kib: u64) -> bool {
        kib <= Self::BYTES as u64 / 1024
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let [sending, receiving, channels] = [Self::SENDING, Self::RECEIVING, Self::CHANNELS];
        write!(
            f,
            "{} = {} peers × ({} sending: 3 windows + frame; {} receiving: 3 windows + message + \
             {} + frame) + {} channels: outbox of {OUTBOX} messages, inbox of a window + frame, \
             events of a window + message; + {} program (window {}, frame {}, message {})",
            mib(Self::BYTES),
            SERVERS - 1,
            mib(sending),
            mib(receiving),
            mib(INTERJECTION),
            mib(channels),
            mib(PROGRAM),
            mib(WINDOW),
            mib(FRAME),
            mib(LARGEST),
        )
    }
}
