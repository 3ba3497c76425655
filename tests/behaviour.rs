//! What the library is for: five real servers exchange messages, and each arrives once, in order
//! and whole. Every test checks content and order for each sender, not only counts.

mod support;

use std::thread;

use raft_cluster::{Envelope, Mailbox, Pid, Recipient, Server};
use support::{BOUND, Cluster, Transport, join, receive, shut_down, until_end};

const SERVERS: u32 = 5;

/// What each server puts in its outbox: for each envelope, to whom. The message tells sender and
/// place.
type Plan = Vec<Recipient>;

fn message(from: u32, place: usize) -> String {
    format!("{from}/{place}")
}

/// The places in the plan that a server is to receive, in order.
fn expected(plan: &Plan, receiver: u32) -> Vec<usize> {
    let is_for = |to: &Recipient| match to {
        Recipient::Broadcast => true,
        Recipient::Peer(pid) => *pid == Pid::new(receiver),
    };
    (0..plan.len()).filter(|place| is_for(&plan[*place])).collect()
}

/// Sends the plan of server `own` and checks all that comes in against the others' plans.
fn play(own: u32, mailbox: Mailbox, plans: &[Plan]) {
    let Mailbox { outbox, inbox, .. } = mailbox;
    thread::scope(|scope| {
        scope.spawn(move || {
            for (place, to) in plans[own as usize - 1].iter().enumerate() {
                let mut envelope = Envelope::broadcast(message(own, place)).with_id(place as i64);
                envelope.to = *to;
                outbox.send_timeout(envelope, BOUND).unwrap();
            }
        });
        let mut due: Vec<_> =
            (1..=SERVERS)
                .map(|from| {
                    if from == own { Vec::new() } else { expected(&plans[from as usize - 1], own) }
                })
                .map(Vec::into_iter)
                .collect();
        for envelope in until_end(&inbox) {
            let from = envelope.from.as_u32();
            let place = due[from as usize - 1].next();
            assert_eq!(Some(envelope.msg_id), place.map(|place| place as i64), "{from} → {own}");
            assert_eq!(envelope.msg, message(from, envelope.msg_id as usize));
            assert_eq!(envelope.to, plans[from as usize - 1][envelope.msg_id as usize]);
        }
        assert!(due.iter().all(|due| due.len() == 0), "server {own} still waits for {due:?}");
    });
}

/// Runs the plans on five servers until all have left.
fn run(transport: Transport, plans: &[Plan]) {
    let cluster = Cluster::new(SERVERS, transport);
    let servers = cluster.start_all();
    let handles = thread::scope(|scope| {
        let play = |(own, (mailbox, server)): (u32, (Mailbox, Server))| {
            scope.spawn(move || play(own, mailbox, plans));
            server
        };
        (1..).zip(servers).map(play).collect::<Vec<_>>()
    });
    for server in handles {
        let report = join(server);
        assert!(report.all_acknowledged(), "{report:?}");
    }
}

fn random_plans(seed: u64, total: usize, broadcasts_in_three: u32) -> Vec<Plan> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plans = vec![Plan::new(); SERVERS as usize];
    for _ in 0..total {
        let from = random.u32(1..=SERVERS);
        let to = loop {
            let to = random.u32(1..=SERVERS);
            if to != from {
                break to;
            }
        };
        let broadcast = random.u32(0..3) < broadcasts_in_three;
        let to = if broadcast { Recipient::Broadcast } else { Recipient::Peer(Pid::new(to)) };
        plans[from as usize - 1].push(to);
    }
    plans
}

#[test]
fn a_load_of_130_000_messages_arrives_once_and_in_order() {
    run(Transport::Tcp, &random_plans(1, 130_000, 1));
}

#[test]
fn a_load_arrives_over_ipc_too() {
    run(Transport::Ipc, &random_plans(2, 130_000, 1));
}

#[test]
fn a_thousand_broadcasts_from_random_senders_reach_everyone() {
    run(Transport::Tcp, &random_plans(3, 1_000, 3));
}

#[test]
fn a_ring_turns_a_thousand_rounds() {
    let cluster = Cluster::new(SERVERS, Transport::Tcp);
    let servers = cluster.start_all();
    thread::scope(|scope| {
        for (own, (mailbox, _)) in (1..).zip(&servers) {
            scope.spawn(move || {
                let next = Pid::new(own % SERVERS + 1);
                if own == 1 {
                    mailbox.outbox.send(Envelope::to(next, "0")).unwrap();
                }
                for round in 0..1_000 {
                    let envelope = receive(mailbox);
                    assert_eq!(envelope.from.as_u32() % SERVERS + 1, own);
                    assert_eq!(envelope.msg, round.to_string());
                    let sent = if own == 1 { round + 1 } else { round };
                    if sent < 1_000 {
                        mailbox.outbox.send(Envelope::to(next, sent.to_string())).unwrap();
                    }
                }
            });
        }
    });
    for (mailbox, server) in servers {
        drop(mailbox);
        assert!(shut_down(server).all_acknowledged());
    }
}
