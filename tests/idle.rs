//! Whatever the threads do between two messages, these arrive, soon and in order.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{Envelope, Idle, Mailbox, Pid, Server};
use support::waits::within;
use support::{BOUND, Cluster, Transport, await_all_up, receive, shut_down};

const ALL: [Idle; 3] = [Idle::Adaptive, Idle::Spin, Idle::Sleep];

fn start_two(idle: Idle) -> (Cluster, [(Mailbox, Server); 2]) {
    let cluster = Cluster::new(2, Transport::Tcp);
    let start = |pid| {
        let builder = Server::builder(&cluster.config, Pid::new(pid));
        builder.idle_timeout(None).idle(idle).start().unwrap()
    };
    let servers = [1, 2].map(start);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    (cluster, servers)
}

fn end(servers: [(Mailbox, Server); 2]) {
    for (mailbox, server) in servers {
        drop(mailbox);
        assert!(shut_down(server).all_acknowledged());
    }
}

#[test]
fn one_message_after_the_other_goes_there_and_back() {
    for idle in ALL {
        let (_cluster, servers) = start_two(idle);
        let [(one, _), (two, _)] = &servers;
        for id in 0..1_000 {
            one.outbox.send(Envelope::to(Pid::new(2), "there").with_id(id)).unwrap();
            let question = receive(two);
            two.outbox.send(question.reply("back")).unwrap();
            assert_eq!(receive(one).msg_id, id);
        }
        end(servers);
    }
}

#[test]
fn messages_that_come_often_and_few_at_a_time_arrive_in_order() {
    const COUNT: i64 = 20_000;
    for idle in ALL {
        let (_cluster, servers) = start_two(idle);
        let [(one, _), (two, _)] = &servers;
        thread::scope(|scope| {
            scope.spawn(|| {
                let (start, period) = (Instant::now(), Duration::from_micros(20));
                for id in 0..COUNT {
                    while start.elapsed() < period * u32::try_from(id).unwrap() {
                        thread::yield_now();
                    }
                    one.outbox.send(Envelope::to(Pid::new(2), "often").with_id(id)).unwrap();
                }
            });
            for id in 0..COUNT {
                assert_eq!(receive(two).msg_id, id, "{idle:?}");
            }
        });
        end(servers);
    }
}

#[test]
fn who_spins_ends_in_order() {
    let (_cluster, [(one, server_one), (two, server_two)]) = start_two(Idle::Spin);
    one.outbox.send(Envelope::to(Pid::new(2), "the last")).unwrap();
    drop((one.outbox, two.outbox));
    assert_eq!(within(BOUND, "the inbox to end", || two.inbox.iter().count()), 1);
    assert!(shut_down(server_one).all_acknowledged());
    assert!(shut_down(server_two).all_acknowledged());
}
