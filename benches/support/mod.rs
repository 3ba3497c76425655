//! What the benches share: ways to connect servers, and the traffic they are put under.
//!
//! Every [`Contender`] connects the same [`Layout`] in one process, over TCP on loopback, and gives
//! each server a thread of its own at either end. The [`traffic`] is the same code for all of them:
//! only how a message is sent and received differs.

#![allow(dead_code, reason = "each bench uses its own part of this")]

pub mod criterion;
pub mod library;
pub mod raw;
pub mod traffic;

use std::error::Error;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How many servers there are, how many of them send to all the others, and how large a message is.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub servers: usize,
    pub senders: usize,
    /// In bytes, 8 at least: raw libzmq needs so many for the message's number.
    pub size: usize,
}

impl Layout {
    /// One server broadcasts to so many peers.
    pub const fn broadcast(peers: usize, size: usize) -> Self {
        Self { servers: peers + 1, senders: 1, size }
    }

    /// How many others send to the server at this place.
    pub fn senders_to(&self, place: usize) -> usize {
        self.senders - usize::from(place < self.senders)
    }

    /// How many messages arrive when each sender sends one.
    pub fn deliveries(&self) -> usize {
        self.senders * (self.servers - 1)
    }
}

/// The two ends of one server.
pub struct Station<T, R> {
    pub transmitter: T,
    pub receiver: R,
}

/// Where a server sends to all its peers.
pub trait Transmit: Send {
    fn transmit(&mut self, number: u64) -> Result<()>;

    /// Sends to the first server alone.
    fn transmit_to_first(&mut self, number: u64) -> Result<()> {
        self.transmit(number)
    }
}

/// Where a server receives. It waits for as long as it takes.
pub trait Receive: Send {
    fn receive(&mut self) -> Result<Receipt>;
}

/// What is known of a message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The place of the server that sent it.
    pub from: usize,
    pub number: u64,
    pub length: usize,
}

/// A station of a contender.
pub type StationOf<C> = Station<<C as Contender>::Transmitter, <C as Contender>::Receiver>;

/// All of them.
pub type Stations<C> = Vec<StationOf<C>>;

/// A way to connect servers.
pub trait Contender {
    type Transmitter: Transmit;
    type Receiver: Receive;

    /// Connects them: the first message after this waits for nobody.
    fn connect(&self, layout: &Layout) -> Result<Stations<Self>>;

    /// Connects two, each of which sends to the other.
    fn connect_two(&self, size: usize) -> Result<[StationOf<Self>; 2]> {
        let stations = self.connect(&Layout { servers: 2, senders: 2, size })?;
        stations.try_into().map_err(|_| "two servers are not two".into())
    }

    /// Ends them, and checks what can be checked then.
    fn disconnect(&self, stations: Stations<Self>) -> Result<()> {
        drop(stations);
        Ok(())
    }
}

impl<T: Transmit, R: Receive> Transmit for Station<T, R> {
    fn transmit(&mut self, number: u64) -> Result<()> {
        self.transmitter.transmit(number)
    }
}

impl<T: Transmit, R: Receive> Receive for Station<T, R> {
    fn receive(&mut self) -> Result<Receipt> {
        self.receiver.receive()
    }
}
