//! The library but for libzmq: two servers' threads, turn by turn, driven by any sequence of steps.
//!
//! In a peaceful play the network loses, repeats, delays and reorders frames; processes are killed,
//! stopped for a while, or slow; applications read late or never, and drop their outbox, their
//! inbox or the server. In a hostile one somebody also forges frames, out of true ones or of
//! nothing, and cuts them off. What must hold in both is checked by [`world`] as it goes.

#![no_main]

mod forge;
mod ledger;
mod letters;
mod server;
mod setup;
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use raft_cluster::internals::Thread;

use forge::Forgery;
use setup::Setup;
use world::World;

/// How many steps a play has at most. More of them find less in the same time.
const STEPS: usize = 100;

fuzz_target!(|play: Play| {
    let mut world = World::new(play.mood, play.setup);
    for step in play.steps.into_iter().take(STEPS) {
        world.step(step);
    }
    world.end();
});

#[derive(Arbitrary, Debug)]
struct Play {
    mood: Mood,
    setup: Setup,
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
    /// The application sends so many small envelopes, as far as the outbox has room.
    Send(Side, To, u8),
    /// The application sends one envelope of so many bytes.
    SendLarge(Side, To, u16),
    /// The application reads so many envelopes.
    Read(Side, u8),
    ReadEvents(Side),
    /// A thread takes a turn, whether there is a reason or not.
    Turn(Side, Which),
    /// A letter arrives, and may do so again.
    Deliver {
        to: Side,
        place: u8,
        again: bool,
    },
    /// All letters are lost.
    Lose(Side),
    /// All letters arrive and all threads run, until nothing is left to do at this instant.
    Flow,
    /// So many milliseconds pass, and the threads run when they are due.
    Wait(u16),
    /// So many milliseconds pass, and no thread runs.
    Stop(u16),
    /// A process is stopped for so many milliseconds, while the other goes on.
    Pause(Side, u16),
    /// The application drops something.
    Drop(Side, What),
    /// The process ends, and another one starts.
    Restart {
        side: Side,
        manners: Manners,
    },
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

/// Whom an envelope is for.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    All,
    Peer,
    Absentee,
    /// Somebody who is not in the configuration.
    Nobody,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Output,
    Input,
}

impl From<Which> for Thread {
    fn from(which: Which) -> Self {
        match which {
            Which::Output => Self::Output,
            Which::Input => Self::Input,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Outbox,
    Inbox,
    Server,
}

/// How a process ends.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Killed,
    /// Its input fails, and it says its last words.
    Polite,
}
