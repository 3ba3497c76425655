//! What a server sends, to whom, and what comes back to it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, tick};
use raft_cluster::{Envelope, Pid, Recipient};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::message::{Message, draw_size};
use crate::speech::Role;

/// How often something is sent to everybody. Who hears nothing for much longer than this is apart.
const TICK: Duration = Duration::from_millis(10);
const TICKS_IN_A_SECOND: u32 = 100;

/// Of the messages that are not the first after a tick, one in so many is a broadcast.
const BROADCASTS: u32 = 6;

/// What was sent to one peer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// To this peer alone.
    pub(crate) singles: u64,
    /// The first broadcast that was put in the outbox when it was listed for sure.
    pub(crate) since: u64,
    /// If it was removed: what was accepted for it before that, at least.
    pub(crate) accepted: Option<u64>,
    /// What came back, by its number.
    pub(crate) returned_singles: BTreeSet<u64>,
    pub(crate) returned_broadcasts: BTreeSet<u64>,
}

/// Shared by who sends, who changes the list, and who hears what comes back.
pub(crate) struct Load(Mutex<Outgo>);

struct Outgo {
    random: fastrand::Rng,
    peers: Vec<Pid>,
    broadcasts: u64,
    sent: BTreeMap<u32, Sent>,
}

impl Load {
    pub(crate) fn new(role: &Role, peers: Vec<Pid>) -> Self {
        let sent = peers.iter().map(|pid| (pid.as_u32(), Sent::default())).collect();
        let random = fastrand::Rng::with_seed(role.seed ^ u64::from(role.pid));
        Self(Mutex::new(Outgo { random, peers, broadcasts: 0, sent }))
    }

    /// Sends so many messages in a second, a broadcast at each tick among them, until `leave` ends.
    pub(crate) fn send(
        &self,
        outbox: &Sender<Envelope>,
        rate: u32,
        leave: &Receiver<Infallible>,
    ) -> Result<()> {
        let ticks = tick(TICK);
        loop {
            select! {
                recv(ticks) -> _ => self.burst(outbox, rate / TICKS_IN_A_SECOND)?,
                recv(leave) -> _ => return Ok(()),
            }
        }
    }

    fn burst(&self, outbox: &Sender<Envelope>, messages: u32) -> Result<()> {
        let (mut sent, envelope) = self.outgo().broadcast();
        outbox.send(envelope)?;
        while sent < messages {
            let (more, envelope) = self.outgo().next();
            sent += more;
            outbox.send(envelope)?;
        }
        Ok(())
    }

    /// The peers are these from now on, and this is what was accepted for those that are none any
    /// more, at least.
    pub(crate) fn aim_at(&self, peers: Vec<Pid>, added: &[Pid], removed: &[(Pid, u64)]) {
        let mut outgo = self.outgo();
        let since = outgo.broadcasts;
        for pid in added {
            outgo.sent.insert(pid.as_u32(), Sent { since, ..Sent::default() });
        }
        for (pid, accepted) in removed {
            outgo.sent_to(*pid).accepted = Some(*accepted);
        }
        outgo.peers = peers;
    }

    /// The library has told that this peer has not, or may not have, received it.
    pub(crate) fn note_returned(&self, peer: Pid, envelope: &Envelope) {
        let number = envelope.msg_id as u64;
        let mut outgo = self.outgo();
        let sent = outgo.sent_to(peer);
        match envelope.to {
            Recipient::Broadcast => sent.returned_broadcasts.insert(number),
            Recipient::Peer(_) => sent.returned_singles.insert(number),
        };
    }

    /// How many broadcasts there were, and what was sent to each peer.
    pub(crate) fn accounts(&self) -> (u64, BTreeMap<u32, Sent>) {
        let outgo = self.outgo();
        (outgo.broadcasts, outgo.sent.clone())
    }

    fn outgo(&self) -> MutexGuard<'_, Outgo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgo {
    /// The next envelope, and how many messages it is.
    fn next(&mut self) -> (u32, Envelope) {
        match self.random.choice(&self.peers).copied() {
            Some(to) if self.random.u32(0..BROADCASTS) > 0 => (1, self.single(to)),
            _ => self.broadcast(),
        }
    }

    fn broadcast(&mut self) -> (u32, Envelope) {
        let number = self.broadcasts;
        self.broadcasts += 1;
        let messages = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        (messages.max(1), Message::broadcast(number, draw_size(&mut self.random)))
    }

    fn single(&mut self, to: Pid) -> Envelope {
        let size = draw_size(&mut self.random);
        let broadcasts = self.broadcasts;
        let sent = self.sent_to(to);
        let number = sent.singles;
        sent.singles += 1;
        Message::single(to, number, broadcasts, size)
    }

    fn sent_to(&mut self, pid: Pid) -> &mut Sent {
        self.sent.entry(pid.as_u32()).or_default()
    }
}
