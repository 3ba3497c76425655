//! The steps by which one server after the other is replaced.

use std::io::{self, Write};
use std::time::Duration;

use raft_cluster::libzmq;

use crate::crew::Crew;
use crate::{Result, SERVERS};

/// Starts the first servers, replaces each of them, and has those that are left end. There is a
/// pause before each step.
pub(crate) fn roll(crew: &mut Crew, pause: Duration) -> Result<()> {
    start(crew)?;
    for old in 1..=SERVERS {
        crew.go_on(pause)?;
        join(crew, old + SERVERS)?;
        leave(crew, old)?;
        if libzmq().curve && old < SERVERS {
            crew.go_on(pause)?;
            let pid = crew.listing.middle();
            rotate(crew, pid)?;
        }
    }
    crew.go_on(pause)?;
    finish(crew)
}

fn start(crew: &mut Crew) -> Result<()> {
    for pid in 1..=SERVERS {
        crew.listing.add(pid)?;
    }
    crew.start(1..=SERVERS)?;
    say(crew, "servers 1 to 5 run, and all have heard all")
}

/// A new server is listed everywhere, and starts.
fn join(crew: &mut Crew, new: u32) -> Result<()> {
    let others = crew.running();
    crew.listing.add(new)?;
    let took = crew.reconfigure(&others)?;
    let url = crew.listing.url(new).to_owned();
    say(crew, &format!("server {new} is listed, {url}: the slowest took {took:.1?}"))?;
    let took = crew.join(new)?;
    say(crew, &format!("server {new} runs, and all have heard all {took:.0?} after its start"))
}

/// A server sends its last, leaves, and is listed no more.
fn leave(crew: &mut Crew, old: u32) -> Result<()> {
    crew.leave(&[old])?;
    say(crew, &format!("server {old} sends nothing more, and all it sent is acknowledged"))?;
    let others: Vec<_> = crew.running().into_iter().filter(|pid| *pid != old).collect();
    crew.seen_leaving(old, &others)?;
    crew.listing.remove(old);
    let took = crew.reconfigure(&others)?;
    say(crew, &format!("server {old} is listed no more: the slowest took {took:.1?}"))?;
    crew.end(&[old])?;
    say(crew, &format!("server {old} has ended"))
}

/// A server gets another key while it runs.
fn rotate(crew: &mut Crew, pid: u32) -> Result<()> {
    let all = crew.running();
    crew.listing.add_key(pid)?;
    crew.reconfigure(&all)?;
    let took = crew.change_key(pid)?;
    crew.listing.retire_key(pid);
    crew.reconfigure(&all)?;
    say(crew, &format!("server {pid} has another key, to which it changed in {took:.1?}"))
}

/// All that are left end together.
fn finish(crew: &mut Crew) -> Result<()> {
    let all = crew.running();
    crew.leave(&all)?;
    crew.end(&all)?;
    say(crew, "the servers that were left have ended")
}

/// A line of the story.
fn say(crew: &Crew, what: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{:6.2} s  {what}", crew.now().as_secs_f64())?)
}
