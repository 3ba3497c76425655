//! What a message may be: empty, large, exactly as large as allowed, for nobody; and what a late server
//! gets. Each test looks at both ends: what arrives, and what comes back.

mod support;

use std::time::Duration;

use raft_cluster::{Envelope, Event, Pid, Reason, Recipient, Server};
use support::{BOUND, Cluster, Transport, receive, sent_by};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

/// Waits until this envelope has come back.
fn assert_refused(server: &Server, peer: Pid, envelope: Envelope, reason: Reason) {
    match next_refusal(server) {
        Event::Undeliverable { peer: to, envelope: back, reason: why, .. } => {
            assert_eq!((to, back, why), (peer, sent_by(ONE, envelope), reason));
        }
        event => panic!("{event:?}"),
    }
}

/// The next event that is not about peers coming and going.
fn next_refusal(server: &Server) -> Event {
    loop {
        let event = server.events().recv_timeout(BOUND).unwrap();
        if matches!(event, Event::Undeliverable { .. } | Event::Rejected { .. }) {
            return event;
        }
    }
}

#[test]
fn a_megabyte_is_broadcast_byte_for_byte() {
    let cluster = Cluster::new(5, Transport::Tcp);
    let servers = cluster.start_all();
    let mut random = fastrand::Rng::with_seed(4);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1_000_000).collect();
    servers[0].0.outbox.send(Envelope::broadcast(bytes.clone()).with_id(-9)).unwrap();
    for (mailbox, _) in &servers[1..] {
        let envelope = receive(mailbox);
        assert_eq!((envelope.from, envelope.msg_id), (ONE, -9));
        assert_eq!(envelope.to, Recipient::Broadcast);
        assert!(envelope.msg == bytes, "the bytes differ");
    }
}

#[test]
fn every_size_arrives_in_its_place() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, _server_one) = cluster.start(1);
    let (two, _server_two) = cluster.start(2);
    let sizes =
        [0, 1, 0, 16_383, 16_384, 0, 65_535, 65_536, 65_537, 3, 9_000_000, 0, 20_000_000, 1];
    for (place, size) in sizes.into_iter().enumerate() {
        let message = vec![place as u8; size];
        one.outbox.send(Envelope::to(TWO, message).with_id(place as i64)).unwrap();
    }
    for (place, size) in sizes.into_iter().enumerate() {
        let envelope = receive(&two);
        assert_eq!((envelope.msg_id, envelope.msg.len()), (place as i64, size));
        assert_eq!((envelope.from, envelope.to), (ONE, Recipient::Peer(TWO)));
        assert!(envelope.msg.iter().all(|byte| *byte == place as u8));
    }
}

#[test]
fn a_message_at_the_limit_passes_and_one_above_it_comes_back() {
    for limit in [10, 100_000] {
        let cluster = Cluster::new(3, Transport::Ipc);
        let start = |pid| {
            let builder = Server::builder(&cluster.config, Pid::new(pid)).idle_timeout(None);
            builder.max_message(limit).start().unwrap()
        };
        let (one, server_one) = start(1);
        let (two, _server_two) = start(2);
        let (three, _server_three) = start(3);
        let at = Envelope::broadcast(vec![1; limit]).with_id(1);
        let above = Envelope::broadcast(vec![2; limit + 1]).with_id(2);
        let after = Envelope::broadcast("after").with_id(3);
        for envelope in [&at, &above, &after] {
            one.outbox.send(envelope.clone()).unwrap();
        }
        for mailbox in [&two, &three] {
            assert_eq!(receive(mailbox), sent_by(ONE, at.clone()));
            assert_eq!(receive(mailbox), sent_by(ONE, after.clone()));
        }
        for peer in [TWO, Pid::new(3)] {
            assert_refused(&server_one, peer, above.clone(), Reason::TooLarge);
        }
        drop(one);
        let report = server_one.shutdown();
        assert_eq!(report.undelivered(), 2);
        assert_eq!(report.stats.peer(TWO).unwrap().dropped.too_large, 1);
    }
}

#[test]
fn a_message_larger_than_the_recipient_allows_comes_back() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let large = Envelope::to(TWO, vec![0; 500_000]);
    // Before the peer is known, its limit is not: this one waits in the window.
    one.outbox.send(large.clone().with_id(1)).unwrap();
    let builder = Server::builder(&cluster.config, TWO).idle_timeout(None).max_message(100_000);
    let (two, server_two) = builder.start().unwrap();
    assert_refused(&server_one, TWO, large.clone().with_id(1), Reason::TooLarge);
    one.outbox.send(large.clone().with_id(2)).unwrap();
    one.outbox.send(Envelope::to(TWO, "small")).unwrap();
    assert_refused(&server_one, TWO, large.with_id(2), Reason::TooLarge);
    assert_eq!(receive(&two).msg, "small");
    assert_eq!(server_two.stats().peer(ONE).unwrap().missed, 2);
}

#[test]
fn a_message_for_nobody_comes_back() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let (two, _server_two) = cluster.start(2);
    for nobody in [ONE, Pid::new(99)] {
        for size in [3, 100_000] {
            let envelope = Envelope::to(nobody, vec![0; size]);
            one.outbox.send(envelope.clone()).unwrap();
            assert_refused(&server_one, nobody, envelope, Reason::NoSuchPeer);
        }
    }
    one.outbox.send(Envelope::broadcast("goes on")).unwrap();
    assert_eq!(receive(&two).msg, "goes on");
    drop(one);
    let report = server_one.shutdown();
    assert_eq!((report.undelivered(), report.stats.no_such_peer), (4, 4));
}

#[test]
fn a_late_server_gets_all_that_was_sent_to_it() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let (one, _server_one) = cluster.start(1);
    let (two, _server_two) = cluster.start(2);
    for place in 0..10_000 {
        let to = if place % 3 == 0 { Recipient::Broadcast } else { Recipient::Peer(Pid::new(3)) };
        let mut envelope = Envelope::broadcast(format!("{place}")).with_id(place);
        envelope.to = to;
        one.outbox.send(envelope).unwrap();
    }
    // The early server has its part before the late one starts.
    for place in (0..10_000).step_by(3) {
        assert_eq!(receive(&two).msg_id, place);
    }
    let (three, _server_three) = cluster.start(3);
    for place in 0..10_000 {
        let envelope = receive(&three);
        assert_eq!((envelope.msg_id, envelope.from), (place, ONE));
        assert_eq!(envelope.msg, place.to_string());
    }
}

#[test]
fn a_tiny_window_and_tiny_channels_only_slow_things_down() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let start = |pid| {
        let builder = Server::builder(&cluster.config, pid).idle_timeout(None).window(0);
        builder.outbox_capacity(1).inbox_capacity(1).start().unwrap()
    };
    let (one, _server_one) = start(ONE);
    let (two, server_two) = start(TWO);
    let sender = std::thread::spawn(move || {
        for place in 0..200 {
            let envelope = Envelope::broadcast(vec![0; 100]).with_id(place);
            one.outbox.send_timeout(envelope, BOUND).unwrap();
        }
    });
    for place in 0..200 {
        assert_eq!(receive(&two).msg_id, place);
    }
    sender.join().unwrap();
    assert_eq!(server_two.stats().messages_received, 200);
    let later = Duration::from_millis(1);
    assert!(two.inbox.recv_timeout(later).is_err(), "nothing came twice");
}
