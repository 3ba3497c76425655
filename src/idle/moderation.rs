//! Fewer turns for more envelopes.

use std::time::Duration;

/// How many turns may follow each other at once after some rest.
const BURST: u32 = 5;

/// How many turns go without a pause after one that has gathered nothing.
const EXEMPT: u32 = 64;

/// Moderates a thread that is woken again and again for a few envelopes, as network cards moderate
/// their interrupts: it takes no more turns than one in each `gap` on the average, and finds
/// several envelopes in each, which then share what a frame costs both ends. That is a token bucket.
///
/// Who asks and waits for the answer puts in nothing meanwhile, and a pause would only be late: so
/// after one that has gathered nothing there is none for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moderation {
    gap: Duration,
    /// Until when the turns up to now have taken their time.
    paid_until: Duration,
    /// Whether there was a pause before this turn.
    has_paused: bool,
    /// How many turns have no pause.
    exempt: u32,
}

impl Moderation {
    pub(super) fn new(gap: Duration) -> Self {
        Self { gap, paid_until: Duration::ZERO, has_paused: false, exempt: 0 }
    }

    /// How long to pause after a turn that has taken so many envelopes.
    pub(super) fn pause(&mut self, envelopes: usize, now: Duration) -> Duration {
        if std::mem::take(&mut self.has_paused) && envelopes < 2 {
            self.exempt = EXEMPT;
        }
        let earliest = now.saturating_sub(self.gap * BURST);
        self.paid_until = self.paid_until.clamp(earliest, now) + self.gap;
        if self.exempt > 0 {
            self.exempt -= 1;
            return Duration::ZERO;
        }
        let pause = self.paid_until.saturating_sub(now);
        self.has_paused = !pause.is_zero();
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_micros(100);

    fn micros(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    /// The pauses of turns that each begin so long after the pause of the one before.
    fn pauses(moderation: &mut Moderation, envelopes: usize, apart: Duration) -> Vec<u128> {
        let mut now = micros(1_000);
        let mut pause = || {
            let pause = moderation.pause(envelopes, now);
            now += pause + apart;
            pause.as_micros()
        };
        (0..12).map(|_| pause()).collect()
    }

    #[test]
    fn a_few_turns_are_free_and_then_there_is_one_in_each_gap() {
        let mut moderation = Moderation::new(GAP);
        let expected = [0, 0, 0, 0, 0, 50, 90, 90, 90, 90, 90, 90];
        assert_eq!(pauses(&mut moderation, 2, micros(10)), expected);
        assert_eq!(pauses(&mut Moderation::new(GAP), 2, GAP), [0; 12]);
    }

    #[test]
    fn where_a_pause_gathers_nothing_there_is_none_for_a_while() {
        let mut moderation = Moderation::new(GAP);
        let expected = [0, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0];
        assert_eq!(pauses(&mut moderation, 1, micros(10)), expected);
        let mut now = micros(10_000);
        let mut unmoderated = 0;
        while moderation.pause(1, now).is_zero() {
            unmoderated += 1;
            now += micros(10);
        }
        assert!((EXEMPT - 10..=EXEMPT).contains(&unmoderated), "{unmoderated}");
    }
}
