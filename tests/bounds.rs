//! What waits is bounded, in number and in bytes: events that nobody reads, and the channels of a
//! mailbox.

mod support;

use std::time::Duration;

use raft_cluster::{Envelope, Event, Reason, StartError};
use support::load::{assert_accounted, await_stats};
use support::mesh::Mesh;
use support::{BOUND, Transport, until_end};

#[test]
fn messages_that_come_back_are_bounded_in_bytes_while_nobody_reads_the_events() {
    const MESSAGES: u64 = 40;
    const BYTES: usize = 512 * 1024;
    let mesh = Mesh::new(2, Transport::Ipc, 1);
    let builder = mesh.builder(1).window(2 * BYTES);
    let builder = builder.heartbeat(Duration::from_millis(20));
    let builder = builder.peer_timeout(Duration::from_millis(100));
    let (mailbox, server) = builder.linger(Duration::ZERO).start().unwrap();
    for _ in 0..MESSAGES {
        mailbox.outbox.send_timeout(Envelope::broadcast(vec![0; BYTES]), BOUND).unwrap();
    }
    await_stats(&server, 2, |stats| stats.accepted == MESSAGES);
    let stats = server.stats();
    assert_accounted(&stats);
    let mut bytes = 0;
    for event in server.events().try_iter() {
        let Event::Undeliverable { envelope, reason, .. } = event else { continue };
        assert_eq!(reason, Reason::PeerDown);
        bytes += envelope.msg.len();
    }
    // As much as the window, which holds as much again.
    assert!((BYTES..=2 * BYTES).contains(&bytes), "{bytes} bytes wait in the events");
    let dropped = stats.peers[0].dropped.total();
    assert_eq!(stats.events_missed + (bytes / BYTES) as u64, dropped);
    // And there is room again for what comes back later.
    mailbox.outbox.send_timeout(Envelope::broadcast(vec![0; BYTES]), BOUND).unwrap();
    let undeliverable = |event: &Event| matches!(event, Event::Undeliverable { .. });
    assert!(until_end(server.events()).any(|event| undeliverable(&event)));
}

#[test]
fn a_channel_that_is_too_large_is_refused_and_not_allocated() {
    let mesh = Mesh::new(2, Transport::Ipc, 2);
    for envelopes in [usize::MAX, 10_000_000, (1 << 20) + 1] {
        for builder in
            [mesh.builder(1).outbox_capacity(envelopes), mesh.builder(1).inbox_capacity(envelopes)]
        {
            let error = builder.start().err().unwrap();
            let StartError::Capacity { envelopes: refused, most, .. } = error else {
                panic!("{error}");
            };
            assert_eq!((refused, most), (envelopes, 1 << 20));
        }
    }
    let (mailbox, _server) = mesh.builder(1).outbox_capacity(1 << 20).start().unwrap();
    assert_eq!(mailbox.outbox.capacity(), Some(1 << 20));
}
