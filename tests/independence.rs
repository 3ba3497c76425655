//! Nobody waits for somebody else's peer: outboxes of single peers, envelopes that wait for nobody,
//! and what is told of those that hold an outbox up.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{
    Builder, Envelope, Event, Mailbox, PeerStats, Pid, Reason, Recipient, Sender, Server,
};
use support::load::{assert_accounted, await_stats};
use support::mesh::Mesh;
use support::proxy::Mode;
use support::waits::{poll, within};
use support::{
    BOUND, Cluster, Transport, assert_ends, await_all_up, await_event, join, next_undeliverable,
    receive, shut_down,
};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const THREE: Pid = Pid::new(3);

const WINDOW: usize = 256 * 1024;
const HEARTBEAT: Duration = Duration::from_millis(50);

fn small(builder: Builder<'_>) -> Builder<'_> {
    builder
        .idle_timeout(None)
        .heartbeat(HEARTBEAT)
        .window(WINDOW)
        .inbox_capacity(16)
        .outbox_capacity(8)
        .linger(Duration::from_millis(100))
}

/// Three servers that have heard each other.
fn start_three(cluster: &Cluster) -> [(Mailbox, Server); 3] {
    let start = |pid: &Pid| small(cluster.builder(*pid)).start().unwrap();
    let servers: Vec<_> = cluster.config.pids().iter().map(start).collect();
    servers.iter().for_each(|(_, server)| await_all_up(server));
    servers.try_into().ok().unwrap()
}

fn stats(server: &Server, pid: Pid) -> PeerStats {
    server.stats_of(pid).unwrap()
}

/// Puts messages for a peer into its outbox until that takes no more, and holds it up.
fn fill(server: &Server, outbox: &Sender<Envelope>, peer: Pid) -> i64 {
    let mut id = 0;
    let envelope = |id| Envelope::to(peer, vec![0; 4_096]).with_id(id);
    while outbox.send_timeout(envelope(id), HEARTBEAT * 4).is_ok() {
        id += 1;
    }
    let stalled = within(BOUND, "a peer to be stalled", || {
        server.events().iter().find(|event| matches!(event, Event::Stalled(_)))
    });
    assert_eq!(stalled, Some(Event::Stalled(peer)), "it alone");
    id
}

#[test]
fn who_takes_nothing_holds_up_its_own_outbox_and_nobody_elses() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let [(one, server_one), (two, server_two), (three, server_three)] = start_three(&cluster);
    assert!(server_one.outbox_to(ONE).is_none() && server_one.outbox_to(Pid::new(9)).is_none());
    let to_three = server_one.outbox_to(THREE).unwrap();
    // Server 3 reads nothing.
    let filled = fill(&server_one, &to_three, THREE);
    for id in 0..10_000 {
        one.outbox.send_timeout(Envelope::to(TWO, "past it").with_id(id), BOUND).unwrap();
        assert_eq!(receive(&two).msg_id, id);
    }
    // What does not wait for server 3 comes back from it, and gets to server 2.
    for id in 0..100 {
        let envelope = Envelope::broadcast("now or never").with_id(id).or_return();
        one.outbox.send_timeout(envelope, BOUND).unwrap();
        assert_eq!(receive(&two).msg_id, id);
        assert_eq!(next_undeliverable(&server_one), (THREE, id, Reason::WindowFull));
    }
    // Neither does its outbox to server 2, nor do the others'.
    let to_two = server_one.outbox_to(TWO).unwrap();
    to_two.send_timeout(Envelope::to(TWO, "by another way"), BOUND).unwrap();
    assert_eq!(receive(&two).msg, "by another way");
    two.outbox.send_timeout(Envelope::to(ONE, "back"), BOUND).unwrap();
    assert_eq!(receive(&one).msg, "back");
    let blocked = stats(&server_one, THREE).blocked;
    assert!(blocked >= HEARTBEAT && stats(&server_one, TWO).blocked == Duration::ZERO);
    // Server 3 reads again: it gets what waited, in order.
    for id in 0..filled {
        assert_eq!(receive(&three).msg_id, id);
    }
    await_event(server_one.events(), &Event::Flowing(THREE));
    assert_eq!(stats(&server_one, THREE).dropped.window_full, 100);
    assert_accounted(&server_one.stats());
    drop((one, two, three, to_two, to_three));
    assert_eq!(shut_down(server_one).undelivered(), 100);
    shut_down(server_two);
    shut_down(server_three);
}

#[test]
fn the_one_outbox_is_held_up_by_those_it_has_something_for() {
    let cluster = Cluster::new(3, Transport::Ipc);
    let [(one, server_one), (two, server_two), (three, server_three)] = start_three(&cluster);
    let filled = fill(&server_one, &one.outbox, THREE);
    // Behind an envelope that waits, one that would not waits too.
    assert!(one.outbox.try_send(Envelope::to(TWO, "behind").or_return()).is_err());
    assert!(two.inbox.is_empty());
    // It goes on with what server 3 takes.
    thread::scope(|scope| {
        scope.spawn(|| (0..filled).for_each(|_| drop(receive(&three))));
        one.outbox.send_timeout(Envelope::to(TWO, "behind").or_return(), BOUND).unwrap();
        assert_eq!(receive(&two).msg, "behind");
    });
    drop((one, two, three));
    shut_down(server_one);
    shut_down(server_two);
    shut_down(server_three);
}

#[test]
fn what_waits_for_nobody_comes_back_at_once_from_those_who_are_not_there() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let (one, server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
    poll("server 2", || server_one.stats_of(TWO), |peer| peer.unwrap().state.to_string() == "up");
    let start = Instant::now();
    for id in 0..1_000 {
        let envelope = Envelope::broadcast("a heartbeat").with_id(id).or_return();
        one.outbox.send_timeout(envelope, BOUND).unwrap();
        assert_eq!(receive(&two).msg_id, id);
        assert_eq!(next_undeliverable(&server_one), (THREE, id, Reason::PeerDown));
    }
    assert!(start.elapsed() < BOUND);
    // A later process of the peer never gets it.
    one.outbox.send(Envelope::broadcast("to all, whenever they come").with_id(7)).unwrap();
    let (three, server_three) = cluster.start(3);
    assert_eq!(receive(&three).msg_id, 7);
    drop((one, two, three));
    assert!(!shut_down(server_one).all_acknowledged());
    shut_down(server_two);
    shut_down(server_three);
}

#[test]
fn the_server_ends_when_the_last_of_its_outboxes_is_gone() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
    await_all_up(&server_one);
    let further = server_one.outbox_to(TWO).unwrap();
    let another = server_one.outbox_to(TWO).unwrap();
    drop((one.outbox, two.outbox));
    // Whom it says it is for does not matter.
    further.send(Envelope::broadcast("first")).unwrap();
    assert_eq!(receive_from(&two.inbox).to, Recipient::Peer(TWO));
    drop(further);
    another.send(Envelope::to(Pid::new(77), "last")).unwrap();
    assert_eq!(receive_from(&two.inbox).msg, "last");
    drop(another);
    assert_ends(&two.inbox);
    assert_ends(&one.inbox);
    // Who asks for one after that gets one that is closed.
    let late = server_two.outbox_to(ONE).unwrap();
    let closed =
        || late.try_send(Envelope::to(ONE, "")).is_err_and(|error| error.is_disconnected());
    poll("the late outbox to be closed", closed, |closed| *closed);
    assert!(join(server_one).all_acknowledged());
    drop(late);
    shut_down(server_two);
}

fn receive_from(inbox: &raft_cluster::Receiver<Envelope>) -> Envelope {
    inbox.recv_timeout(BOUND).expect("an envelope comes in")
}

/// A small message that comes by an outbox of its own overtakes what is not on its way yet.
#[test]
fn a_small_message_overtakes_a_stream_of_large_ones_to_the_same_peer() {
    const LARGE: usize = 1 << 20;
    let mesh = Mesh::new(2, Transport::Tcp, 3);
    let start = |pid| mesh.builder(pid).window(64 << 20).start().unwrap();
    let ((one, server_one), (two, server_two)) = (start(1), start(2));
    await_all_up(&server_one);
    let small = server_one.outbox_to(TWO).unwrap();
    // The line stands still, and what is put in before it moves again can only wait.
    mesh.set(1, 2, &Mode::Stall);
    for id in 0..20 {
        one.outbox.send_timeout(Envelope::to(TWO, vec![0; LARGE]).with_id(id), BOUND).unwrap();
    }
    await_stats(&server_one, 2, |peer| peer.queued > 5);
    small.send_timeout(Envelope::to(TWO, "small").with_id(-1), BOUND).unwrap();
    await_stats(&server_one, 2, |peer| peer.accepted == 21);
    mesh.set(1, 2, &Mode::Pass);
    let ids: Vec<_> = (0..21).map(|_| receive(&two).msg_id).collect();
    let place = ids.iter().position(|id| *id == -1).unwrap();
    assert!(place < 15, "the small message came after {place} large ones");
    assert!(ids.iter().filter(|id| **id >= 0).copied().eq(0..20), "{ids:?}");
    drop((one, two, small));
    shut_down(server_one);
    shut_down(server_two);
}

/// However much comes by one outbox, the others have their share of the way.
#[test]
fn no_outbox_starves_another() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let (one, server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
    await_all_up(&server_one);
    let outboxes: Vec<_> = (0..4).map(|_| server_one.outbox_to(TWO).unwrap()).collect();
    let sizes = [10, 1_000, 50_000, 1_000_000];
    let mut bytes = [0; 4];
    thread::scope(|scope| {
        for (id, (outbox, size)) in outboxes.into_iter().zip(sizes).enumerate() {
            let envelope = Envelope::to(TWO, vec![0; size]).with_id(id as i64);
            // It ends with the inbox of server 2.
            scope.spawn(move || while outbox.send(envelope.clone()).is_ok() {});
        }
        while bytes.iter().any(|bytes| *bytes < 20_000_000) {
            let envelope = receive(&two);
            bytes[envelope.msg_id as usize] += envelope.msg.len().max(500);
        }
        drop(two);
        shut_down(server_one);
    });
    drop(one);
    shut_down(server_two);
}

#[test]
fn a_receipt_is_told_where_it_was_asked_for_and_nowhere_else() {
    const LARGE: usize = 3 << 20;
    let cluster = Cluster::new(3, Transport::Tcp);
    let [(one, server_one), (two, server_two), (three, server_three)] = start_three(&cluster);
    let size = |id| if id % 10 == 0 { LARGE } else { 100 };
    let mut bytes = 0;
    thread::scope(|scope| {
        scope.spawn(|| (0..40).for_each(|_| drop(receive(&two))));
        scope.spawn(|| (0..40).for_each(|_| drop(receive(&three))));
        for id in 0..40 {
            let envelope = Envelope::broadcast(vec![0; size(id)]).with_id(id);
            let envelope = if id % 2 == 0 { envelope.with_receipt() } else { envelope };
            one.outbox.send_timeout(envelope, BOUND).unwrap();
            bytes += size(id) as u64;
        }
    });
    for pid in [2, 3] {
        await_stats(&server_one, pid, |peer| peer.acknowledged == 40);
        let stats = stats(&server_one, Pid::new(pid));
        assert_eq!(stats.accepted_bytes, stats.acknowledged_bytes);
        assert!((bytes..bytes + 40 * 12).contains(&stats.accepted_bytes), "{stats:?}");
    }
    let events: Vec<_> = server_one.events().try_iter().collect();
    for peer in [TWO, THREE] {
        let receipts = events.iter().filter_map(|event| match event {
            Event::Acknowledged { peer: by, msg_id, .. } if *by == peer => Some(*msg_id),
            _ => None,
        });
        assert!(receipts.eq((0..40).step_by(2)), "{events:?}");
    }
    drop((one, two, three));
    shut_down(server_one);
    shut_down(server_two);
    shut_down(server_three);
}

/// Who has heard of a peer finds it there, however soon it says something.
#[test]
fn what_is_sent_because_a_peer_is_up_finds_it_up() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    for round in 0..30 {
        let (two, server_two) = cluster.start(2);
        await_event(server_one.events(), &Event::Up(TWO));
        one.outbox.send(Envelope::broadcast("welcome").with_id(round).or_return()).unwrap();
        assert_eq!(receive(&two).msg_id, round);
        // Else one that gets no processor for a second would hear of the next process before.
        await_stats(&server_one, 2, |peer| peer.acknowledged == round as u64 + 1);
        drop(two);
        shut_down(server_two);
    }
    assert_eq!(stats(&server_one, TWO).dropped.total(), 0);
}

/// Whatever many outboxes hold, the end comes when the linger time is over, and all of it is told.
#[test]
fn many_full_outboxes_do_not_hold_the_end_up() {
    const OUTBOXES: i64 = 64;
    let cluster = Cluster::new(2, Transport::Ipc);
    let builder = cluster.builder(ONE).idle_timeout(None).window(4_096);
    let (one, server_one) = builder.linger(Duration::from_millis(100)).start().unwrap();
    // Server 2 never comes.
    let mut put = Vec::new();
    for outbox in 0..OUTBOXES {
        let further = server_one.outbox_to(TWO).unwrap();
        let envelope = |id: i64| Envelope::to(TWO, "").with_id(id << 8 | outbox);
        put.push((0_i64..).take_while(|id| further.try_send(envelope(*id)).is_ok()).count());
    }
    assert!(put.iter().all(|put| *put >= 4_096));
    drop(one);
    let start = Instant::now();
    let report = shut_down(server_one);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let undelivered = &report.peers[0].undelivered;
    for outbox in 0..OUTBOXES {
        let ids = undelivered.iter().map(|envelope| envelope.msg_id);
        let ids = ids.filter(|id| id & 0xff == outbox).map(|id| id >> 8);
        assert!(ids.eq(0..put[outbox as usize] as i64), "outbox {outbox}");
    }
}
