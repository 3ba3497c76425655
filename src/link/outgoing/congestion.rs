//! How much may be on its way to a living peer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{Acknowledgement, Position, Stamp};
use crate::link::{FRAME_OVERHEAD, FrameSizes};

/// How long the queue on the way may become, in time and in bytes. It is what keeps a line busy; more
/// would only wait, and run out of the processor's cache where the line is fast.
const SHORTEST_QUEUE: Duration = Duration::from_millis(2);
const LONGEST_QUEUE: Duration = Duration::from_millis(25);
const QUEUE: u64 = 1 << 20;

/// The queue may be of so many of the smallest frames, however long they take.
const FRAMES: u64 = 4;

/// How long a frame takes on a line that is fast enough for the largest one.
const FAST: Duration = Duration::from_millis(30);

/// How long to wait for an acknowledgement before the first one has told how long it takes.
const FIRST_RTT: Duration = Duration::from_millis(50);

/// How long the shortest delay is believed. Then it is measured anew, with next to nothing on its
/// way: the path may have changed, and a queue that never empties looks like a long path.
const BELIEF: Duration = Duration::from_secs(10);

/// For how many samples a rate is remembered, at least.
const MEMORY: u32 = 8;

/// By how much each step towards the right window is shortened.
const DAMPING: u128 = 2;

/// How many frames are measured at a time.
const SAMPLES: usize = 8;

/// The congestion window: finds out how much it takes to keep a peer busy. What is sent beyond that
/// only waits in buffers, and whatever is sent next has to wait behind it.
///
/// This is delay-based congestion control, as in LEDBAT: the peer tells how long a frame was on its
/// way, and what exceeds the shortest delay seen was spent in a queue. More may be on its way while
/// the queue is short, and less when it is long, but never less than the line carries in the time
/// that a queue may take, at the highest rate at which the peer has lately acknowledged. The way
/// back does not count: there an acknowledgement may wait behind what the peer sends. The window grows
/// quickly until there is a queue, and from then on it [approaches](Self::approach) the right one. As in
/// BBR, the shortest delay is [now and then](BELIEF) measured anew. By Karn's rule a frame that was sent
/// again gives no sample.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CongestionWindow {
    bytes: usize,
    frames: FrameSizes,
    maximum: usize,
    /// The shortest delay seen, and when.
    base: Option<(Stamp, Duration)>,
    /// Whether it is being measured anew.
    drains: bool,
    /// Whether the way is shared with an outbox that needs little of it.
    shared: bool,
    /// The smoothed round trip; and that of frames that were sent once only, for who wants to know.
    srtt: Option<Duration>,
    rtt: Option<Duration>,
    rate: MaxRate,
    /// How much was ever acknowledged, in bytes, and when that was last more than before, or might
    /// have been.
    delivered: u64,
    delivered_at: Duration,
    samples: VecDeque<Sample>,
    /// Whether there was a queue since the beginning: how much the line carries is about known.
    settled: bool,
    /// How much had been acknowledged when the window was last adapted, in bytes.
    adapted: u64,
}

/// A frame that the peer was asked to acknowledge, to measure a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sample {
    /// Where the frame begins.
    position: Position,
    /// Whether it was sent before: nobody can tell which of the two is acknowledged.
    again: bool,
    at: Duration,
    /// How much was on its way, and how much had been acknowledged, in bytes.
    used: usize,
    delivered: u64,
    /// When that was acknowledged.
    delivered_at: Duration,
}

/// The highest rate of the last samples, in bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct MaxRate {
    before: u64,
    now: u64,
    samples: u32,
}

impl MaxRate {
    /// A rate while there was enough to send; one while there was not may be too low.
    fn take(&mut self, rate: u64, enough: bool) {
        self.now = self.now.max(rate);
        self.samples += u32::from(enough);
        if self.samples >= MEMORY {
            *self = Self { before: self.now, now: 0, samples: 0 };
        }
    }

    fn bytes_per_second(self) -> u64 {
        self.before.max(self.now)
    }

    /// What the line carries in that time, in bytes.
    fn during(self, time: Duration) -> usize {
        let bytes = u128::from(self.bytes_per_second()) * time.as_micros() / 1_000_000;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

impl CongestionWindow {
    /// Begins with four of the smallest frames, and grows to the `maximum`, in bytes.
    pub(super) fn new(frames: FrameSizes, maximum: usize) -> Self {
        let mut window = Self {
            bytes: 0,
            frames,
            maximum,
            base: None,
            drains: false,
            shared: false,
            srtt: None,
            rtt: None,
            rate: MaxRate::default(),
            delivered: 0,
            delivered_at: Duration::ZERO,
            samples: VecDeque::new(),
            settled: false,
            adapted: 0,
        };
        window.bytes = frames.min.saturating_mul(4).min(maximum).max(window.lowest());
        window
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self { drains: true, .. } => self.lowest(),
            Self { shared: true, .. } => self.bytes.min(self.frames.max / 2).max(self.lowest()),
            _ => self.bytes,
        }
    }

    /// The way is shared with an outbox that needs little of it, or is not. While it is, half of the
    /// largest frame is on its way at most, in smaller ones.
    pub(super) fn share(&mut self, shared: bool) {
        self.shared = shared;
    }

    /// The largest frame: a quarter of what may be on its way, so that progress is seen; or as large
    /// as frames get, where that is no time.
    pub(super) fn max_frame(&self) -> usize {
        let FrameSizes { min, max } = self.frames;
        let fast = self.bytes() >= max && self.rate.during(FAST) >= max;
        if fast { max } else { (self.bytes() / 4).clamp(min, max) }
    }

    /// The largest batch: half of what may be on its way, so that one after another fills it. A
    /// message in it has to wait until all of it has come.
    pub(super) fn max_batch(&self) -> usize {
        (self.bytes() / 2).max(self.frames.min)
    }

    /// After how many bytes the peer is asked for an acknowledgement: after each eighth of what may
    /// be on its way, so that the line does not fall idle where an answer takes long, or each half
    /// where that is no time.
    pub(super) fn ask_after(&self) -> usize {
        self.bytes() / if self.bytes() < self.frames.max { 8 } else { 2 }
    }

    /// How long to wait for an acknowledgement before the peer is asked again.
    pub(super) fn probe_timeout(&self) -> Duration {
        self.srtt.unwrap_or(FIRST_RTT).max(FIRST_RTT / 3) * 3
    }

    /// The smoothed round trip of frames that were sent once only.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The peer is asked to acknowledge the frame that begins here, while so much is on its way.
    pub(super) fn on_send(&mut self, position: Position, used: usize, now: Duration) {
        self.begin(position, false, used, now);
    }

    /// The same of a frame that was sent before.
    pub(super) fn on_resend(&mut self, position: Position, used: usize, now: Duration) {
        self.begin(position, true, used, now);
    }

    /// On a line that carries much, one at a time tells enough.
    fn begin(&mut self, position: Position, again: bool, used: usize, now: Duration) {
        let most = if self.bytes < self.frames.max { SAMPLES } else { 1 };
        if self.samples.len() < most {
            let Self { delivered, delivered_at, .. } = *self;
            self.samples.push_back(Sample {
                position,
                again,
                at: now,
                used,
                delivered,
                delivered_at,
            });
        }
    }

    /// There was nothing on its way: the time until now says nothing of the line.
    pub(super) fn on_first(&mut self, now: Duration) {
        self.delivered_at = now;
    }

    /// So many more bytes are acknowledged, by this.
    pub(super) fn on_ack(&mut self, ack: &Acknowledgement, bytes: usize, now: Duration) {
        if bytes > 0 {
            self.delivered += bytes as u64;
            self.delivered_at = now;
        }
        let known = self.samples.partition_point(|sample| sample.position < ack.next);
        // The delay is that of the last one.
        let Some(sample) = self.samples.drain(..known).next_back() else { return };
        let took = now.saturating_sub(sample.at);
        let queue = self.queue(&sample, ack.delay, now);
        let used = sample.used >= self.bytes() / 2;
        self.measure(&sample, used, took, now);
        let long = self.longest_queue();
        let acked = self.take_unadapted();
        if queue > long && self.bytes <= self.lowest() {
            // It is not for what was sent ahead: the way has become longer, or the peer slower.
            self.base = Some((ack.delay, now));
            self.settled = false;
        } else if self.is_no_time(took) {
            self.grow(if used { acked } else { 0 });
        } else if !self.settled && queue < long / 2 {
            self.grow(if used { acked / 2 } else { 0 });
        } else {
            self.settled = true;
            self.approach(queue, took, acked, used);
        }
    }

    /// How much was acknowledged since the window was last adapted, in bytes: what has to come of
    /// a whole window comes of so much of it.
    fn take_unadapted(&mut self) -> usize {
        let acked = self.delivered - std::mem::replace(&mut self.adapted, self.delivered);
        usize::try_from(acked).unwrap_or(usize::MAX).min(self.bytes)
    }

    /// Comes closer to the window with which the queue is as long as it is to be, as in FAST TCP: by
    /// what a longer or shorter queue would add to the round trip, and by small steps. The way back may
    /// be as long as that there, since the peer does the same: two that leap would starve each other by
    /// turns.
    fn approach(&mut self, queue: Duration, took: Duration, acked: usize, used: bool) {
        let (target, took) = (self.longest_queue(), took.as_micros().max(1));
        let step = |difference: Duration, most: usize| {
            let exact = acked as u128 * difference.as_micros() / took / DAMPING;
            usize::try_from(exact).unwrap_or(usize::MAX).min(acked / most)
        };
        if queue < target {
            self.grow(if used { step(target - queue, 2) } else { 0 });
        } else {
            let least = self.least().min(self.bytes);
            self.bytes = (self.bytes - step(queue - target, 4)).max(least);
        }
    }

    /// How long a frame was in a queue that was on its way for this time.
    fn queue(&mut self, sample: &Sample, delay: Stamp, now: Duration) -> Duration {
        let alone = self.drains && sample.used <= self.lowest();
        let beyond = self.base.and_then(|(shortest, _)| delay.since(shortest).duration());
        let queue = beyond.filter(|_| !alone).unwrap_or_else(|| {
            self.base = Some((delay, now));
            self.drains = false;
            Duration::ZERO
        });
        self.drains |= self.base.is_some_and(|(_, since)| now >= since + BELIEF);
        queue
    }

    fn grow(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes).min(self.maximum);
    }

    /// Whether there is nothing to gain by a shorter queue: one frame as large as frames get is on
    /// its way at most, and there and back in less than a queue may take. What holds it up may be
    /// a busy machine, where more at a time costs less.
    fn is_no_time(&self, took: Duration) -> bool {
        self.bytes < self.frames.max && took < LONGEST_QUEUE
    }

    fn measure(&mut self, sample: &Sample, enough: bool, took: Duration, now: Duration) {
        self.srtt = Some(smoothed(self.srtt, took));
        if !sample.again {
            self.rtt = Some(smoothed(self.rtt, took));
        }
        let delivered = u128::from(self.delivered - sample.delivered);
        // As in BBR: what was acknowledged at once may have been carried before, one after the other.
        let since = now.saturating_sub(sample.delivered_at);
        let rate = delivered * 1_000_000 / since.as_micros().max(1);
        self.rate.take(u64::try_from(rate).unwrap_or(u64::MAX), enough);
    }

    /// How long the queue on the way may become.
    fn longest_queue(&self) -> Duration {
        let takes = |bytes: u64| {
            let micros = bytes.saturating_mul(1_000_000) / self.rate.bytes_per_second().max(1);
            Duration::from_micros(micros)
        };
        let frames = takes(FRAMES * self.frames.min as u64);
        takes(QUEUE).clamp(SHORTEST_QUEUE, LONGEST_QUEUE).max(frames)
    }

    /// The least that may be on its way.
    fn least(&self) -> usize {
        let FrameSizes { min, max } = self.frames;
        self.rate.during(LONGEST_QUEUE).clamp(min, max).min(self.maximum).max(self.lowest())
    }

    /// The least that is ever worth while: one frame is on its way, one waits behind it, and one is
    /// being acknowledged.
    fn lowest(&self) -> usize {
        let frame = self.frames.min.saturating_add(FRAME_OVERHEAD);
        frame.saturating_mul(3).min(self.maximum)
    }

    /// The sample is sent again, and nobody can tell which of the two is going to be acknowledged; or
    /// nobody knows how long it takes.
    pub(super) fn forget_sample(&mut self) {
        self.samples.clear();
    }

    /// The way is another one, or so slow that it was given up: nothing is known of it.
    pub(super) fn restart(&mut self) {
        let delivered = self.delivered;
        *self = Self { delivered, adapted: delivered, ..Self::new(self.frames, self.maximum) };
    }
}

/// The smoothed round trip after a further one, as in RFC 6298.
fn smoothed(before: Option<Duration>, took: Duration) -> Duration {
    before.map_or(took, |before| (before * 7 + took) / 8)
}

#[cfg(test)]
mod tests;
