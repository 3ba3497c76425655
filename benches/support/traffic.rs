//! What goes over the connections. Receivers check the number and the length of every message.

use std::io::{self, Write};
use std::process;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::{Layout, Receipt, Receive, Result, Station, Transmit};

/// Every sender sends `count` messages to all its peers, as fast as they go. Returns how long it
/// takes from the first message sent until the last one is received.
pub fn flood<T: Transmit, R: Receive>(
    stations: &mut [Station<T, R>],
    layout: &Layout,
    count: u64,
) -> Duration {
    let start = &Barrier::new(stations.len() + layout.senders + 1);
    let started = thread::scope(|scope| {
        for (place, Station { transmitter, receiver }) in stations.iter_mut().enumerate() {
            scope.spawn(move || {
                start.wait();
                or_give_up(receive_all(receiver, layout, place, count));
            });
            if place < layout.senders {
                scope.spawn(move || {
                    start.wait();
                    let sent = (0..count).try_for_each(|number| transmitter.transmit(number));
                    or_give_up(sent);
                });
            }
        }
        start.wait();
        Instant::now()
    });
    started.elapsed()
}

fn receive_all(
    receiver: &mut impl Receive,
    layout: &Layout,
    place: usize,
    count: u64,
) -> Result<()> {
    let mut next = vec![0; layout.senders];
    for _ in 0..count * layout.senders_to(place) as u64 {
        let receipt = receiver.receive()?;
        let next = next.get_mut(receipt.from).ok_or("a message from a server that sends none")?;
        check(&receipt, *next, layout.size)?;
        *next += 1;
    }
    Ok(())
}

/// The near end sends a message, the far end sends it back, `count` times. Returns how long each
/// time took.
pub fn round_trips(
    near: &mut (impl Transmit + Receive),
    far: &mut (impl Transmit + Receive),
    size: usize,
    count: u64,
) -> Vec<Duration> {
    thread::scope(|scope| {
        scope.spawn(|| {
            let echoed = (0..count).try_for_each(|number| {
                check(&far.receive()?, number, size)?;
                far.transmit(number)
            });
            or_give_up(echoed);
        });
        let took = (0..count).map(|number| {
            let sent = Instant::now();
            near.transmit(number)?;
            check(&near.receive()?, number, size)?;
            Ok(sent.elapsed())
        });
        or_give_up(took.collect())
    })
}

fn check(receipt: &Receipt, number: u64, length: usize) -> Result<()> {
    if (receipt.number, receipt.length) == (number, length) {
        return Ok(());
    }
    Err(format!("message {number} of {length} bytes was due, and {receipt:?} came").into())
}

/// What came of it; an error ends the bench, since the other threads would wait for ever for the
/// one that failed.
pub fn or_give_up<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "bench: {error}");
        process::exit(1)
    })
}
