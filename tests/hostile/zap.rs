//! Handshakes that nobody answers for a while, and a server that ends in the midst of them.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::siege::{Guise, Siege, VICTIM, assert_answers, raise_file_limit};
use crate::victim::Order;
use crate::zmtp::greeting;

/// More failed handshakes than libzmq keeps for who is to be told of them.
const FAILURES: u64 = 5_000;

/// Fails at a handshake, whatever the server's security.
fn fail(victim: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(victim)?;
    stream.write_all(&greeting("PLAIN"))?;
    Ok(stream)
}

#[test]
fn failed_handshakes_while_the_inbox_is_full_hold_nobody_up_for_good() {
    let at_once = FAILURES.min((raise_file_limit() - 300) / 2) as usize;
    Siege::each(|siege| {
        let known = siege.victim.order(Order::Ignore).rejected;
        let (late, _late) = siege.late_peer();
        thread::scope(|scope| {
            let talk = scope.spawn(|| assert_answers(&late, 0..6_000));
            let mut connections = Vec::new();
            for _ in 0..FAILURES {
                connections.push(fail(siege.address(VICTIM)).unwrap());
                if connections.len() == at_once {
                    connections.clear();
                }
            }
            siege.await_report(|report| report.rejected >= known + FAILURES);
            siege.victim.order(Order::Listen);
            talk.join().unwrap();
        });
        siege.assert_unharmed(160 << 10);
    });
}

#[test]
fn strangers_with_keys_of_their_own_do_not_hold_up_the_others() {
    if !crate::support::keys::can_use_keys() {
        return;
    }
    let mut siege = Siege::with_keys();
    let known = siege.await_report(|_| true).rejected;
    for round in 1..=25 {
        let _sockets: Vec<_> =
            (0..100).map(|_| siege.attacker(Guise::Stranger, zmq::DEALER)).collect();
        siege.await_report(|report| report.rejected >= known + round * 100);
    }
    siege.assert_unharmed(64 << 10);
}

#[test]
fn a_server_under_siege_can_be_ended() {
    Siege::each(|siege| {
        thread::scope(|scope| {
            let (over, is_over) = crossbeam_channel::bounded::<()>(0);
            let siege = &mut *siege;
            let address = siege.address(VICTIM);
            scope.spawn(move || {
                while is_over.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                    // Refused once the server has ended.
                    let _ = fail(address);
                }
            });
            siege.await_report(|report| report.rejected > 1_000);
            siege.victim.order(Order::End);
            drop(over);
        });
    });
}
