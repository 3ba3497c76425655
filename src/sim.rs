//! Many servers over a simulated network, in virtual time.
//!
//! What runs here is what runs in a server: the turns of both threads, with all that they drive,
//! over the memory transport. It proves that they keep their promises whatever happens: the network
//! loses, repeats, delays and reorders frames, is cut one way and both ways, stalls and is reset;
//! connections are stuck; processes are killed, paused, usurped, and leave; applications stop
//! reading, flood their outboxes, drop their inboxes and shut down, all at the worst of times, and
//! some ask each other questions meanwhile. A plain model, the [`audit`], follows every envelope and
//! every question, and is compared after every step. After the last fault everything has to settle
//! in a bounded time, with a bounded number of frames.
//!
//! Each seed decides all that happens. One that fails is printed; with `SIMULATION_SEED=<seed>` it
//! runs alone and shows all its frames.

mod audit;
mod connections;
mod crashes;
mod faults;
mod message;
mod network;
mod plan;
mod process;
mod standing;
mod world;

use std::num::NonZero;
use std::panic::{RefUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::thread;

use world::World;

/// How many seeds are played unless the environment says otherwise.
const SEEDS: u64 = 2_000;

fn play(seed: u64) {
    let mut world = World::new(seed);
    world.rage();
    world.heal();
    world.idle();
    world.inquire();
    world.chat();
    world.leave();
}

/// The same with a line that is slow, and no fault at all.
fn play_slowly(seed: u64) {
    let mut world = World::with_slow_lines(seed);
    world.rage();
    world.assert_untroubled();
    world.heal();
    world.idle();
    world.inquire();
    world.leave();
}

/// The same with a machine that sleeps for an hour, and no other fault.
fn play_asleep(seed: u64) {
    let mut world = World::at_peace(seed);
    world.rage();
    world.heal();
    world.sleep();
    world.heal();
    world.idle();
    world.inquire();
    world.chat();
    world.leave();
}

/// Whether one seed is played alone, which shows all its frames.
fn is_traced() -> bool {
    static TRACED: LazyLock<bool> = LazyLock::new(|| setting("SIMULATION_SEED").is_some());
    *TRACED
}

/// A number out of the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Plays so many seeds, or the one that the environment names: some on each core.
fn play_all(seeds: u64, play: impl Fn(u64) + RefUnwindSafe + Sync) {
    let seeds = match setting("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..seeds,
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let fails = |seed: &u64| catch_unwind(|| play(*seed)).is_err();
    let failed: Vec<u64> = thread::scope(|scope| {
        let share = |core| {
            let share = seeds.clone().skip(core).step_by(cores);
            scope.spawn(move || share.filter(fails).take(10).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..cores).map(share).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "replay them with SIMULATION_SEED=<seed>: {failed:?}");
}

#[test]
fn the_simulation_holds_for_every_seed() {
    play_all(setting("SIMULATION_SEEDS").unwrap_or(SEEDS), play);
}

#[test]
fn a_slow_line_alone_makes_nobody_send_twice_or_give_up() {
    play_all(setting("SIMULATION_SEEDS").unwrap_or(SEEDS) / 10, play_slowly);
}

#[test]
fn a_machine_that_slept_for_an_hour_is_heard_within_seconds() {
    play_all(setting("SIMULATION_SEEDS").unwrap_or(SEEDS) / 100, play_asleep);
}
