//! The channels of the API with nothing behind them: no network, no frame, no guarantee. What they
//! cost is spent before a library with this API has done anything.
//!
//! One thread for each sender takes the envelopes out of its outbox and puts them into the inboxes
//! of all its peers.

use std::thread;

use raft_cluster::{Bytes, Envelope, Pid, Receiver, Sender};

use crossbeam_channel::bounded;

use crate::support::{Contender, Layout, Receipt, Receive, Result, Station, Stations, Transmit};

/// The library's own default.
pub const CAPACITY: usize = 4_096;

/// Outboxes and inboxes in one process.
#[derive(Clone, Copy, Debug)]
pub struct Channels;

pub struct Outgoing {
    from: Pid,
    outbox: Sender<Envelope>,
    message: Bytes,
}

pub struct Incoming(Receiver<Envelope>);

impl Contender for Channels {
    type Transmitter = Outgoing;
    type Receiver = Incoming;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..layout.servers).map(|_| bounded(CAPACITY)).unzip();
        let message = Bytes::from(vec![7; layout.size]);
        let mut stations = Vec::new();
        for (place, inbox) in receivers.into_iter().enumerate() {
            let mut peers = inboxes.clone();
            peers.swap_remove(place);
            let from = Pid::new(u32::try_from(place)?);
            let outbox = spawn_between(peers);
            let transmitter = Outgoing { from, outbox, message: message.clone() };
            stations.push(Station { transmitter, receiver: Incoming(inbox) });
        }
        Ok(stations)
    }
}

/// Starts the thread between an outbox and the inboxes of the peers. It ends with either of them.
fn spawn_between(inboxes: Vec<Sender<Envelope>>) -> Sender<Envelope> {
    let (outbox, envelopes) = bounded::<Envelope>(CAPACITY);
    thread::spawn(move || {
        for envelope in envelopes {
            for inbox in &inboxes {
                if inbox.send(envelope.clone()).is_err() {
                    return;
                }
            }
        }
    });
    outbox
}

impl Transmit for Outgoing {
    fn transmit(&mut self, number: u64) -> Result<()> {
        let mut envelope = Envelope::broadcast(self.message.clone());
        envelope.from = self.from;
        Ok(self.outbox.send(envelope.with_id(i64::try_from(number)?))?)
    }
}

impl Receive for Incoming {
    fn receive(&mut self) -> Result<Receipt> {
        let Envelope { from, msg_id, msg, .. } = self.0.recv()?;
        let from = from.as_u32() as usize;
        Ok(Receipt { from, number: u64::try_from(msg_id)?, length: msg.len() })
    }
}
