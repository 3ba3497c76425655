//! How much may be on its way to a living peer.

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

/// The congestion window: finds out how much it takes to keep a peer busy. What is sent beyond that
/// only waits in buffers, and whatever is sent next has to wait behind it.
///
/// This is delay-based congestion control, as in LEDBAT: the peer tells how long a frame was on its
/// way, and what exceeds the shortest delay seen was spent in a queue. More may be on its way while
/// the queue is short, and less when it is long, but never less than the line carries in the time
/// that a queue may take, at the highest rate at which the peer has lately acknowledged. The way
/// back does not count: there an acknowledgement may wait behind what the peer sends. As in BBR, the
/// shortest delay is [now and then](BELIEF) measured anew. By Karn's rule a frame that was sent
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
    /// The smoothed round trip.
    srtt: Option<Duration>,
    rate: MaxRate,
    /// How much was ever acknowledged, in bytes.
    delivered: u64,
    sample: Option<Sample>,
}

/// A frame that the peer was asked to acknowledge, to measure a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sample {
    /// Where the frame begins.
    position: Position,
    at: Duration,
    /// How much was on its way, and how much had been acknowledged, in bytes.
    used: usize,
    delivered: u64,
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
            srtt: None,
            rate: MaxRate::default(),
            delivered: 0,
            sample: None,
        };
        window.bytes = frames.min.saturating_mul(4).min(maximum).max(window.lowest());
        window
    }

    pub(super) fn bytes(&self) -> usize {
        if self.drains { self.lowest() } else { self.bytes }
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

    /// After how many bytes the peer is asked for an acknowledgement: after each quarter of what may
    /// be on its way, so that the line does not fall idle where an answer takes long, or each half
    /// where that is no time.
    pub(super) fn ask_after(&self) -> usize {
        self.bytes() / if self.bytes() < self.frames.max { 4 } else { 2 }
    }

    /// How long to wait for an acknowledgement before the peer is asked again.
    pub(super) fn probe_timeout(&self) -> Duration {
        self.srtt.unwrap_or(FIRST_RTT).max(FIRST_RTT / 3) * 3
    }

    /// The peer is asked to acknowledge the frame that begins here, while so much is on its way.
    pub(super) fn on_send(&mut self, position: Position, used: usize, now: Duration) {
        let delivered = self.delivered;
        self.sample.get_or_insert(Sample { position, at: now, used, delivered });
    }

    /// So many more bytes are acknowledged, by this.
    pub(super) fn on_ack(&mut self, ack: &Acknowledgement, bytes: usize, now: Duration) {
        self.delivered += bytes as u64;
        let Some(sample) = self.sample.take_if(|sample| sample.position < ack.next) else {
            return;
        };
        let took = now.saturating_sub(sample.at);
        let queue = self.queue(&sample, ack.delay, now);
        let used = sample.used >= self.bytes() / 2;
        self.measure(&sample, used, took);
        let (long, least) = (self.longest_queue(), self.least());
        if queue > long && self.bytes <= self.lowest() {
            // It is not for what was sent ahead: the way has become longer, or the peer slower.
            self.base = Some((ack.delay, now));
        } else if self.is_no_time(took) {
            self.grow(if used { self.bytes } else { 0 });
        } else if queue < long / 2 {
            self.grow(if used { self.bytes / 2 } else { 0 });
        } else if queue > long {
            self.bytes = (self.bytes - self.bytes / 4).max(least.min(self.bytes));
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

    fn measure(&mut self, sample: &Sample, enough: bool, took: Duration) {
        self.srtt = Some(self.srtt.map_or(took, |srtt| (srtt * 7 + took) / 8));
        let delivered = u128::from(self.delivered - sample.delivered);
        let rate = delivered * 1_000_000 / took.as_micros().max(1);
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

    /// The sample is sent again: nobody can tell which of the two is going to be acknowledged.
    pub(super) fn on_retransmit(&mut self) {
        self.sample = None;
    }

    /// The way is another one, or so slow that it was given up: nothing is known of it.
    pub(super) fn restart(&mut self) {
        *self = Self { delivered: self.delivered, ..Self::new(self.frames, self.maximum) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Sequence;

    /// Of these the line always carries two in time.
    const FRAMES: FrameSizes = FrameSizes { min: 500, max: 1_000 };
    const LEAST: usize = 3 * (500 + FRAME_OVERHEAD);
    const MAXIMUM: usize = 10_000;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// One that has come to 2,000 bytes.
    fn window() -> CongestionWindow {
        CongestionWindow { bytes: 2_000, ..CongestionWindow::new(FRAMES, MAXIMUM) }
    }

    fn ack(next: Position, delay: u64) -> Acknowledgement {
        Acknowledgement { next, delay: Stamp::new(millis(delay)), ..Acknowledgement::NONE }
    }

    /// Sends with all of the window in use, and acknowledges. The frame was on its way for so many
    /// milliseconds.
    fn send_and_acknowledge(window: &mut CongestionWindow, took: u64) -> usize {
        let used = window.bytes();
        window.on_send(Position::FIRST, used, millis(100));
        let next = Position::start_of(Sequence::FIRST.next());
        window.on_ack(&ack(next, took), used, millis(100 + took));
        window.bytes()
    }

    #[test]
    fn it_grows_to_the_window_while_answers_come_soon() {
        let mut window = window();
        let grown: Vec<_> = (0..5).map(|_| send_and_acknowledge(&mut window, 1)).collect();
        assert_eq!(grown, [3_000, 4_500, 6_750, 10_000, 10_000]);
    }

    #[test]
    fn it_shrinks_to_the_least_while_they_queue() {
        let mut window = window();
        for _ in 0..5 {
            send_and_acknowledge(&mut window, 1);
        }
        let shrunk: Vec<_> = (0..6).map(|_| send_and_acknowledge(&mut window, 27)).collect();
        assert_eq!(shrunk, [7_500, 5_625, 4_219, 3_165, 2_374, LEAST]);
    }

    #[test]
    fn a_distant_peer_is_not_late() {
        let mut window = window();
        assert_eq!(send_and_acknowledge(&mut window, 50), 3_000);
        assert_eq!(send_and_acknowledge(&mut window, 80), 3_000);
        assert_eq!(send_and_acknowledge(&mut window, 100), 3_000);
        assert_eq!(send_and_acknowledge(&mut window, 101), 2_250);
    }

    #[test]
    fn a_peer_that_has_become_distant_is_late_for_a_while() {
        let mut window = window();
        let took = [1, 60, 60, 60, 60, 60, 60, 60];
        let after = took.map(|took| send_and_acknowledge(&mut window, took));
        assert_eq!(after, [3_000, 2_250, LEAST, LEAST, 2_826, 4_239, 6_358, 9_537]);
    }

    #[test]
    fn it_does_not_grow_when_it_is_not_used() {
        let mut window = window();
        let before = window.bytes();
        window.on_send(Position::FIRST, before / 2 - 1, millis(0));
        window.on_ack(&ack(Position::start_of(Sequence::FIRST.next()), 1), 100, millis(1));
        assert_eq!(window.bytes(), before);
    }

    #[test]
    fn only_the_acknowledgement_of_the_sample_counts() {
        let mut window = window();
        let before = window.bytes();
        let sample = Position { sequence: Sequence::FIRST, offset: 7 };
        window.on_send(sample, before, millis(0));
        window.on_ack(&ack(sample, 1), before, millis(1));
        assert_eq!(window.bytes(), before);
        window.on_retransmit();
        window.on_ack(&ack(Position { offset: 8, ..sample }, 1), 1, millis(1));
        assert_eq!(window.bytes(), before);
    }

    #[test]
    fn what_the_line_carries_in_its_time_is_never_too_much() {
        let frames = FrameSizes { min: 100, max: 100_000 };
        let mut window = CongestionWindow::new(frames, 1_000_000);
        // A line of 100 bytes in a millisecond, beyond which everything waits.
        for _ in 0..50 {
            let took = window.bytes() as u64 / 100;
            send_and_acknowledge(&mut window, took);
        }
        assert!((1_600..=3_800).contains(&window.bytes()), "{window:?}");
        assert_eq!(window.max_frame(), window.bytes() / 4);
        // It has become ten times slower: a while later it counts as that.
        for _ in 0..80 {
            let took = window.bytes() as u64 / 10;
            send_and_acknowledge(&mut window, took);
        }
        assert!((600..=1_100).contains(&window.bytes()), "{window:?}");
        assert_eq!(window.max_frame(), window.bytes() / 4);
    }

    /// The threads of a busy machine are late by some milliseconds, whatever is sent.
    #[test]
    fn a_delay_that_is_no_time_holds_nothing_back_until_the_largest_frame_fits() {
        let frames = FrameSizes { min: 500, max: 8_000 };
        let late = |took| {
            let mut window = CongestionWindow::new(frames, 100_000);
            send_and_acknowledge(&mut window, 1);
            let before = window.bytes();
            window.bytes = 4_000;
            (
                before,
                send_and_acknowledge(&mut window, took),
                send_and_acknowledge(&mut window, took),
            )
        };
        assert_eq!(late(24), (4_000, 8_000, 8_000));
        assert_eq!(late(25), (4_000, 4_000, 4_000));
    }

    /// A line lets a burst pass at once after a rest: its rate is no reason to send more.
    #[test]
    fn a_burst_at_the_beginning_does_not_make_a_slow_line_a_fast_one() {
        let frames = FrameSizes { min: 100, max: 1_000_000 };
        let mut window = CongestionWindow::new(frames, 10_000_000);
        send_and_acknowledge(&mut window, 0);
        for _ in 0..30 {
            let took = window.bytes() as u64;
            send_and_acknowledge(&mut window, took);
            assert!(window.bytes() < 1_400 && window.max_frame() < 350, "{window:?}");
        }
    }

    #[test]
    fn a_queue_on_the_way_back_does_not_count() {
        let mut window = window();
        for round in 0..5 {
            window.on_send(Position::FIRST, window.bytes(), millis(100));
            let next = Position::start_of(Sequence::FIRST.next());
            window.on_ack(&ack(next, 1), window.bytes(), millis(200 + 50 * round));
        }
        assert_eq!(window.bytes(), MAXIMUM);
    }

    #[test]
    fn the_shortest_delay_is_measured_anew_with_next_to_nothing_on_its_way() {
        let mut window = window();
        send_and_acknowledge(&mut window, 1);
        let mut acknowledge = |sent: Duration, used: usize, took: u64| {
            window.on_send(Position::FIRST, used, sent);
            let next = Position::start_of(Sequence::FIRST.next());
            window.on_ack(&ack(next, took), used, sent + millis(took));
            window.bytes()
        };
        assert_eq!(acknowledge(millis(9_000), 3_000, 20), 3_000);
        assert_eq!(acknowledge(millis(11_000), 3_000, 20), LEAST);
        // What was on its way before does not count.
        assert_eq!(acknowledge(millis(11_030), 3_000, 20), LEAST);
        // The path has become longer.
        assert_eq!(acknowledge(millis(11_060), LEAST, 20), 4_500);
        assert_eq!(acknowledge(millis(11_090), 4_500, 44), 4_500);
        assert_eq!(acknowledge(millis(11_120), 4_500, 46), 3_375);
    }

    #[test]
    fn frames_become_large_where_that_takes_no_time() {
        let frames = FrameSizes { min: 100, max: 10_000 };
        let mut window = CongestionWindow::new(frames, 100_000);
        assert_eq!((window.bytes(), window.max_frame()), (684, 171));
        while window.bytes() < frames.max {
            assert!(window.max_frame() <= window.bytes() / 4);
            send_and_acknowledge(&mut window, 1);
        }
        assert_eq!(window.max_frame(), frames.max);
        window.restart();
        assert_eq!((window.bytes(), window.max_frame()), (684, 171));
    }

    #[test]
    fn an_acknowledgement_that_takes_long_is_asked_for_later() {
        let mut window = window();
        assert_eq!(window.probe_timeout(), FIRST_RTT * 3);
        send_and_acknowledge(&mut window, 0);
        assert_eq!(window.probe_timeout(), FIRST_RTT / 3 * 3);
        for _ in 0..100 {
            send_and_acknowledge(&mut window, 200);
        }
        assert!((millis(590)..=millis(600)).contains(&window.probe_timeout()));
    }
}
