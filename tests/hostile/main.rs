//! Hostile input: whatever anybody sends to a server's port, the server goes on serving its peers,
//! in bounded memory, and delivers nothing under a name that is not in the configuration.
//!
//! Each test lays siege to a server in a process of its own, [`victim::Victim`], over loopback TCP:
//! without keys and, where the linked libzmq has CURVE, with keys. After the attack, and where it
//! can be during it, messages between the server and a true peer go both ways, once and in order;
//! the server's peak of memory stands within a bound that the test names; and its statistics say
//! what was refused. Without keys whoever reaches the port can speak as a listed server: there a
//! test holds the server to no more than to live, to stay small and to recover.
#![cfg(target_os = "linux")]

mod flood;
mod forged;
mod garbage;
mod half;
mod impostor;
mod lies;
mod nonsense;
mod siege;
#[path = "../support/mod.rs"]
mod support;
mod unfinished;
mod victim;
mod zap;
mod zmtp;
