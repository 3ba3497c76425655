//! How a server ends: whatever is dropped first, whatever state its peers are in, in order, within
//! the linger time and with nothing lost.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{TryRecvError, bounded, select};
use raft_cluster::{
    Ending, Envelope, Event, Mailbox, Pid, Reason, Receiver, ReconfigureError, Report,
};
use support::{
    BOUND, Cluster, Transport, assert_ends, await_event, join, receive, sent_by, shut_down,
    until_end, within,
};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

#[test]
fn when_the_outbox_is_dropped_first_what_it_held_is_sent_and_peers_are_still_heard() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
    let Mailbox { outbox, inbox, .. } = one;
    for id in 0..1_000 {
        outbox.send(Envelope::broadcast("last words").with_id(id)).unwrap();
    }
    drop(outbox);
    for id in 0..1_000 {
        assert_eq!(receive(&two).msg_id, id);
    }
    await_event(server_two.events(), &Event::Left(ONE));
    // It has left, and still hears what others say.
    two.outbox.send(Envelope::broadcast("are you there?")).unwrap();
    assert_eq!(inbox.recv_timeout(BOUND).unwrap().msg, "are you there?");
    drop(two.outbox);
    // The inbox ends when the peers have left too.
    assert_ends(&inbox);
    assert_ends(&two.inbox);
    assert!(join(server_one).all_acknowledged());
    assert!(join(server_two).all_acknowledged());
}

#[test]
fn when_the_inbox_is_dropped_first_peers_get_their_messages_back_and_wait_for_nobody() {
    let cluster = Cluster::new(3, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
    let (three, _server_three) = cluster.start(3);
    drop(one.inbox);
    // More than the window and the channels hold: the sender would wait for a deaf peer.
    let sender = thread::spawn(move || {
        for id in 0..1_000 {
            let envelope = Envelope::broadcast(vec![0; 50_000]).with_id(id);
            two.outbox.send_timeout(envelope, BOUND).unwrap();
        }
        two
    });
    for id in 0..1_000 {
        assert_eq!(receive(&three).msg_id, id);
    }
    let two = sender.join().unwrap();
    let refused = until_end(server_two.events()).find_map(|event| match event {
        Event::Undeliverable { peer, envelope, reason, .. } => {
            Some((peer, envelope.msg_id, reason))
        }
        _ => None,
    });
    assert_eq!(refused, Some((ONE, 0, Reason::InboxClosed)));
    // The deaf server still speaks.
    one.outbox.send(Envelope::to(TWO, "I am still here")).unwrap();
    assert_eq!(receive(&two).msg, "I am still here");
    drop(two);
    let report = shut_down(server_two);
    assert_eq!(report.stats.peer(ONE).unwrap().dropped.inbox_closed, 1_000);
    assert_eq!(report.undelivered(), 1_000);
    drop((one.outbox, server_one));
}

#[test]
fn when_both_are_dropped_the_server_ends_with_its_peers() {
    let cluster = Cluster::new(3, Transport::Ipc);
    let servers = cluster.start_all();
    let mut handles = Vec::new();
    for (mailbox, server) in servers {
        mailbox.outbox.send(Envelope::broadcast("bye")).unwrap();
        drop(mailbox);
        handles.push(server);
    }
    for server in handles {
        join(server);
    }
}

#[test]
fn a_dropped_server_ends_although_clones_of_its_outbox_live() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
    let clone = one.outbox.clone();
    clone.send(Envelope::broadcast("the last")).unwrap();
    within(BOUND, "the drop of a server", || drop(server_one));
    assert!(clone.send(Envelope::broadcast("too late")).is_err());
    assert_eq!(receive(&two).msg, "the last");
    await_event(server_two.events(), &Event::Left(ONE));
    assert_ends(&one.inbox);
}

#[test]
fn shutdown_with_a_peer_that_never_existed_lingers_and_reports_its_envelopes() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let linger = Duration::from_millis(300);
    let builder = cluster.builder(ONE).idle_timeout(None).linger(linger);
    let (one, server_one) = builder.start().unwrap();
    // Some travel in frames of their own, the others in batches. The window holds them all.
    let size = |id| match id {
        _ if id % 100 == 0 => 200_000,
        _ if id % 7 == 0 => 20_000,
        _ => 9,
    };
    let envelope = |id| Envelope::to(TWO, vec![id as u8; size(id)]).with_id(id);
    let sent: Vec<_> = (0..1_000).map(envelope).collect();
    for envelope in &sent {
        one.outbox.send(envelope.clone()).unwrap();
    }
    let start = Instant::now();
    let report = shut_down(server_one);
    let took = start.elapsed();
    assert!(took >= linger, "it gave the peer no time");
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    let undelivered: Vec<_> = report.peers[0].undelivered.clone();
    let sent: Vec<_> = sent.into_iter().map(|envelope| sent_by(ONE, envelope)).collect();
    assert_eq!(report.peers[0].pid, TWO);
    assert!(undelivered == sent, "{} of {} are reported", undelivered.len(), sent.len());
    assert_eq!(report.undelivered(), 1_000);
    assert!(!report.all_acknowledged());
}

#[test]
fn without_linger_the_end_is_at_once() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let builder = cluster.builder(ONE).linger(Duration::ZERO);
    let (one, server_one) = builder.start().unwrap();
    one.outbox.send(Envelope::broadcast("nobody hears this")).unwrap();
    let start = Instant::now();
    let report = shut_down(server_one);
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    assert_eq!(report.undelivered(), 1);
}

#[test]
fn the_inbox_ends_after_two_idle_seconds_unless_told_otherwise() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let start = Instant::now();
    let (one, server_one) = cluster.builder(ONE).start().unwrap();
    let (two, server_two) = cluster.start(2);
    assert_ends(&one.inbox);
    assert!(start.elapsed() >= Duration::from_secs(2));
    // The outbox stays, and what comes now goes back.
    one.outbox.send(Envelope::broadcast("still speaking")).unwrap();
    assert_eq!(receive(&two).msg, "still speaking");
    two.outbox.send(Envelope::broadcast("too late")).unwrap();
    let reason = until_end(server_two.events()).find_map(|event| match event {
        Event::Undeliverable { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason, Some(Reason::InboxClosed));
    drop(one);
    join(server_one);
}

#[test]
fn an_envelope_restarts_the_idle_time() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let idle = Duration::from_secs(1);
    let (two, _server_two) = cluster.start(2);
    let builder = cluster.builder(ONE).idle_timeout(Some(idle));
    let (one, _server_one) = builder.start().unwrap();
    let mut last = Instant::now();
    for id in 0..5 {
        last = Instant::now();
        two.outbox.send(Envelope::broadcast("tick").with_id(id)).unwrap();
        assert_eq!(receive(&one).msg_id, id);
    }
    // Had the last one not restarted it, it would have ended sooner, if by no more than the five
    // took.
    assert_ends(&one.inbox);
    assert!(last.elapsed() >= idle, "{:?}", last.elapsed());
}

#[test]
fn without_an_idle_timeout_the_inbox_stays() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, _server_one) = cluster.start(1);
    // Started later, with the default: when its inbox has ended, that of server 1 would have too.
    let (two, _server_two) = cluster.builder(TWO).start().unwrap();
    assert_ends(&two.inbox);
    assert_eq!(one.inbox.try_recv(), Err(TryRecvError::Empty));
    two.outbox.send(Envelope::broadcast("still there?")).unwrap();
    assert_eq!(receive(&one).msg, "still there?");
}

#[test]
fn a_cluster_of_one_ends_when_its_outbox_does() {
    let cluster = Cluster::new(1, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    one.outbox.send(Envelope::broadcast("hello, nobody")).unwrap();
    drop(one.outbox);
    assert_ends(&one.inbox);
    let report = join(server_one);
    assert!(report.all_acknowledged());
    assert!(report.peers.is_empty());
}

#[test]
fn an_ending_in_the_middle_of_heavy_traffic_loses_nothing() {
    let cluster = Cluster::new(3, Transport::Tcp);
    let servers = cluster.start_all();
    thread::scope(|scope| {
        for (mailbox, server) in servers {
            scope.spawn(move || {
                let Mailbox { outbox, inbox, .. } = mailbox;
                let sender = thread::spawn(move || {
                    for id in 0..20_000 {
                        outbox
                            .send_timeout(Envelope::broadcast([7; 64].to_vec()).with_id(id), BOUND)
                            .unwrap();
                    }
                });
                let mut next = [0; 4];
                for envelope in until_end(&inbox) {
                    let next = &mut next[envelope.from.as_u32() as usize];
                    assert_eq!(envelope.msg_id, *next);
                    *next += 1;
                }
                assert_eq!(next.iter().sum::<i64>(), 40_000);
                sender.join().unwrap();
                assert!(join(server).all_acknowledged());
            });
        }
    });
}

/// Reads an inbox until it is over.
fn read_until(inbox: &Receiver<Envelope>, is_over: &Receiver<()>) {
    loop {
        select! {
            recv(inbox) -> envelope => drop(envelope.unwrap()),
            recv(is_over) -> _ => return,
        }
    }
}

#[test]
fn a_shutdown_under_fire_accounts_for_every_envelope() {
    // With room in the outbox, senders fill it again as fast as it is emptied, and what is in it in
    // the end is lost. Without, they wait until an envelope is taken.
    for capacity in [0, 4_096] {
        for senders in [1, 4] {
            let cluster = Cluster::new(2, Transport::Ipc);
            let builder = cluster.builder(ONE).idle_timeout(None);
            let (one, server_one) = builder.outbox_capacity(capacity).start().unwrap();
            let (two, _server_two) = cluster.start(2);
            let send = || {
                let outbox = one.outbox.clone();
                let envelope = Envelope::to(TWO, "x");
                thread::spawn(move || {
                    (0_u64..).take_while(|_| outbox.send(envelope.clone()).is_ok()).count() as u64
                })
            };
            let senders: Vec<_> = (0..senders).map(|_| send()).collect();
            (0..1_000).for_each(|_| drop(receive(&two)));
            let (over, is_over) = bounded(0);
            let Report { stats, .. } = thread::scope(|scope| {
                scope.spawn(|| read_until(&two.inbox, &is_over));
                let report = shut_down(server_one);
                drop(over);
                assert_eq!(report.undelivered(), report.stats.discarded);
                report
            });
            let sent: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
            let lost = sent - stats.peer(TWO).unwrap().acknowledged;
            assert!(stats.discarded <= lost && lost <= capacity as u64, "{lost} of {stats:?}");
        }
    }
}

/// Panics when it is dropped: in the output thread, where an envelope ends.
struct Bomb;

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        b"tick"
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("this panic is part of a test");
    }
}

#[test]
fn a_panic_in_a_thread_ends_both_and_is_raised_by_join() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    one.outbox.send(Envelope::broadcast(raft_cluster::Bytes::from_owner(Bomb))).unwrap();
    // The other thread ends too.
    assert_ends(&one.inbox);
    let joined = thread::spawn(move || join(server_one)).join();
    let payload = *joined.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(payload, "this panic is part of a test");
}

#[test]
fn the_events_end_with_the_threads_while_the_handle_lives() {
    let cluster = Cluster::new(1, Transport::Ipc);
    let (mailbox, server) = cluster.start(1);
    drop(mailbox.outbox);
    assert_ends(&mailbox.inbox);
    assert_ends(server.events());
    assert!(matches!(server.reconfigure(&cluster.config), Err(ReconfigureError::Ended)));
}

#[test]
fn the_report_says_what_ended_the_server() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let start = |pid: Pid, timeout| {
        let builder = cluster.builder(pid).idle_timeout(timeout);
        builder.linger(Duration::from_millis(50)).start().unwrap()
    };
    // Nobody came.
    let (one, server_one) = start(ONE, Some(Duration::from_millis(50)));
    assert_ends(&one.inbox);
    drop(one);
    assert_eq!(join(server_one).ended, Ending::Idle);
    // What is first counts, however it is ended then.
    let (one, server_one) = start(ONE, Some(Duration::from_millis(50)));
    assert_ends(&one.inbox);
    let monitor = server_one.monitor();
    assert_eq!(shut_down(server_one).ended, Ending::Idle);
    assert_eq!((monitor.pid(), monitor.peers()), (ONE, vec![TWO]));
    assert_eq!(monitor.stats_of(TWO), monitor.stats().peer(TWO).copied());
    assert_eq!(monitor.stats_of(ONE), None);

    let (one, server_one) = start(ONE, None);
    assert_eq!(shut_down(server_one).ended, Ending::Shutdown);
    drop(one);

    let [(one, server_one), (two, server_two)] = [ONE, TWO].map(|pid| start(pid, None));
    drop((one.outbox, two.outbox));
    assert_ends(&one.inbox);
    assert_ends(&two.inbox);
    for server in [server_one, server_two] {
        assert_eq!(join(server).ended, Ending::PeersLeft);
    }

    let [(one, server_one), (two, server_two)] = [ONE, TWO].map(|pid| start(pid, None));
    drop(one.inbox);
    two.outbox.send(Envelope::to(ONE, "is anybody listening?")).unwrap();
    until_end(server_two.events()).find(|event| matches!(event, Event::Undeliverable { .. }));
    assert_eq!(shut_down(server_one).ended, Ending::InboxDropped);
    let report = shut_down(server_two);
    assert_eq!(report.ended.to_string(), "it was shut down");
}
