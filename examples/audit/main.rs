//! What broken connections do to messages: the same audit over libzmq used the plain way and over
//! this library, under the same faults. `cargo run --release --example audit` prints one table.
//!
//! Four senders send numbered messages of 1 KiB to one receiver as fast as they can, each through a
//! proxy that breaks its connections. The audit tells for each pair what was lost, repeated or out
//! of order.

mod fault;
mod holder;
mod library;
mod raw;
#[path = "../../tests/support"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support {
    pub mod addresses;
    pub mod audit;
    mod pipe;
    pub mod proxy;
}

use std::error::Error;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use fault::Fault;
use support::addresses::free_addresses;
use support::audit::{Audit, Verdict};
use support::proxy::Proxy;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How many senders there are.
pub(crate) const SENDERS: usize = 4;

/// The size of a message, in bytes.
pub(crate) const MESSAGE: usize = 1_024;

/// What connects the senders with the receiver.
pub(crate) trait Contender: Sync {
    /// Puts the receiver on this url.
    fn receiver(&self, url: &str) -> Result<Box<dyn Receiver>>;
    /// One sender, which reaches the receiver through this url.
    fn sender(&self, sender: usize, url: &str) -> Result<Box<dyn Sender>>;
}

pub(crate) trait Sender: Send {
    /// Sends the message with this number.
    fn send(&mut self, place: u64) -> Result<()>;
    /// Waits until all is delivered, as far as it can be.
    fn finish(self: Box<Self>);
}

pub(crate) trait Receiver: Send {
    /// The next message: whose, and its number. None if nothing has come for a while.
    fn receive(&mut self) -> Result<Option<(usize, u64)>>;
}

/// How far everybody is.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) received: [AtomicU64; SENDERS],
    /// Whether the receiver leaves unread what comes.
    pub(crate) reading_rests: AtomicBool,
    sending_is_over: AtomicBool,
    all_is_over: AtomicBool,
}

fn main() -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "Lost / repeated / out of order, of all messages sent:\n")?;
    writeln!(out, "| fault | times | raw libzmq | of | raft-cluster | of |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let mut clean = true;
    for fault in Fault::ALL {
        let raw = audit(&raw::Raw, fault)?;
        let library = audit(&library::Library::new()?, fault)?;
        clean &= library.is_clean();
        let (name, times) = (fault.name(), fault.times());
        let of = |verdict: &Verdict| verdict.lost + verdict.received;
        let (of_raw, of_library) = (of(&raw), of(&library));
        writeln!(out, "| {name} | {times} | {raw} | {of_raw} | {library} | {of_library} |")?;
    }
    if clean { Ok(()) } else { Err("the library lost, repeated or reordered messages".into()) }
}

/// Runs one contender under one fault.
fn audit(contender: &dyn Contender, fault: Fault) -> Result<Verdict> {
    let url = format!("tcp://{}", free_addresses(1)?[0]);
    let proxy = Proxy::start(1, &vec![url.clone(); SENDERS])?;
    let progress = Progress::default();
    thread::scope(|scope| {
        let (receiver, senders, _open) = if let Some(await_visits) = fault.hold(&url)? {
            // Not by way of the proxy, which would stand between a socket and what it is to see.
            let senders = start_senders(contender, &vec![url.clone(); SENDERS])?;
            let open = await_visits()?;
            (contender.receiver(&url)?, senders, open)
        } else {
            let receiver = contender.receiver(&url)?;
            (receiver, start_senders(contender, proxy.fronts())?, Vec::new())
        };
        let progress = &progress;
        let receiving = scope.spawn(move || receive(receiver, progress));
        let sending: Vec<_> =
            senders.into_iter().map(|sender| scope.spawn(move || send(sender, progress))).collect();
        let injected = fault.inject(&proxy, progress);
        progress.sending_is_over.store(true, Ordering::Relaxed);
        let sent = sending.into_iter().map(|thread| thread.join().map_err(|_| "a sender panicked"));
        let sent = sent.collect::<std::result::Result<Result<Vec<u64>>, _>>();
        progress.all_is_over.store(true, Ordering::Relaxed);
        let audits = receiving.join().map_err(|_| "the receiver panicked")??;
        injected?;
        let mut verdict = Verdict::default();
        audits.iter().zip(sent??).for_each(|(audit, sent)| verdict += audit.verdict(sent));
        Ok(verdict)
    })
}

fn start_senders(contender: &dyn Contender, urls: &[String]) -> Result<Vec<Box<dyn Sender>>> {
    let start = |(sender, url): (usize, &String)| contender.sender(sender, url);
    urls.iter().enumerate().map(start).collect()
}

/// Sends until it is over, and tells how many messages.
fn send(mut sender: Box<dyn Sender>, progress: &Progress) -> Result<u64> {
    let mut place = 0;
    while !progress.sending_is_over.load(Ordering::Relaxed) {
        sender.send(place)?;
        place += 1;
    }
    sender.finish();
    Ok(place)
}

/// Receives until all senders have ended and nothing more comes.
fn receive(mut receiver: Box<dyn Receiver>, progress: &Progress) -> Result<[Audit; SENDERS]> {
    let mut audits: [Audit; SENDERS] = Default::default();
    loop {
        progress.rest();
        match receiver.receive()? {
            Some((sender, place)) => {
                audits[sender].note(usize::try_from(place)?);
                progress.received[sender].fetch_add(1, Ordering::Relaxed);
            }
            None if progress.all_is_over.load(Ordering::Relaxed) => return Ok(audits),
            None => {}
        }
    }
}
