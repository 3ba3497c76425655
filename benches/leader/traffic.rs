//! What the leader sends.

use std::time::{Duration, Instant};

use crossbeam_channel::tick;
use raft_cluster::{Bytes, Envelope, Pid, Sender};

use super::pattern::{ENTRY, HEARTBEAT, HEARTBEAT_SIZE, RATE};

pub const LEADER: Pid = Pid::new(1);
pub const HEALTHY: Pid = Pid::new(2);
pub const FAULTY: Pid = Pid::new(3);

/// How often the leader looks whether the next entries are due, and for how long it makes up.
const PACE: Duration = Duration::from_millis(5);
const MAKES_UP: Duration = Duration::from_millis(100);

/// Lengths of messages, in bytes, by which followers know what they are.
pub const PING: usize = 8;
pub const SNAPSHOT_PART: usize = 50_000_000;
pub const SNAPSHOT_PARTS: usize = 2;

/// Gives its signs of life, until the server ends.
pub fn send_heartbeats(outbox: &Sender<Envelope>) {
    let message = Bytes::from(vec![7; HEARTBEAT_SIZE]);
    let heartbeat = || Envelope::broadcast(message.clone()).or_return();
    for _ in tick(HEARTBEAT) {
        if outbox.send(heartbeat()).is_err() {
            return;
        }
    }
}

/// Sends entries to these, at the rate at which they come about, until the server ends.
pub fn send_entries(outbox: &Sender<Envelope>, to: &[Pid], or_return: bool) {
    let entry = Bytes::from(vec![7; ENTRY]);
    let rate = f64::from(RATE);
    let began = Instant::now();
    let mut sent = 0;
    for _ in tick(PACE) {
        let due = (began.elapsed().as_secs_f64() * rate) as u64;
        // Whoever was held up for longer does not send all at once what is due.
        sent = sent.max(due.saturating_sub((MAKES_UP.as_secs_f64() * rate) as u64));
        for _ in sent..due {
            for pid in to {
                let envelope = Envelope::to(*pid, entry.clone());
                let envelope = if or_return { envelope.or_return() } else { envelope };
                if outbox.send(envelope).is_err() {
                    return;
                }
            }
        }
        sent = due;
    }
}

/// Sends messages of this size as fast as they are taken, until the server ends.
pub fn flood(outbox: &Sender<Envelope>, to: Pid, size: usize) {
    flood_in_turns(std::slice::from_ref(outbox), to, size);
}

/// The same by several outboxes, one after the other.
pub fn flood_in_turns(outboxes: &[Sender<Envelope>], to: Pid, size: usize) {
    let message = Bytes::from(vec![7; size]);
    let mut turns = outboxes.iter().cycle();
    while turns.next().is_some_and(|outbox| outbox.send(Envelope::to(to, message.clone())).is_ok())
    {
    }
}

/// Sends a snapshot in parts.
pub fn send_snapshot(outbox: &Sender<Envelope>) {
    let part = Bytes::from(vec![7; SNAPSHOT_PART]);
    for _ in 0..SNAPSHOT_PARTS {
        if outbox.send(Envelope::to(FAULTY, part.clone())).is_err() {
            return;
        }
    }
}
