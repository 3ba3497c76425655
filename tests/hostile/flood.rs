//! Too much of everything.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::forged::{Header, SINGLE, batch_of_one};
use crate::siege::{Reach, Siege};
use crate::support::load::EndOnDrop;
use crate::victim::Order;
use crate::zmtp::{introduce, part};

/// How long a flood lasts at least.
const FLOOD: Duration = Duration::from_secs(2);

/// Does this while the socket sends the frame as fast as it can.
fn under_flood(socket: zmq::Socket, frame: &[Vec<u8>], while_it_lasts: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let end = EndOnDrop(&over);
        let over = &over;
        scope.spawn(move || pour(&socket, frame, over));
        while_it_lasts();
        drop(end);
    });
}

fn pour(socket: &zmq::Socket, frame: &[Vec<u8>], over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        match socket.send_multipart(frame, zmq::DONTWAIT) {
            Err(zmq::Error::EAGAIN) => thread::yield_now(),
            sent => sent.unwrap(),
        }
    }
}

/// A payload of some server to the victim, whose incarnation is `of`.
fn from(from: u32, of: u64) -> [Vec<u8>; 2] {
    let header = Header { from, of, incarnation: u64::MAX, ..Header::default() };
    batch_of_one(header, &[0; 64])
}

#[test]
fn a_flood_of_a_stranger_leaves_the_peers_dry() {
    Siege::each(|siege| {
        let frame = from(99, siege.incarnation());
        for (guise, reach) in siege.guises() {
            if reach == Reach::Refused {
                siege.await_refusal(guise, &frame);
                continue;
            }
            let before = siege.await_report(|_| true).rejected;
            let socket = siege.attacker(guise, zmq::DEALER);
            let started = Instant::now();
            under_flood(socket, &frame, || {
                while started.elapsed() < FLOOD {
                    siege.assert_serving();
                }
                siege.await_report(|report| report.rejected >= before + 1_000);
            });
        }
        let report = siege.assert_unharmed(32 << 10);
        assert_eq!(report.delivered.len(), 1, "{report:?}");
    });
}

#[test]
fn a_flood_in_a_peers_name_is_over_when_it_ends() {
    let mut siege = Siege::without_keys();
    let frame = from(2, siege.incarnation());
    let socket = siege.attacker(siege.insider(), zmq::DEALER);
    under_flood(socket, &frame, || {
        siege.await_report(|report| report.restarts.contains_key(&2));
    });
    siege.assert_recovers();
    siege.assert_small(32 << 10);
}

#[test]
fn with_keys_nobody_floods_in_a_peers_name() {
    if !crate::support::keys::can_use_keys() {
        return;
    }
    let mut siege = Siege::with_keys();
    let frame = from(2, siege.incarnation());
    let socket = siege.attacker(siege.insider(), zmq::DEALER);
    let reason = "server 3, as its key proves, spoke as server 2";
    under_flood(socket, &frame, || {
        siege.assert_serving();
        siege.await_report(|report| report.rejections(reason) > 1_000);
    });
    let report = siege.assert_unharmed(32 << 10);
    assert_eq!(report.restarts.get(&2), None, "{report:?}");
}

#[test]
fn a_flood_does_not_hide_that_a_peer_is_silent() {
    let mut siege = Siege::without_keys();
    let third = siege.attacker(siege.insider(), zmq::DEALER);
    third.send(Header::default().bytes(), 0).unwrap();
    siege.await_report(|report| report.ups.get(&3) == Some(&1));
    let over = AtomicBool::new(false);
    let nonsense = part(b"x", false).repeat(10_000);
    thread::scope(|scope| {
        let _end = EndOnDrop(&over);
        for mut stream in [siege.connect(), siege.connect(), siege.connect()] {
            introduce(&mut stream, &[]).unwrap();
            let (nonsense, over) = (&nonsense, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    stream.write_all(nonsense).unwrap();
                }
            });
        }
        siege.await_report(|report| report.downs.get(&3) == Some(&1));
    });
    siege.assert_unharmed(32 << 10);
}

#[test]
fn messages_above_the_limit_end_their_connection_alone() {
    Siege::each(|siege| {
        let of = siege.incarnation();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        // More than any frame has, and any message of the victim.
        let too_large = vec![0; (1 << 20) + 1];
        let too_large = Header { kind: SINGLE, of, ..Header::default() }.before(too_large);
        for _ in 0..10 {
            let known = siege.await_report(|_| true).rejected;
            socket.send_multipart(&too_large, 0).unwrap();
            siege.assert_serving();
            // What else is on the connection goes with it. The next one is heard again.
            siege.await_report(|report| {
                socket.send("heard again", 0).unwrap();
                report.rejected > known
            });
        }
        let report = siege.assert_unharmed(32 << 10);
        assert_eq!(report.delivered.len(), 1, "{report:?}");
    });
}

/// Nothing is to come back on the way to a peer, and nobody reads there.
#[test]
fn what_comes_back_on_the_way_to_a_peer_fills_no_memory() {
    const MESSAGES: usize = 300;
    Siege::each(|siege| {
        let (third, _) = siege.third_server();
        third.set_sndtimeo(1).unwrap();
        let message = vec![1; 1 << 20];
        // They go to the victim and to its true peers in turn, until nobody takes any more.
        for _ in 0..MESSAGES {
            let _ = third.send(&message[..], 0);
        }
        siege.assert_unharmed(24 << 10);
    });
}

#[test]
fn small_frames_between_large_nonsense_keep_no_more_than_themselves() {
    const FRAMES: u64 = 10_000;
    const KEPT: u64 = 1_000;
    Siege::each(|siege| {
        // libzmq reads several small messages into one buffer. A frame that waits for the
        // application must not keep the nonsense around it.
        siege.victim.order(Order::Ignore);
        let of = siege.incarnation();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        for sequence in 1..=FRAMES {
            let header = Header { of, sequence, ..Header::default() };
            socket.send_multipart(batch_of_one(header, &[0; 40]), 0).unwrap();
            socket.send(vec![0; 8_000], 0).unwrap();
        }
        siege.await_report(|report| report.rejected == FRAMES);
        siege.assert_small(32 << 10);
        siege.victim.order(Order::Listen);
        // The frames that have found room were kept.
        siege.await_report(|report| report.delivered.get(&3).is_some_and(|kept| *kept > KEPT));
        siege.assert_unharmed(32 << 10);
    });
}
