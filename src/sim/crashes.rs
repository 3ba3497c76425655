//! How soon the death of a process is seen, and that nothing else is taken for it.
//!
//! All but what a test does is calm. That nobody is seen down who was there is checked by the
//! [`standing`](super::standing) of each peer, in the other seeds as well.

use std::time::Duration;

use super::plan::{HEARTBEAT, RECONNECT_GRACE};
use super::world::World;
use crate::envelope::Pid;

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const SEEDS: u64 = 200;

/// How often a connection is tried that is refused, and some more for the threads to wake.
const ATTEMPT: Duration = Duration::from_millis(210);

/// Two servers that hear each other, and what is to happen to them.
fn play(act: fn(&mut World)) {
    super::play_all(SEEDS, |seed| {
        let mut world = World::undisturbed(seed);
        world.run_for(HEARTBEAT * 2);
        assert!(world.is_up(ONE, TWO) && world.is_up(TWO, ONE));
        act(&mut world);
        world.heal();
        assert!(world.is_up(ONE, TWO) && world.is_up(TWO, ONE));
    });
}

#[test]
fn a_process_that_is_killed_is_down_within_the_grace() {
    play(|world| {
        let killed = world.now;
        world.bury(TWO, killed + HEARTBEAT * 3);
        world.run_for(RECONNECT_GRACE - HEARTBEAT / 100);
        assert!(world.is_up(ONE, TWO));
        world.run_for(ATTEMPT);
        assert!(!world.is_up(ONE, TWO));
    });
}

#[test]
fn one_that_is_back_within_the_grace_is_never_down() {
    play(|world| {
        let downs = world.downs();
        world.bury(TWO, world.now + RECONNECT_GRACE - ATTEMPT);
        world.run_for(HEARTBEAT * 3);
        assert_eq!(world.downs(), downs);
    });
}

#[test]
fn resets_alone_never_give_down() {
    play(|world| {
        let downs = world.downs();
        for _ in 0..100 {
            world.disconnect((ONE, TWO));
            world.disconnect((TWO, ONE));
            world.run_for(HEARTBEAT / 20);
        }
        assert_eq!(world.downs(), downs);
    });
}

#[test]
fn a_peer_that_is_heard_is_up_whatever_refuses_connections() {
    play(|world| {
        let downs = world.downs();
        world.network.connections.firewalls.insert((ONE, TWO));
        world.disconnect((ONE, TWO));
        // What reaches the peer comes on another way.
        world.run_for(HEARTBEAT * 5);
        world.network.connections.firewalls.clear();
        assert_eq!(world.downs(), downs);
    });
}

#[test]
fn a_firewall_that_refuses_all_for_longer_than_the_grace_gives_one_down_and_an_up() {
    play(|world| {
        let downs = world.downs();
        let until = world.now + HEARTBEAT * 4;
        for route in [(ONE, TWO), (TWO, ONE)] {
            world.network.cut(route, until);
            world.network.connections.firewalls.insert(route);
            world.disconnect(route);
        }
        world.run_for(RECONNECT_GRACE + ATTEMPT);
        assert!(!world.is_up(ONE, TWO) && !world.is_up(TWO, ONE));
        world.run_for(HEARTBEAT * 4);
        world.network.connections.firewalls.clear();
        world.run_for(HEARTBEAT * 2);
        assert!(world.is_up(ONE, TWO) && world.is_up(TWO, ONE));
        assert_eq!(world.downs(), downs + 2);
    });
}
