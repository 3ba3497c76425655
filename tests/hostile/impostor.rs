//! A listed server that lies: one that has its key, or anybody where there are no keys.

use raft_cluster::{Pid, Rejection};

use crate::forged::{
    Acknowledgement, BATCH, CLOSED, ENDED, GOODBYE, Header, SETTLED, SINGLE, URGENT, batch_of_one,
};
use crate::siege::{Siege, hear_victim};
use crate::victim::{Order, Report, WINDOW};

/// The last place that a stream can reach.
const LAST: u64 = u64::MAX / 2;

#[test]
fn frames_of_a_replaced_process_are_not_delivered_again() {
    Siege::each(|siege| {
        let of = siege.incarnation();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        let send = |incarnation, sequence| {
            let header = Header { of, incarnation, sequence, ..Header::default() };
            socket.send_multipart(batch_of_one(header, b"once"), 0).unwrap();
        };
        let delivered = |report: &Report| report.delivered.get(&3).copied();
        for (incarnation, so_far) in [(5, 10), (6, 20)] {
            (1..=10).for_each(|sequence| send(incarnation, sequence));
            siege.await_report(|report| delivered(report) == Some(so_far));
        }
        for _ in 0..200 {
            let alive = Header { incarnation: 6, sequence: 11, ..Header::default() };
            socket.send(alive.bytes(), 0).unwrap();
            // What it sent, and what it had not sent yet: enough to enter before the other speaks.
            (1..=20).for_each(|sequence| send(5, sequence));
        }
        send(6, 11);
        siege.await_report(|report| delivered(report) == Some(21));
        let report = siege.assert_unharmed(16 << 10);
        assert_eq!(delivered(&report), Some(21));
    });
}

/// What a victim acknowledges of a process of server 3, in the frame that tells of a gap seen in this
/// round. The frames before it must not acknowledge more.
fn acknowledged(third: &zmq::Socket, process: u64, round: u32) -> Acknowledgement {
    let mut so_far = 1;
    loop {
        let (header, _) = hear_victim(third);
        let acknowledgement = Acknowledgement::in_header(&header);
        if acknowledgement.of != process {
            continue;
        }
        if acknowledgement.gap == round {
            return acknowledgement;
        }
        assert!(acknowledgement.next >= so_far, "{acknowledgement:?} takes something back");
        so_far = acknowledgement.next;
    }
}

#[test]
fn payloads_for_another_process_are_ignored() {
    const PROCESS: u64 = 5;
    Siege::each(|siege| {
        let (third, victim) = siege.third_server();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        let usual = Header { incarnation: PROCESS, flags: URGENT, of: victim, ..Header::default() };
        // It says that something has not come, and so makes the victim say what has.
        let ask = |round| {
            let header = Header { sequence: 100, round, ..usual };
            socket.send(header.bytes(), 0).unwrap();
            acknowledged(&third, PROCESS, round)
        };
        let nothing = Acknowledgement { of: PROCESS, next: 1, next_offset: 0, gap: 1 };
        assert_eq!(ask(1), nothing);

        let mut round = 1;
        for of in [0, 1, victim - 1, victim + 1, u64::MAX] {
            let wrong = Header { of, ..usual };
            let skipping = Header { sequence: 9, base: 9, missed: 9, ..wrong };
            let begun = Header { kind: SINGLE, length: 20, ..wrong };
            let frames = [
                batch_of_one(wrong, b"for another"),
                batch_of_one(skipping, b"for another"),
                Header { kind: SINGLE, ..wrong }.before(b"for another".to_vec()),
                [begun.bytes(), b"for another".to_vec()],
            ];
            for frame in &frames {
                socket.send_multipart(frame, 0).unwrap();
            }
            socket.send(Header { kind: GOODBYE, ..wrong }.bytes(), 0).unwrap();
            round += 1;
            assert_eq!(ask(round), Acknowledgement { gap: round, ..nothing }, "for {of}");
        }
        socket.send_multipart(batch_of_one(usual, b"for this one"), 0).unwrap();
        round += 1;
        siege.await_report(|report| report.delivered.get(&3) == Some(&1));
        assert_eq!(ask(round), Acknowledgement { next: 2, gap: round, ..nothing });
        let report = siege.assert_unharmed(16 << 10);
        assert_eq!(report.delivered.get(&3), Some(&1), "{report:?}");
    });
}

#[test]
fn numbers_at_the_edges_of_their_types_are_survived() {
    let usual = Header::default();
    let edges = [
        Header { sequence: LAST, base: LAST, ..usual },
        Header { sequence: LAST, base: 1, ..usual },
        Header { sequence: LAST - 1, base: LAST - 1, ..usual },
        Header { missed: u64::MAX, ..usual },
        Header { missed: u64::MAX - 1, round: u32::MAX, gap: u32::MAX, ..usual },
        Header { largest: 0, silence: 0, ..usual },
        Header { next: LAST, silence: u32::MAX - 1, flags: SETTLED, ..usual },
        Header { flags: CLOSED, ..usual },
        Header { flags: ENDED, ..usual },
    ];
    Siege::each(|siege| {
        let (_third, victim) = siege.third_server();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        let acknowledged = [0, 1, victim, u64::MAX];
        let processes = (acknowledged.len() * edges.len()) as u64;
        // The last one is the last there can be.
        let first = u64::MAX - processes + 1;
        let mut incarnation = first - 1;
        for of in acknowledged {
            for edge in edges {
                incarnation += 1;
                // In its place, again there, and beyond.
                for further in [0, 0, 1, 1, 2] {
                    let sequence = edge.sequence.saturating_add(further).min(LAST);
                    let header = Header { of, incarnation, sequence, ..edge };
                    socket.send(header.bytes(), 0).unwrap();
                    socket.send_multipart(batch_of_one(header, b"edge"), 0).unwrap();
                    socket.send(Header { kind: BATCH, ..header }.bytes(), 0).unwrap();
                }
                // One after the other: of more than it reads, the victim would only be told the
                // number.
                let before = incarnation - first;
                siege.await_report(|report| {
                    report.ups.contains_key(&3)
                        && report.restarts.get(&3).copied().unwrap_or(0) == before
                });
            }
        }
        siege.assert_unharmed(16 << 10);
    });
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_refused() {
    Siege::each(|siege| {
        let (_third, of) = siege.third_server();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        for next in [2, 1_000, LAST] {
            let header = Header { of, next, silence: 0, ..Header::default() };
            socket.send(header.bytes(), 0).unwrap();
        }
        let reason = Rejection::FalseAcknowledgement(Pid::new(3));
        siege.await_report(|report| report.rejections(reason) > 0);
        siege.assert_unharmed(16 << 10);
    });
}

#[test]
fn a_storm_of_incarnations_is_weathered() {
    const INCARNATIONS: u64 = 30_000;
    Siege::each(|siege| {
        let of = siege.incarnation();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        for incarnation in 1..=INCARNATIONS {
            let header = Header { of, incarnation, flags: URGENT, ..Header::default() };
            socket.send_multipart(batch_of_one(header, b"new"), 0).unwrap();
            if incarnation % 5_000 == 0 {
                siege.assert_serving();
            }
        }
        let report = siege.await_report(|report| report.restarts.contains_key(&3));
        assert!(report.delivered[&3] <= INCARNATIONS, "{report:?}");
        siege.assert_unharmed(32 << 10);
    });
}

#[test]
fn who_reads_nothing_and_wants_everything_again_is_not_sent_it_without_end() {
    const TIMES: u64 = 10_000;
    Siege::each(|siege| {
        // To each process that speaks for server 3 all is sent again that waits for it.
        siege.victim.order(Order::Speak(50, 16_384));
        let (_third, of) = siege.third_server();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        let usual = Header { of, silence: 0, flags: URGENT, ..Header::default() };
        for incarnation in 1..=TIMES {
            socket.send(Header { incarnation, ..usual }.bytes(), 0).unwrap();
            // One at a time, or the victim would take many for one.
            siege.victim.order(Order::Report);
        }
        let last = Header { incarnation: TIMES, ..usual };
        socket.send_multipart(batch_of_one(last, b"that was all"), 0).unwrap();
        siege.await_report(|report| report.delivered.get(&3) == Some(&1));
        siege.assert_unharmed(48 << 10);
    });
}

/// Acknowledges the stream up to this message bit by bit: nobody can acknowledge more than was
/// sent, and no frame has less than a bit.
fn acknowledge(socket: &zmq::Socket, of: u64, message: u64) {
    const BIT: usize = 16 << 10;
    let usual = Header { of, silence: 0, ..Header::default() };
    for next_offset in (0..MESSAGE).step_by(BIT) {
        let next_offset = next_offset as u32;
        socket.send(Header { next: message, next_offset, ..usual }.bytes(), 0).unwrap();
    }
    socket.send(Header { next: message + 1, ..usual }.bytes(), 0).unwrap();
}

/// How large the messages are that are never read, in bytes.
const MESSAGE: usize = WINDOW / 2;

#[test]
fn who_acknowledges_what_it_does_not_read_fills_no_memory() {
    const MESSAGES: u64 = 512;
    Siege::each(|siege| {
        let (_third, of) = siege.third_server();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        for message in 1..=MESSAGES {
            siege.victim.order(Order::Speak(1, MESSAGE));
            siege.await_report(|report| {
                acknowledge(&socket, of, message);
                report.acknowledged == message
            });
        }
        siege.assert_unharmed(24 << 10);
    });
}
