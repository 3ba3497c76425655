//! What a thread does when it has run out of work, has too little of it, or is in another one's way.

mod back_off;
mod moderation;

use std::thread;
use std::time::Duration;

pub(crate) use self::back_off::back_off;
use self::moderation::Moderation;

/// What the threads of a server do between two messages: what a message costs, against how soon it is
/// there. See [`Builder::idle`](crate::Builder::idle).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Idle {
    /// They sleep, and at rest nothing runs. Where the answer to a message usually comes at once,
    /// the output thread looks for it for up to 150 µs before that; and where messages come often, it
    /// takes several of them at a time, in 10,000 turns a second at most.
    #[default]
    Adaptive,
    /// They never sleep: each of the two threads keeps a core busy, also at rest. For those who have
    /// the cores.
    Spin,
    /// They sleep whenever there is nothing to do, and where messages come often, the output thread
    /// takes several at a time, in 5,000 turns a second at most.
    Sleep,
}

/// How long a thread stays awake when it has run out of work. The answer to what it has just sent
/// comes within this time, and to be woken takes longer than to look.
const AWAKE: Duration = Duration::from_micros(150);

/// A thread that yields and is not back after this time is on a busy machine, where
/// to stay awake only costs.
const BUSY: Duration = Duration::from_micros(150);

/// How long a thread does not stay awake then.
const REST: Duration = Duration::from_millis(500);

/// For how long there are no other turns, where some follow each other.
const GAP: Duration = Duration::from_micros(100);
const LONG_GAP: Duration = Duration::from_micros(200);

/// The idle strategy: decides when a thread that has run out of work goes to sleep, and whether one
/// that has some lets it become more. A thread that stays awake yields to all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleStrategy {
    idle: Idle,
    /// None where every message goes at once.
    moderation: Option<Moderation>,
    /// Since when there has been no work.
    since: Option<Duration>,
    yielded_at: Option<Duration>,
    /// Whether the last work came soon enough to wait for the next.
    pays: bool,
    rests_until: Duration,
}

impl IdleStrategy {
    pub(crate) fn new(idle: Idle) -> Self {
        let moderation = match idle {
            Idle::Adaptive => Some(Moderation::new(GAP)),
            Idle::Sleep => Some(Moderation::new(LONG_GAP)),
            Idle::Spin => None,
        };
        let rests_until = Duration::ZERO;
        Self { idle, moderation, since: None, yielded_at: None, pays: false, rests_until }
    }

    /// There was work.
    pub(crate) fn on_work(&mut self, now: Duration) {
        self.yielded_at = None;
        if let Some(since) = self.since.take() {
            self.pays = now < since + AWAKE;
        }
    }

    /// There is none. Whether the thread stays awake a little longer: then it has yielded.
    pub(crate) fn stays_awake(&mut self, now: Duration) -> bool {
        let awake = match self.idle {
            Idle::Adaptive => self.adapts(now),
            Idle::Spin => true,
            Idle::Sleep => false,
        };
        if awake {
            self.yielded_at = Some(now);
            thread::yield_now();
        }
        awake
    }

    fn adapts(&mut self, now: Duration) -> bool {
        if self.yielded_at.take().is_some_and(|yielded_at| now > yielded_at + BUSY) {
            self.rests_until = now + REST;
        }
        let since = *self.since.get_or_insert(now);
        self.pays && now < since + AWAKE && now >= self.rests_until
    }

    /// How long to let work become more, after a turn that has taken so many envelopes.
    pub(crate) fn pause(&mut self, envelopes: usize, now: Duration) -> Duration {
        self.moderation
            .as_mut()
            .map_or(Duration::ZERO, |moderation| moderation.pause(envelopes, now))
    }
}

/// Has this thread wake when it is to, and not up to 50 µs later, as Linux does by default.
pub(crate) fn sleep_precisely() {
    #[cfg(target_os = "linux")]
    {
        // In nanoseconds. Where this is refused, pauses are longer.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZero::new(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    /// For how long a thread is awake that has run out of work now and looks for some so often.
    fn awake_for(idle: &mut IdleStrategy, from: Duration, step: Duration) -> Duration {
        let mut now = from;
        while idle.stays_awake(now) {
            now += step;
        }
        assert!(!idle.stays_awake(now + micros(1)), "it sleeps until there is work");
        now - from
    }

    #[test]
    fn a_thread_stays_awake_when_its_last_work_came_soon() {
        let mut idle = IdleStrategy::new(Idle::Adaptive);
        assert_eq!(awake_for(&mut idle, micros(0), micros(10)), micros(0));
        idle.on_work(AWAKE - micros(1));
        assert_eq!(awake_for(&mut idle, micros(210), micros(10)), AWAKE);
        idle.on_work(micros(210) + AWAKE);
        assert_eq!(awake_for(&mut idle, micros(1_010), micros(10)), micros(0));
    }

    #[test]
    fn on_a_busy_machine_it_goes_to_sleep_at_once() {
        let mut idle = IdleStrategy::new(Idle::Adaptive);
        let mut run_out_at = |from: Duration, step| {
            idle.on_work(from);
            idle.stays_awake(from);
            idle.on_work(from + micros(1));
            awake_for(&mut idle, from + micros(2), step)
        };
        assert_eq!(run_out_at(micros(0), BUSY), BUSY, "that is not too long yet");
        assert_eq!(run_out_at(micros(500), BUSY + micros(1)), BUSY + micros(1));
        assert_eq!(run_out_at(micros(1_000), micros(10)), micros(0));
        assert_eq!(run_out_at(micros(1_000) + REST, micros(10)), AWAKE);
    }

    #[test]
    fn who_spins_never_sleeps_and_who_sleeps_never_stays_awake() {
        let mut spinning = IdleStrategy::new(Idle::Spin);
        let mut sleeping = IdleStrategy::new(Idle::Sleep);
        for now in (0..1_000).map(micros) {
            sleeping.on_work(now);
            assert!(spinning.stays_awake(now) && !sleeping.stays_awake(now));
            assert_eq!(spinning.pause(1, now), Duration::ZERO);
        }
        let pauses = (0..100).filter(|now| !sleeping.pause(5, micros(1_000 + now)).is_zero());
        assert!(pauses.count() > 50);
    }
}
