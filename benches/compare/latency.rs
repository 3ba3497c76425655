//! How long a message is on its way there and back.

use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{Envelope, Pid};

use super::measure::percentile;
use crate::support::library::{Library, Outgoing};
use crate::support::raw::Pair;
use crate::support::traffic::{or_give_up, round_trips};
use crate::support::{Contender, Result, StationOf};

/// The size of a message that goes there and back, in bytes.
const PING: usize = 8;

/// The size of those that stream past it in one direction.
const STREAMED: usize = 64;

/// The ping after which no more come.
const LAST: i64 = -1;

/// Round trips that are not timed, for the first ones find everybody asleep.
const WARM_UP: u64 = 200;

/// The round trip, in seconds, that so many hundredths of `count` do not exceed, with the library.
pub fn library(count: u64, hundredths: usize) -> Result<f64> {
    let [mut near, mut far] = Library.connect_two(PING)?;
    round_trips(&mut near, &mut far, PING, WARM_UP);
    let took = round_trips(&mut near, &mut far, PING, count);
    Library.disconnect(vec![near, far])?;
    Ok(seconds(&took, hundredths))
}

/// The same with two raw DEALERs.
pub fn raw(count: u64, hundredths: usize) -> Result<f64> {
    let (mut near, mut far) = Pair::connect(PING)?;
    round_trips(&mut near, &mut far, PING, WARM_UP);
    Ok(seconds(&round_trips(&mut near, &mut far, PING, count), hundredths))
}

/// The median of the round trips that fit in while `count` other messages stream over the same
/// link, one way and as fast as they go.
pub fn beside_a_stream(count: u64) -> Result<f64> {
    let count = i64::try_from(count)?;
    let [near, far] = Library.connect_two(STREAMED)?;
    let took = thread::scope(|scope| {
        scope.spawn(|| or_give_up(echo_pings(&far, count)));
        let stream = scope.spawn(|| or_give_up(stream(&near.transmitter, count)));
        or_give_up(ping_while(&near, || !stream.is_finished()))
    });
    Library.disconnect(vec![near, far])?;
    Ok(seconds(&took, 50))
}

fn stream(from: &Outgoing, count: i64) -> Result<()> {
    let envelope = Envelope::to(Pid::new(2), vec![7; STREAMED]);
    Ok((0..count).try_for_each(|number| from.outbox.send(envelope.clone().with_id(number)))?)
}

/// Sends one ping after the other while `going`, and a last one after that, which is not timed.
fn ping_while(near: &StationOf<Library>, going: impl Fn() -> bool) -> Result<Vec<Duration>> {
    let ping = Envelope::to(Pid::new(2), vec![7; PING]);
    let mut took = Vec::new();
    while going() {
        let sent = Instant::now();
        near.transmitter.outbox.send(ping.clone())?;
        near.receiver.inbox.recv()?;
        took.push(sent.elapsed());
    }
    near.transmitter.outbox.send(ping.with_id(LAST))?;
    Ok(took)
}

/// Sends pings back, and checks what streams past.
fn echo_pings(far: &StationOf<Library>, count: i64) -> Result<()> {
    let mut next = 0;
    for envelope in &far.receiver.inbox {
        match (envelope.msg.len(), envelope.msg_id) {
            (PING, LAST) => break,
            (PING, _) => far.transmitter.outbox.send(Envelope::to(Pid::new(1), envelope.msg))?,
            (STREAMED, number) if number == next => next += 1,
            (length, number) => {
                return Err(format!("{next} was due, and {number} of {length} bytes came").into());
            }
        }
    }
    if next == count { Ok(()) } else { Err(format!("{next} of {count} messages came").into()) }
}

fn seconds(took: &[Duration], hundredths: usize) -> f64 {
    let mut seconds: Vec<_> = took.iter().map(Duration::as_secs_f64).collect();
    percentile(&mut seconds, hundredths)
}
