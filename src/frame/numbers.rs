//! The numbers in a header.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// A time of a clock whose zero is anywhere, in microseconds, or the difference between two. It
/// starts again after some hour: only that between two soon after each other has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) fn new(now: Duration) -> Self {
        let micros = now.as_micros() & u128::from(u32::MAX);
        Self(u32::try_from(micros).unwrap_or(u32::MAX))
    }

    pub(crate) const fn from_wire(micros: u32) -> Self {
        Self(micros)
    }

    pub(crate) const fn to_wire(self) -> u32 {
        self.0
    }

    /// How much later than another one this is, which may be negative.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self(self.0.wrapping_sub(earlier.0))
    }

    /// The time that it stands for, if that is not negative.
    pub(crate) fn duration(self) -> Option<Duration> {
        (self.0 <= u32::MAX / 2).then(|| Duration::from_micros(self.0.into()))
    }
}

/// A duration in whole milliseconds, as it crosses the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Silence(u32);

impl Silence {
    pub(crate) const NEVER_HEARD: Self = Self(u32::MAX);

    /// `duration`, rounded down to milliseconds.
    pub(crate) fn new(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX - 1))
    }

    pub(crate) const fn from_wire(millis: u32) -> Self {
        Self(millis)
    }

    pub(crate) const fn to_wire(self) -> u32 {
        self.0
    }

    /// How long it was, if there was a start of it.
    pub(crate) fn duration(self) -> Option<Duration> {
        (self != Self::NEVER_HEARD).then(|| Duration::from_millis(self.0.into()))
    }
}

/// A byte's place in the stream from one process to a peer: in which payload, and how far in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) sequence: Sequence,
    pub(crate) offset: u32,
}

impl Position {
    pub(crate) const FIRST: Self = Self::start_of(Sequence::FIRST);

    /// Where a payload begins.
    pub(crate) const fn start_of(sequence: Sequence) -> Self {
        Self { sequence, offset: 0 }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, offset } = self;
        if *offset == 0 { write!(f, "{sequence:?}") } else { write!(f, "{sequence:?}+{offset}") }
    }
}

/// A payload's place in the stream from one process to a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence(u64);

impl Sequence {
    pub(crate) const FIRST: Self = Self(1);

    /// The last place there is. The upper half of the type is out of bounds, so that no peer can
    /// bring a link to its end.
    const LAST: Self = Self(u64::MAX / 2);

    /// The number, if it is one that a stream can reach.
    pub(crate) fn from_wire(number: u64) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0).contains(&number).then_some(Self(number))
    }

    pub(crate) const fn to_wire(self) -> u64 {
        self.0
    }

    /// The place `payloads` further on, or the last there is: what is acknowledged to a peer that
    /// claims to have come that far must still be a number that crosses the network.
    pub(crate) fn plus(self, payloads: usize) -> Self {
        Self(self.0.saturating_add(payloads as u64)).min(Self::LAST)
    }

    pub(crate) fn next(self) -> Self {
        self.plus(1)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One process of a server. A later process of the same server has a greater one, as long as the
/// clock of its machine does not go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Incarnation(NonZeroU64);

impl Incarnation {
    /// A new one, different from all others of this process and greater than those of earlier ones:
    /// the time of day in nanoseconds.
    #[expect(
        clippy::disallowed_methods,
        reason = "read once, and the order it gives is only a hint"
    )]
    pub(crate) fn draw() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = since_epoch.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0));
        let after = |last: u64| Some(clock.max(last.saturating_add(1)));
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).unwrap_or(0);
        let drawn = clock.max(last.saturating_add(1));
        Self(NonZeroU64::new(drawn).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) fn from_wire(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    pub(crate) const fn to_wire(self) -> u64 {
        self.0.get()
    }
}

/// The retransmission epoch: how often a sender has gone back to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Epoch(u32);

impl Epoch {
    pub(crate) const FIRST: Self = Self(1);

    /// The epoch after this one. Zero is no epoch.
    pub(crate) const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(number) => Self(number),
            None => Self::FIRST,
        }
    }

    pub(crate) fn from_wire(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    pub(crate) const fn to_wire(self) -> u32 {
        self.0
    }
}

/// A cluster's name, as frames carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClusterId(u64);

impl ClusterId {
    /// The FNV-1a hash of the name; zero for a cluster without one.
    pub(crate) fn new(name: Option<&str>) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let hash = |name: &str| {
            name.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
        };
        Self(name.map_or(0, hash))
    }

    pub(crate) const fn from_wire(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn to_wire(self) -> u64 {
        self.0
    }
}
