//! How much may be on its way to a living peer.

use std::time::Duration;

use crate::frame::Sequence;

/// How much longer than twice its shortest time an acknowledgement may take, before it counts as
/// held up by what was sent ahead of it.
const SLACK: Duration = Duration::from_millis(5);

/// The congestion window: finds out how much it takes to keep a peer busy. What is sent beyond that
/// only waits in buffers, and whatever is sent next has to wait behind it. It also has to go
/// through memory instead of the processor's cache, so that a short queue is the faster one, too.
///
/// This is delay-based congestion control, as in TCP Vegas: more may be on its way while the peer
/// acknowledges soon, compared with the shortest round trip seen, and less when it is late. By
/// Karn's rule a frame that was sent again gives no sample.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CongestionWindow {
    bytes: usize,
    minimum: usize,
    maximum: usize,
    /// The shortest round trip seen.
    min_rtt: Option<Duration>,
    sample: Option<Sample>,
}

/// A frame that the peer was asked to acknowledge, to measure a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sample {
    sequence: Sequence,
    at: Duration,
    /// How much was on its way, in bytes.
    used: usize,
}

impl CongestionWindow {
    /// Begins with the `minimum`, in bytes.
    pub(super) fn new(minimum: usize, maximum: usize) -> Self {
        Self { bytes: minimum, minimum, maximum, min_rtt: None, sample: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The peer is asked to acknowledge the frame with this sequence, while so much is on its way.
    pub(super) fn on_send(&mut self, sequence: Sequence, used: usize, now: Duration) {
        self.sample.get_or_insert(Sample { sequence, at: now, used });
    }

    /// All before `next` is acknowledged.
    pub(super) fn on_ack(&mut self, next: Sequence, now: Duration) {
        let Some(sample) = self.sample.take_if(|sample| sample.sequence < next) else {
            return;
        };
        let took = now.saturating_sub(sample.at);
        let min_rtt = self.min_rtt.map_or(took, |min_rtt| min_rtt.min(took));
        self.min_rtt = Some(min_rtt);
        let late = min_rtt * 2 + SLACK;
        if took > late && self.bytes == self.minimum {
            // It is not for what was sent ahead: the way has become longer, or the peer slower.
            self.min_rtt = Some(took);
        } else if took > late {
            self.bytes = (self.bytes - self.bytes / 4).max(self.minimum);
        } else if took < late / 2 && sample.used > self.bytes / 2 {
            self.bytes = (self.bytes + self.bytes / 2).min(self.maximum);
        }
    }

    /// The sample is sent again: nobody can tell which of the two is going to be acknowledged.
    pub(super) fn on_retransmit(&mut self) {
        self.sample = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMUM: usize = 1_000;
    const MAXIMUM: usize = 10_000;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// Sends with all of the window in use, and acknowledges after so many milliseconds.
    fn send_and_acknowledge(window: &mut CongestionWindow, took: u64) -> usize {
        let asked = Sequence::FIRST;
        window.on_send(asked, window.bytes(), millis(100));
        window.on_ack(asked.next(), millis(100 + took));
        window.bytes()
    }

    #[test]
    fn it_grows_to_the_window_while_answers_come_soon() {
        let mut window = CongestionWindow::new(MINIMUM, MAXIMUM);
        let grown: Vec<_> = (0..7).map(|_| send_and_acknowledge(&mut window, 1)).collect();
        assert_eq!(grown, [1_500, 2_250, 3_375, 5_062, 7_593, 10_000, 10_000]);
    }

    #[test]
    fn it_shrinks_to_the_minimum_while_they_are_late() {
        let mut window = CongestionWindow::new(MINIMUM, MAXIMUM);
        for _ in 0..7 {
            send_and_acknowledge(&mut window, 1);
        }
        let shrunk: Vec<_> = (0..9).map(|_| send_and_acknowledge(&mut window, 8)).collect();
        assert_eq!(shrunk, [7_500, 5_625, 4_219, 3_165, 2_374, 1_781, 1_336, 1_002, 1_000]);
    }

    #[test]
    fn a_distant_peer_is_not_late() {
        let mut window = CongestionWindow::new(MINIMUM, MAXIMUM);
        assert_eq!(send_and_acknowledge(&mut window, 50), 1_500);
        assert_eq!(send_and_acknowledge(&mut window, 60), 1_500);
        assert_eq!(send_and_acknowledge(&mut window, 104), 1_500);
        assert_eq!(send_and_acknowledge(&mut window, 106), 1_125);
    }

    #[test]
    fn a_peer_that_has_become_distant_is_late_for_a_while() {
        let mut window = CongestionWindow::new(MINIMUM, MAXIMUM);
        let after: Vec<_> =
            [1, 60, 60, 60, 60].map(|took| send_and_acknowledge(&mut window, took)).into();
        assert_eq!(after, [1_500, 1_125, 1_000, 1_000, 1_500]);
    }

    #[test]
    fn it_does_not_grow_when_it_is_not_used() {
        let mut window = CongestionWindow::new(MINIMUM, MAXIMUM);
        window.on_send(Sequence::FIRST, MINIMUM / 2, millis(0));
        window.on_ack(Sequence::FIRST.next(), millis(1));
        assert_eq!(window.bytes(), MINIMUM);
    }

    #[test]
    fn only_the_acknowledgement_of_the_sample_counts() {
        let mut window = CongestionWindow::new(MINIMUM, MAXIMUM);
        let second = Sequence::FIRST.next();
        window.on_send(second, MINIMUM, millis(0));
        window.on_ack(second, millis(1));
        assert_eq!(window.bytes(), MINIMUM);
        window.on_retransmit();
        window.on_ack(second.next(), millis(1));
        assert_eq!(window.bytes(), MINIMUM);
    }
}
