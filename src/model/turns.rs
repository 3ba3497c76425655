//! The turns of threads. What a thread does depends on nothing but the state of its server and what
//! has come in, so a turn that was made once need not be made again: most states differ in the
//! other server, or in the network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::frame::Frame;
use crate::model::interned::{Interned, Pool};
use crate::model::server::{Outcome, Server, Settings};
use crate::transport::memory::Sent;

/// All turns that were made, each by the threads themselves.
#[derive(Debug)]
pub(super) struct Turns {
    settings: Settings,
    servers: Pool<Server>,
    frames: Pool<Frame>,
    made: Mutex<Known>,
}

/// What each turn of a server in some state has made.
type Known = HashMap<(Interned<Server>, Turn), Arc<Made>>;

/// A turn of one thread of a server, so long after the one before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Turn {
    Output(Duration),
    /// For this frame, if there is one.
    Input(Duration, Option<Interned<Frame>>),
}

/// The server after a turn, and what has come out of it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) server: Interned<Server>,
    pub(super) frames: Vec<Interned<Frame>>,
    pub(super) outcome: Outcome,
    /// Whether one thread keeps something from the other.
    pub(super) withheld: bool,
}

impl Turns {
    pub(super) fn new(settings: Settings) -> Self {
        let (servers, frames, made) = Default::default();
        Self { settings, servers, frames, made }
    }

    pub(super) fn intern(&self, server: Server) -> Interned<Server> {
        self.servers.intern(server)
    }

    pub(super) fn make(&self, server: &Interned<Server>, turn: Turn) -> Arc<Made> {
        let mut made = self.made.lock().unwrap();
        let entry = made.entry((server.clone(), turn));
        Arc::clone(entry.or_insert_with_key(|(server, turn)| Arc::new(self.run(server, turn))))
    }

    fn run(&self, server: &Server, turn: &Turn) -> Made {
        let mut server = server.clone();
        let outcome = server.turn(turn, self.settings);
        let frames = outcome.sent.iter().filter_map(|sent| match sent {
            Sent::Frame(frame) => Some(self.frames.intern(frame.clone())),
            Sent::Renewed => None,
        });
        let (frames, withheld) = (frames.collect(), server.withholds_news());
        Made { server: self.intern(server), frames, outcome, withheld }
    }

    /// How many turns were made.
    pub(super) fn count(&self) -> usize {
        self.made.lock().unwrap().len()
    }
}
