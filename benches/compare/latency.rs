//! How long a message is on its way there and back.

use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{Envelope, Pid};

use super::measure::{Figure, Unit, percentile, rounded};
use super::rates::MEDIAN;
use crate::support::library::{Library, Outgoing};
use crate::support::traffic::{or_give_up, round_trips};
use crate::support::{Contender, Receive, Result, StationOf, Transmit};

/// What a run tells of the round trips while nothing else is going on.
pub const FIGURES: &[Figure] = &[
    Figure { name: MEDIAN, unit: Unit::Seconds },
    Figure { name: "99th percentile", unit: Unit::Seconds },
];

/// The size of a message that goes there and back, in bytes.
pub const PING: usize = 8;

/// The size of those that stream past it in one direction.
const STREAMED: usize = 64;

/// The ping after which no more come.
const LAST: i64 = -1;

/// Round trips that do not count, for the first ones find everybody asleep. They tell how many
/// there are to be.
const WARM_UP: u64 = 200;

/// The [`FIGURES`] of a contender, of as many round trips as it makes in that time.
pub fn of(contender: &impl Contender, size: usize, seconds: f64) -> Result<Vec<f64>> {
    let [mut near, mut far] = contender.connect_two(size)?;
    let figures = figures(&mut near, &mut far, size, seconds);
    contender.disconnect(vec![near, far])?;
    Ok(figures)
}

/// The same between two ends that are connected.
pub fn between<E: Transmit + Receive>(ends: (E, E), size: usize, seconds: f64) -> Vec<f64> {
    let (mut near, mut far) = ends;
    figures(&mut near, &mut far, size, seconds)
}

fn figures(
    near: &mut (impl Transmit + Receive),
    far: &mut (impl Transmit + Receive),
    size: usize,
    seconds: f64,
) -> Vec<f64> {
    let each = hundredth(&round_trips(near, far, size, WARM_UP), 50);
    let took = round_trips(near, far, size, rounded(seconds / each));
    vec![hundredth(&took, 50), hundredth(&took, 99)]
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
    Ok(hundredth(&took, 50))
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

/// The time, in seconds, that so many hundredths do not exceed.
fn hundredth(took: &[Duration], hundredths: usize) -> f64 {
    let mut seconds: Vec<_> = took.iter().map(Duration::as_secs_f64).collect();
    percentile(&mut seconds, hundredths)
}
