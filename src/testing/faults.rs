//! What befalls the frames, as the seed decides it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use crate::envelope::Pid;

/// From whom to whom.
pub(super) type Route = (Pid, Pid);

/// Longer than any test runs, and short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(24 * 3_600);

/// What befalls the frames of one route.
#[derive(Clone, Debug, Default)]
struct Fault {
    cut: bool,
    delay: Range<Duration>,
    /// The share of frames that is lost.
    loss: f64,
}

/// The faults of all routes. What befalls the first frame of a route, the second and so on does not
/// depend on what happens elsewhere: each route has a generator of its own.
#[derive(Debug)]
pub(super) struct Faults {
    seed: u64,
    by_route: BTreeMap<Route, Fault>,
    dice: BTreeMap<Route, Rng>,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, by_route: BTreeMap::new(), dice: BTreeMap::new() }
    }

    pub(super) fn cut(&mut self, route: Route) {
        self.fault(route).cut = true;
    }

    pub(super) fn delay(&mut self, route: Route, range: Range<Duration>) {
        self.fault(route).delay = range.start.min(FOREVER)..range.end.min(FOREVER);
    }

    pub(super) fn lose(&mut self, route: Route, share: f64) {
        self.fault(route).loss = share;
    }

    /// Ends all of them.
    pub(super) fn heal(&mut self) {
        self.by_route.clear();
    }

    fn fault(&mut self, route: Route) -> &mut Fault {
        self.by_route.entry(route).or_default()
    }

    pub(super) fn is_cut(&self, route: Route) -> bool {
        self.by_route.get(&route).is_some_and(|fault| fault.cut)
    }

    /// Whether one of the two directions is cut, so that an attempt to connect gets no answer.
    pub(super) fn is_mute(&self, (from, to): Route) -> bool {
        self.is_cut((from, to)) || self.is_cut((to, from))
    }

    /// Whether the next frame is lost.
    pub(super) fn draw_loss(&mut self, route: Route) -> bool {
        let loss = self.by_route.get(&route).map_or(0.0, |fault| fault.loss);
        loss > 0.0 && self.die(route).f64() < loss
    }

    /// How long the next frame is on its way.
    pub(super) fn draw_delay(&mut self, route: Route) -> Duration {
        let Some(Range { start, end }) = self.by_route.get(&route).map(|fault| fault.delay.clone())
        else {
            return Duration::ZERO;
        };
        start + end.saturating_sub(start).mul_f64(self.die(route).f64())
    }

    fn die(&mut self, route: Route) -> &mut Rng {
        let seed = self.seed;
        self.dice.entry(route).or_insert_with(|| {
            let (from, to) = route;
            let route = u64::from(from.as_u32()) << 32 | u64::from(to.as_u32());
            // One step apart, so that routes with similar numbers have nothing in common.
            let first = Rng::with_seed(seed).u64(..) ^ route;
            Rng::with_seed(Rng::with_seed(first).u64(..))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Route = (Pid::new(1), Pid::new(2));
    const BACK: Route = (Pid::new(2), Pid::new(1));

    fn with_faults(seed: u64) -> Faults {
        let mut faults = Faults::new(seed);
        for route in [THERE, BACK] {
            faults.lose(route, 0.3);
            faults.delay(route, Duration::from_millis(5)..Duration::from_millis(9));
        }
        faults
    }

    fn draw(faults: &mut Faults, route: Route) -> Vec<(bool, Duration)> {
        (0..1_000).map(|_| (faults.draw_loss(route), faults.draw_delay(route))).collect()
    }

    #[test]
    fn the_seed_decides_whatever_happens_on_other_routes() {
        let alone = draw(&mut with_faults(7), THERE);
        let mut busy = with_faults(7);
        let back = draw(&mut busy, BACK);
        assert_eq!(draw(&mut busy, THERE), alone);
        assert_ne!(back, alone);
        assert_ne!(draw(&mut with_faults(8), THERE), alone);
    }

    #[test]
    fn so_many_are_lost_and_the_others_take_so_long() {
        let drawn = draw(&mut with_faults(7), THERE);
        let lost = drawn.iter().filter(|(lost, _)| *lost).count();
        assert!((200..400).contains(&lost), "{lost}");
        let range = Duration::from_millis(5)..=Duration::from_millis(9);
        assert!(drawn.iter().all(|(_, delay)| range.contains(delay)));
    }

    #[test]
    fn heal_ends_all_of_it() {
        let mut faults = with_faults(7);
        faults.cut(THERE);
        assert!(faults.is_cut(THERE) && !faults.is_cut(BACK) && faults.is_mute(BACK));
        faults.heal();
        assert!(!faults.is_mute(THERE));
        assert!(draw(&mut faults, THERE).iter().all(|drawn| *drawn == (false, Duration::ZERO)));
    }
}
