//! What is done to the servers, when, and how often: all of it from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::crew::Crew;
use crate::support::proxy::{BOTH, Cut, Mode, Way};
use crate::{Result, SERVERS};

/// Random faults, and their ends.
pub(crate) struct Faults {
    random: fastrand::Rng,
    next_at: Instant,
    /// What is to end, and when. The number tells ends of the same moment apart.
    ends: BTreeMap<(Instant, u64), End>,
    begun: u64,
    /// Servers that something is being done to.
    troubled: BTreeSet<usize>,
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Route(usize),
    Server(usize),
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            // The servers find each other first.
            next_at: Instant::now() + Duration::from_secs(1),
            ends: BTreeMap::new(),
            begun: 0,
            troubled: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    /// When there is something to do.
    pub(crate) fn next_at(&self) -> Instant {
        let end = self.ends.keys().next().map(|(at, _)| *at);
        end.map_or(self.next_at, |end| end.min(self.next_at))
    }

    /// Ends and begins what is to end and begin by now.
    pub(crate) fn cause_due(&mut self, crew: &mut Crew) -> Result<()> {
        let now = Instant::now();
        while let Some(entry) = self.ends.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let end = entry.remove();
            self.end(end, crew)?;
        }
        if now >= self.next_at {
            self.next_at = now + self.millis(20..400);
            self.cause(crew)?;
        }
        Ok(())
    }

    /// Ends everything.
    pub(crate) fn heal(&mut self, crew: &mut Crew) -> Result<()> {
        let ends = std::mem::take(&mut self.ends);
        ends.into_values().try_for_each(|end| self.end(end, crew))
    }

    fn end(&mut self, end: End, crew: &mut Crew) -> Result<()> {
        match end {
            End::Route(route) => crew.proxy.set(route, &BOTH, &Mode::Pass),
            End::Server(server) => {
                self.troubled.remove(&server);
                crew.signal(server, Signal::SIGCONT)?;
                crew.spawn(server)?;
            }
        }
        Ok(())
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }

    fn ends_within(&mut self, range: std::ops::Range<u64>, end: End) {
        let at = Instant::now() + self.millis(range);
        self.begun += 1;
        self.ends.insert((at, self.begun), end);
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Begins one fault.
    fn cause(&mut self, crew: &mut Crew) -> Result<()> {
        let from = self.random.usize(0..SERVERS);
        let to = (from + self.random.usize(1..SERVERS)) % SERVERS;
        let route = Crew::route(from, to);
        match self.random.u8(0..100) {
            0..40 => self.cut(crew, route, "resets", Cut::Reset),
            40..60 => self.cut(crew, route, "closes", Cut::Close),
            60..70 => self.impair(crew, route, "stalls", &Mode::Stall),
            70..78 => self.impair(crew, route, "swallows", &Mode::Swallow),
            78..86 => {
                let delay = Duration::from_millis(5)..Duration::from_millis(100);
                self.impair(crew, route, "delays", &Mode::Delay(delay));
            }
            86..90 => self.isolate(crew, from),
            90..95 if self.troubled.insert(from) => {
                self.count("stops");
                crew.signal(from, Signal::SIGSTOP)?;
                self.ends_within(100..7_000, End::Server(from));
            }
            95..100 if self.troubled.insert(from) => {
                self.count("kills");
                crew.kill(from)?;
                self.ends_within(0..7_000, End::Server(from));
            }
            _ => {}
        }
        Ok(())
    }

    fn cut(&mut self, crew: &Crew, route: usize, name: &'static str, cut: Cut) {
        if crew.proxy.cut(route, cut) > 0 {
            self.count(name);
        }
    }

    /// One way, the other, or both, for a while.
    fn impair(&mut self, crew: &Crew, route: usize, name: &'static str, mode: &Mode) {
        let ways = [&BOTH[..], &[Way::Forth], &[Way::Back]];
        let ways = ways[self.random.usize(0..ways.len())];
        self.count(name);
        crew.proxy.set(route, ways, mode);
        self.ends_within(100..4_000, End::Route(route));
    }

    /// Cuts a server off from all others, for long enough to be missed by some.
    fn isolate(&mut self, crew: &Crew, server: usize) {
        self.count("partitions");
        let until = self.millis(500..8_000);
        for other in (0..SERVERS).filter(|other| *other != server) {
            for route in [Crew::route(server, other), Crew::route(other, server)] {
                crew.proxy.set(route, &BOTH, &Mode::Stall);
                self.begun += 1;
                self.ends.insert((Instant::now() + until, self.begun), End::Route(route));
            }
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.iter().map(|(name, count)| format!("{count} {name}"));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}
