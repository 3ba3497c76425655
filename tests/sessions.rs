//! Envelopes for one process of a peer: where another speaks for the peer they come back, and it never
//! gets them. The processes are real ones, and are killed.

mod support;

use std::time::Duration;

use nix::sys::signal::Signal;
use raft_cluster::{Builder, Envelope, Mailbox, Pid, Reason, Recipient, Session};
use support::load::{assert_accounted, await_stats};
use support::process::{Process, Role, Status, play};
use support::waits::poll;
use support::{BOUND, Cluster, Transport, await_all_up, join, next_undeliverable, receive};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

const WINDOW: usize = 256 * 1024;
const HEARTBEAT: Duration = Duration::from_millis(50);

#[test]
#[ignore = "it is what the other tests start as a process of its own"]
fn a_server_of_its_own() {
    play();
}

fn small(builder: Builder<'_>) -> Builder<'_> {
    builder
        .idle_timeout(None)
        .heartbeat(HEARTBEAT)
        .window(WINDOW)
        .inbox_capacity(16)
        .outbox_capacity(8)
        .linger(Duration::from_millis(100))
}

fn role(cluster: &Cluster, generation: u32) -> Role {
    let config = cluster.text.clone();
    let peer_timeout = Duration::from_secs(5);
    Role { config, pid: TWO.as_u32(), generation, window: WINDOW, peer_timeout }
}

/// The next message of this generation, and what it says.
fn hear(mailbox: &Mailbox, generation: u32) -> (Envelope, Status) {
    loop {
        let envelope = receive(mailbox);
        let status: Status = envelope.parse_json().unwrap();
        if status.generation == generation {
            return (envelope, status);
        }
    }
}

#[test]
fn an_answer_to_a_process_that_died_comes_back_and_its_successor_never_gets_it() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let (one, server_one) = small(cluster.builder(ONE)).start().unwrap();
    let mut question: Option<Envelope> = None;
    for generation in 1..=20 {
        let process = Process::start(&role(&cluster, generation));
        let (envelope, _) = hear(&one, generation);
        assert_ne!(envelope.session, server_one.session());
        if let Some(old) = question.replace(envelope.clone()) {
            assert_ne!(old.session, envelope.session);
            one.outbox.send_timeout(old.reply("too late"), BOUND).unwrap();
            let (_, id, reason) = next_undeliverable(&server_one);
            assert_eq!((id, reason), (old.msg_id, Reason::Restarted));
        }
        // What came as the first word of a process can be answered at once, and arrives.
        one.outbox.send_timeout(envelope.reply("in time").with_id(0), BOUND).unwrap();
        let heard = |(_, status): &(Envelope, Status)| status.received == 1;
        let (_, status) = poll("the answer", || hear(&one, generation), heard);
        assert_eq!((status.first, status.wrong), (Some(0), 0));
        process.kill();
    }
    assert_accounted(&server_one.stats());
}

#[test]
fn what_waits_for_nobody_and_was_on_its_way_to_a_process_that_died_comes_back() {
    const MESSAGES: i64 = 100;
    let cluster = Cluster::new(2, Transport::Tcp);
    let (one, server_one) = cluster
        .builder(ONE)
        .idle_timeout(None)
        .heartbeat(HEARTBEAT)
        .inbox_capacity(1 << 16)
        .start()
        .unwrap();
    let process = Process::start(&role(&cluster, 1));
    let (first, _) = hear(&one, 1);
    process.signal(Signal::SIGSTOP);
    for id in 0..MESSAGES {
        let size = if id % 10 == 0 { 20_000 } else { 100 };
        let envelope = Envelope::to(TWO, vec![0; size]).with_id(id).or_return();
        one.outbox.send_timeout(envelope, BOUND).unwrap();
    }
    let envelope = Envelope::to(TWO, "whoever comes").with_id(MESSAGES);
    one.outbox.send_timeout(envelope, BOUND).unwrap();
    let bound = Envelope::to(TWO, "for that one").with_id(MESSAGES + 1);
    one.outbox.send_timeout(bound.for_session(first.session), BOUND).unwrap();
    await_stats(&server_one, 2, |peer| peer.accepted == MESSAGES as u64 + 2);
    process.kill();
    let _successor = Process::start(&role(&cluster, 2));
    for id in (0..MESSAGES).chain([MESSAGES + 1]) {
        let (_, back, reason) = next_undeliverable(&server_one);
        assert_eq!((back, reason), (id, Reason::Restarted));
    }
    // The successor gets what was for any process, and nothing else.
    let one_came = |(_, status): &(Envelope, Status)| status.received == 1;
    let (_, status) = poll("the one message", || hear(&one, 2), one_came);
    assert_eq!((status.first, status.wrong), (Some(MESSAGES as u64), 0));
    // That it was acknowledged may be known a little later than what the successor says of it.
    await_stats(&server_one, 2, |peer| peer.acknowledged == 1);
    assert_eq!(server_one.stats_of(TWO).unwrap().dropped.restarted, MESSAGES as u64 + 1);
}

#[test]
fn a_session_that_never_was_gets_nothing() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (one, server_one) = cluster.start(1);
    let (two, server_two) = cluster.start(2);
    await_all_up(&server_one);
    one.outbox.send(Envelope::to(TWO, "").for_session(Session::default())).unwrap();
    one.outbox.send(Envelope::to(TWO, "").with_id(1).for_session(server_one.session())).unwrap();
    for id in 0..2 {
        assert_eq!(next_undeliverable(&server_one), (TWO, id, Reason::Restarted));
    }
    one.outbox.send(Envelope::broadcast("right").for_session(server_two.session())).unwrap();
    let envelope = receive(&two);
    assert_eq!((envelope.session, &envelope.msg[..]), (server_one.session(), &b"right"[..]));
    assert_eq!(envelope.to, Recipient::Broadcast);
    drop((one, two));
    join(server_one);
    join(server_two);
}
