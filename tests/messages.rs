//! What a message may be: empty, large, exactly as large as allowed, for nobody; and what a late
//! server gets. Each test looks at both ends: what arrives, and what comes back.

mod support;

use std::thread;
use std::time::Duration;

use raft_cluster::{Envelope, Event, Pid, Reason, Receiver, Recipient};
use support::{BOUND, Cluster, Transport, await_all_up, receive, sent_by, shut_down};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

/// Waits until this envelope has come back.
fn assert_refused(events: &Receiver<Event>, peer: Pid, envelope: Envelope, reason: Reason) {
    match next_refusal(events) {
        Event::Undeliverable { peer: to, envelope: back, reason: why, .. } => {
            assert_eq!((to, back, why), (peer, sent_by(ONE, envelope), reason));
        }
        event => panic!("{event:?}"),
    }
}

/// The next event that is not about peers coming and going.
fn next_refusal(events: &Receiver<Event>) -> Event {
    loop {
        let event = events.recv_timeout(BOUND).expect("something comes back");
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

/// A batch gathers so much, in bytes, and a message of half of it or more travels alone. An
/// envelope in a batch costs this much beside its message, or 8 less where its id counts on from
/// the one before.
const BATCH: usize = 256 * 1024;
const OVERHEAD: usize = 12;

/// A frame has so many bytes at most, beside its header: on a slow line or at the beginning, and on
/// a fast one. A batch of two of the smallest is the first; what it has no room for travels alone.
const SMALLEST_FRAME: usize = 16 * 1024;
const LARGEST_FRAME: usize = 1024 * 1024;
const FRAME_OVERHEAD: usize = 128;

/// A received body below this size is copied, and a larger one shared with the frame it came in.
const SHARED: usize = 8 * 1024;

/// Ids that count on, and in between ids that do not.
fn id(place: usize) -> i64 {
    let place = place as i64;
    if place % 5 == 0 { -place } else { place }
}

/// Sizes at, right below and right above each edge of the ways that messages travel, after one
/// another in all orders that matter: alone in a batch, two that just fit one or do not, a batch
/// that is cut short by one that travels alone, and several windows' worth in one message.
fn sizes_around_the_edges() -> Vec<usize> {
    let around = |edge: usize| edge - 13..=edge + 1;
    let mut sizes = vec![0, 1, 0, 9_000_000, 0, 20_000_000, 1];
    let first_batch = 2 * SMALLEST_FRAME;
    let small = [SHARED, SMALLEST_FRAME, first_batch - FRAME_OVERHEAD, first_batch];
    for edge in small.into_iter().chain([BATCH / 2, BATCH, LARGEST_FRAME]) {
        for size in around(edge) {
            sizes.extend([size, 0, size, size, 3]);
        }
    }
    // Two or three that fill a batch to the last byte, or are one byte too many, whatever an id
    // costs.
    for ids in [0, 8, 16, 24] {
        for size in around(BATCH / 2 - OVERHEAD - ids / 2) {
            sizes.extend([size, size, BATCH - size, 40_000]);
        }
        for size in around(BATCH / 3 - OVERHEAD) {
            sizes.extend([size, size, size]);
        }
    }
    sizes
}

#[test]
fn every_size_arrives_in_its_place() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, _server_one) = cluster.start(1);
    let (two, _server_two) = cluster.start(2);
    let sizes = sizes_around_the_edges();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (place, size) in sizes.iter().enumerate() {
                let envelope = Envelope::to(TWO, vec![place as u8; *size]).with_id(id(place));
                one.outbox.send_timeout(envelope, BOUND).unwrap();
            }
        });
        for (place, size) in sizes.iter().enumerate() {
            let envelope = receive(&two);
            assert_eq!((envelope.msg_id, envelope.msg.len()), (id(place), *size));
            assert_eq!((envelope.from, envelope.to), (ONE, Recipient::Peer(TWO)));
            assert!(envelope.msg.iter().all(|byte| *byte == place as u8));
        }
    });
}

#[test]
fn a_message_at_the_limit_passes_and_one_above_it_comes_back() {
    for limit in [10, 100_000] {
        let cluster = Cluster::new(3, Transport::Ipc);
        let start = |pid| {
            let builder = cluster.builder(Pid::new(pid)).idle_timeout(None);
            builder.max_message(limit).start().unwrap()
        };
        let (one, server_one) = start(1);
        let (two, server_two) = start(2);
        let (three, server_three) = start(3);
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
            assert_refused(server_one.events(), peer, above.clone(), Reason::TooLarge);
        }
        for server in [&server_one, &server_two, &server_three] {
            await_all_up(server);
        }
        drop(one);
        let report = shut_down(server_one);
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
    let builder = cluster.builder(TWO).idle_timeout(None).max_message(100_000);
    let (two, server_two) = builder.start().unwrap();
    assert_refused(server_one.events(), TWO, large.clone().with_id(1), Reason::TooLarge);
    one.outbox.send(large.clone().with_id(2)).unwrap();
    one.outbox.send(Envelope::to(TWO, "small")).unwrap();
    assert_refused(server_one.events(), TWO, large.with_id(2), Reason::TooLarge);
    assert_eq!(receive(&two).msg, "small");
    assert_eq!(server_two.stats().peer(ONE).unwrap().missed, 2);
}

#[test]
fn a_message_for_nobody_comes_back() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let (two, _server_two) = cluster.start(2);
    for nobody in [ONE, Pid::new(99)] {
        for size in [3, BATCH / 2 - 1, BATCH / 2, 1_000_000] {
            let envelope = Envelope::to(nobody, vec![0; size]);
            one.outbox.send(envelope.clone()).unwrap();
            assert_refused(server_one.events(), nobody, envelope, Reason::NoSuchPeer);
        }
    }
    one.outbox.send(Envelope::broadcast("goes on")).unwrap();
    assert_eq!(receive(&two).msg, "goes on");
    drop(one);
    let report = shut_down(server_one);
    assert_eq!((report.undelivered(), report.stats.no_such_peer), (8, 8));
}

#[test]
fn a_message_for_nobody_comes_back_also_from_a_server_that_was_held_up_to_its_end() {
    for (size, largest) in [(3, 64 << 20), (1_000_000, 64 << 20), (1_000_000, 999_999)] {
        let cluster = Cluster::new(2, Transport::Ipc);
        let builder = cluster.builder(ONE).idle_timeout(None).window(0);
        let builder = builder.linger(Duration::ZERO).max_message(largest);
        let (one, server_one) = builder.start().unwrap();
        let builder = cluster.builder(TWO).idle_timeout(None).window(0);
        let (two, _server_two) = builder.inbox_capacity(1).start().unwrap();
        // One is in the inbox, the others wait before it: what comes after them is not reached.
        for id in 0..10 {
            let envelope = Envelope::to(TWO, vec![0; 100]).with_id(id);
            one.outbox.send_timeout(envelope, BOUND).unwrap();
        }
        let envelope = Envelope::to(Pid::new(99), vec![0; size]);
        one.outbox.send(envelope.clone()).unwrap();
        assert_eq!(receive(&two).msg_id, 0);
        assert_eq!(server_one.stats().no_such_peer, 0);
        let events = server_one.events().clone();
        let report = shut_down(server_one);
        assert_eq!(report.stats.no_such_peer, 1);
        assert_refused(&events, Pid::new(99), envelope, Reason::NoSuchPeer);
    }
}

#[test]
fn a_late_server_gets_all_that_was_sent_to_it() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let (one, _server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
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
    let (three, server_three) = cluster.start(3);
    for place in 0..10_000 {
        let envelope = receive(&three);
        assert_eq!((envelope.msg_id, envelope.from), (place, ONE));
        assert_eq!(envelope.msg, place.to_string());
    }
    for server in [&server_two, &server_three] {
        await_all_up(server);
    }
}

#[test]
fn a_tiny_window_and_tiny_channels_only_slow_things_down() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let start = |pid| {
        let builder = cluster.builder(pid).idle_timeout(None).window(0);
        builder.outbox_capacity(1).inbox_capacity(1).start().unwrap()
    };
    let (one, _server_one) = start(ONE);
    let (two, server_two) = start(TWO);
    thread::scope(|scope| {
        scope.spawn(|| {
            for place in 0..200 {
                let envelope = Envelope::broadcast(vec![0; 100]).with_id(place);
                one.outbox.send_timeout(envelope, BOUND).unwrap();
            }
        });
        for place in 0..200 {
            assert_eq!(receive(&two).msg_id, place);
        }
    });
    assert_eq!(server_two.stats().messages_received, 200);
    // Nothing came twice: the next is what is sent next.
    one.outbox.send(Envelope::broadcast("the next").with_id(200)).unwrap();
    assert_eq!(receive(&two).msg, "the next");
    assert_eq!(server_two.stats().messages_received, 201);
}
