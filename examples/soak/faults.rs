//! What is done to the servers, when, and how often: all of it from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::crew::Crew;
use crate::names::Failure;
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
    Name(usize),
    /// A server has another one out of its list.
    Listing(usize, usize),
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
    pub(crate) fn cause_due(&mut self, crew: &mut Crew<'_>) -> Result<()> {
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
    pub(crate) fn heal(&mut self, crew: &mut Crew<'_>) -> Result<()> {
        let ends = std::mem::take(&mut self.ends);
        ends.into_values().try_for_each(|end| self.end(end, crew))
    }

    fn end(&mut self, end: End, crew: &mut Crew<'_>) -> Result<()> {
        match end {
            End::Route(route) => crew.proxy.set(route, &BOTH, &Mode::Pass),
            End::Server(server) => {
                self.troubled.remove(&server);
                crew.signal(server, Signal::SIGCONT)?;
                crew.spawn(server)?;
            }
            End::Name(server) => drop(crew.names.heal(server)),
            End::Listing(server, peer) => crew.put_back(server, peer)?,
        }
        Ok(())
    }

    fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }

    fn ends_within(&mut self, range: Range<u64>, end: End) {
        let at = Instant::now() + self.millis(range);
        self.begun += 1;
        self.ends.insert((at, self.begun), end);
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Begins one fault.
    fn cause(&mut self, crew: &mut Crew<'_>) -> Result<()> {
        let from = self.random.usize(0..SERVERS);
        let to = (from + self.random.usize(1..SERVERS)) % SERVERS;
        let route = crew.route(from, to);
        match self.random.u8(0..100) {
            0..28 => self.cut(crew, route, "resets", Cut::Reset),
            28..46 => self.cut(crew, route, "closes", Cut::Close),
            46..54 => self.take_out(crew, from, to)?,
            54..58 => {
                self.count("moves");
                crew.turn(from, to)?;
            }
            58..63 => self.impair(crew, route, "stalls", &Mode::Stall),
            63..70 => self.impair(crew, route, "swallows", &Mode::Swallow),
            70..77 => {
                let delay = Duration::from_millis(5)..Duration::from_millis(100);
                self.impair(crew, route, "delays", &Mode::Delay(delay));
            }
            77..82 => self.slow_down(crew, route),
            82..85 => self.fail_name(crew, to),
            85..89 => self.isolate(crew, from),
            89..93 if self.troubled.insert(from) => {
                self.stop(crew, from, "stops", 100..5_000)?;
            }
            93..95 if self.troubled.insert(from) => {
                self.stop(crew, from, "stops beyond the peer timeout", 5_500..12_000)?;
            }
            95..100 if self.troubled.insert(from) => {
                self.count("kills");
                crew.kill(from);
                self.ends_within(0..7_000, End::Server(from));
            }
            _ => {}
        }
        Ok(())
    }

    fn cut(&mut self, crew: &Crew<'_>, route: usize, name: &'static str, cut: Cut) {
        if crew.proxy.cut(route, cut) > 0 {
            self.count(name);
        }
    }

    /// One way, the other, or both, for a while.
    fn impair(&mut self, crew: &Crew<'_>, route: usize, name: &'static str, mode: &Mode) {
        let ways = [&BOTH[..], &[Way::Forth], &[Way::Back]];
        let ways = ways[self.random.usize(0..ways.len())];
        self.count(name);
        crew.proxy.set(route, ways, mode);
        self.ends_within(100..4_000, End::Route(route));
    }

    /// Both ways, like one modem or the other.
    fn slow_down(&mut self, crew: &Crew<'_>, route: usize) {
        /// In bits per second: the slowest, and by how much the fastest is faster.
        const SLOWEST: f64 = 500_000.0;
        const SPREAD: f64 = 200.0;
        let rate = (SLOWEST * SPREAD.powf(self.random.f64())) as u64;
        self.count("slow lines");
        crew.proxy.set(route, &BOTH, &Mode::Limit(rate));
        self.ends_within(1_000..8_000, End::Route(route));
    }

    /// DNS fails for a server, and so that somebody asks, its connections are reset.
    fn fail_name(&mut self, crew: &Crew<'_>, server: usize) {
        let failure = match self.random.u8(0..3) {
            0 => Failure::NoSuchName(Duration::ZERO),
            1 => Failure::NoSuchName(Duration::from_millis(50)),
            _ => Failure::Silence,
        };
        if !crew.names.fail(server, failure) {
            return;
        }
        self.count("DNS failures");
        for other in (0..SERVERS).filter(|other| *other != server) {
            crew.proxy.cut(crew.route(other, server), Cut::Reset);
        }
        self.ends_within(1_000..15_000, End::Name(server));
    }

    /// A server has another one out of its list for a while.
    fn take_out(&mut self, crew: &mut Crew<'_>, server: usize, peer: usize) -> Result<()> {
        if crew.take_out(server, peer)? {
            self.count("removals");
            self.ends_within(100..5_000, End::Listing(server, peer));
        }
        Ok(())
    }

    fn stop(
        &mut self,
        crew: &Crew<'_>,
        server: usize,
        name: &'static str,
        millis: Range<u64>,
    ) -> Result<()> {
        self.count(name);
        crew.signal(server, Signal::SIGSTOP)?;
        self.ends_within(millis, End::Server(server));
        Ok(())
    }

    /// Cuts a server off from all others, for long enough to be missed by some.
    fn isolate(&mut self, crew: &Crew<'_>, server: usize) {
        self.count("partitions");
        let until = self.millis(500..8_000);
        for other in (0..SERVERS).filter(|other| *other != server) {
            for route in [crew.route(server, other), crew.route(other, server)] {
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
