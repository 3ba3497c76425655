//! The link: two servers' ends of it, driven by any sequence of steps.
//!
//! In a peaceful play the network loses, repeats, delays and reorders frames, processes restart, leave, are
//! stopped for a while, and close their inboxes. In a hostile one somebody also forges frames, out of true
//! ones or of nothing, and cuts them off. What must hold in both is checked by [`world`] after each step.

#![no_main]

mod forge;
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

use forge::Forgery;
use world::World;

fuzz_target!(|play: Play| {
    let mut world = World::new(play.mood);
    for step in play.steps {
        world.step(step);
    }
    world.end();
});

#[derive(Arbitrary, Debug)]
struct Play {
    mood: Mood,
    steps: Vec<Step>,
}

/// Whether forged frames reach the servers.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Peaceful,
    Hostile,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Left, Self::Right];

    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// The application sends so many envelopes in one frame.
    Batch(Side, u8),
    /// The application sends a large envelope.
    Single(Side, u16),
    /// Both threads run: one hears what the other has learnt, and sends what there is to send.
    Turn(Side),
    /// A letter arrives, and may do so again.
    Deliver {
        to: Side,
        place: u8,
        again: bool,
    },
    /// All letters are lost.
    Lose(Side),
    /// So many frames enter the inbox.
    Enter(Side, u8),
    /// Time passes, in milliseconds.
    Wait(u16),
    /// The same, while both processes are stopped.
    Stop(u16),
    /// The process ends, and another one starts.
    Restart {
        side: Side,
        manners: Manners,
    },
    CloseInbox(Side),
    SayGoodbye(Side),
    /// A frame that nobody sent arrives.
    Forge {
        to: Side,
        forgery: Forgery,
    },
    /// A letter arrives, but not all of it.
    Truncate {
        to: Side,
        place: u8,
        header: u8,
        body: u16,
    },
}

/// How a process ends.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Killed,
    /// It says its last words.
    Polite,
}
