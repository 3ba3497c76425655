//! Slow lines: two network namespaces, and between them as little as a modem carries. It takes root
//! on Linux; elsewhere these tests say why they are skipped, unless the environment has
//! `RAFT_CLUSTER_EXPECT_ROOT`: then they fail.
#![cfg(target_os = "linux")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{Bytes, Envelope, Event, Mailbox, PeerStats, Pid, Server};
use support::await_all_up;
use support::netns::Machines;
use support::skips::skip;
use support::turns::Turn;
use support::waits::{BOUND, poll, within};

const EXPECT_ROOT: &str = "RAFT_CLUSTER_EXPECT_ROOT";

/// What crosses the line.
#[derive(Clone, Copy)]
struct Load {
    /// In bits per second.
    rate: u64,
    /// Of a message, in bytes.
    size: usize,
    messages: usize,
    /// How many of the two servers send.
    senders: usize,
}

/// What came of it.
struct Outcome {
    took: Duration,
    /// What server 1 has sent, with all that surrounds it.
    sent_bytes: u64,
    stats: Vec<PeerStats>,
}

impl Load {
    /// How long the line is busy with the messages alone.
    fn time_on_line(self) -> Duration {
        Duration::from_secs_f64((self.messages * self.size * 8) as f64 / self.rate as f64)
    }

    /// Sends it over such a line, while `meanwhile` happens until it has arrived. None if there can
    /// be no such line here.
    fn cross(self, meanwhile: impl Fn(&Machines, &dyn Fn() -> bool)) -> Option<Outcome> {
        let (_turn, machines) = line(self.rate)?;
        let servers = start_both(&machines);
        let before = machines.sent_bytes(0);
        let started = Instant::now();
        let took = thread::scope(|scope| {
            let [one, two] = servers.each_ref().map(|(mailbox, _)| mailbox);
            let receivers = [
                scope.spawn(move || self.play(two, 1, 0)),
                scope.spawn(move || self.play(one, 0, 1)),
            ];
            meanwhile(&machines, &|| receivers.iter().any(|receiver| !receiver.is_finished()));
            receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
            started.elapsed()
        });
        let sent_bytes = machines.sent_bytes(0) - before;
        let downs = |(_, server): &(Mailbox, Server)| {
            let bad = |event: &Event| matches!(event, Event::Down(_) | Event::OneWay(_));
            server.events().try_iter().filter(bad).count()
        };
        assert_eq!(servers.iter().map(downs).sum::<usize>(), 0);
        let stats = servers.map(|(mailbox, server)| {
            drop(mailbox.outbox);
            let stats = poll(
                "all to be acknowledged",
                || server.stats(),
                |stats| stats.peers[0].acknowledged == stats.peers[0].accepted,
            );
            within(BOUND, "a server to end", || server.shutdown());
            stats.peers.into_iter().next().unwrap()
        });
        Some(Outcome { took, sent_bytes, stats: stats.into() })
    }

    /// The server in this place sends, if it is its turn, and takes what the other one sends, whole
    /// and in order.
    fn play(self, mailbox: &Mailbox, place: usize, other: usize) {
        let sends = |place| if place < self.senders { self.messages } else { 0 };
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..sends(place) {
                    let message = Bytes::from(vec![number as u8; self.size]);
                    mailbox.outbox.send(Envelope::broadcast(message)).unwrap();
                }
            });
            for number in 0..sends(other) {
                let envelope = within(BOUND, "a message", || mailbox.inbox.recv()).unwrap();
                assert_eq!(envelope.msg.len(), self.size);
                assert!(envelope.msg.iter().all(|byte| *byte == number as u8), "{number}");
            }
        });
    }

    /// All arrives in little more time than the line needs, and nothing is sent twice.
    fn assert_crosses(self) {
        let Some(outcome) = self.cross(|_, _| {}) else { return };
        let Outcome { took, stats, .. } = outcome;
        println!("{took:?}, of which {:?} on the line", self.time_on_line());
        assert_eq!(stats.iter().map(|stats| stats.resent).sum::<u64>(), 0, "{stats:?}");
        // An eighth goes to headers of all layers, and both ways to acknowledgements. Some time is
        // for a busy machine.
        let most = self.time_on_line() * 5 / 4 + Duration::from_secs(1);
        assert!(took < most, "{took:?} of {most:?}");
    }
}

/// Two machines whose line carries so many bits per second. None if there can be no such line here.
fn line(rate: u64) -> Option<(Turn, Machines)> {
    let turn = Turn::take();
    let machines = Machines::new().and_then(|machines| {
        machines.limit(rate)?;
        Ok(machines)
    });
    let machines = machines.inspect_err(|reason| skip(reason, EXPECT_ROOT)).ok()?;
    Some((turn, machines))
}

/// A server on each machine, that have heard each other.
fn start_both(machines: &Machines) -> [(Mailbox, Server); 2] {
    let config = machines.config();
    let start = |pid| {
        let server = Server::builder(&config, Pid::new(pid)).idle_timeout(None);
        server.linger(BOUND).start().unwrap()
    };
    let servers = [machines.on(0, || start(1)), machines.on(1, || start(2))];
    servers.iter().for_each(|(_, server)| await_all_up(server));
    servers
}

#[test]
fn a_message_of_seconds_crosses_a_slow_line_once() {
    Load { rate: 1_000_000, size: 560_000, messages: 1, senders: 1 }.assert_crosses();
}

#[test]
fn a_message_that_takes_longer_than_the_peer_timeout_crosses_once() {
    Load { rate: 2_000_000, size: 2 << 20, messages: 1, senders: 1 }.assert_crosses();
}

#[test]
fn a_stream_of_small_messages_fits_a_modem() {
    Load { rate: 500_000, size: 64, messages: 4_000, senders: 1 }.assert_crosses();
}

#[test]
fn traffic_both_ways_shares_no_line() {
    Load { rate: 10_000_000, size: 16 << 10, messages: 300, senders: 2 }.assert_crosses();
}

#[test]
fn large_messages_both_ways_cut_nobody_off() {
    Load { rate: 100_000_000, size: 64 << 20, messages: 1, senders: 2 }.assert_crosses();
}

#[test]
fn a_large_message_goes_on_after_each_break_and_does_not_begin_again() {
    let load = Load { rate: 100_000_000, size: 64 << 20, messages: 1, senders: 1 };
    let crossed = load.cross(|machines, crossing| {
        let ticks = crossbeam_channel::tick(Duration::from_secs(1));
        let mut resets = 0;
        while crossing() {
            // The wait is the fault's own rhythm: a break each second.
            let _ = ticks.recv_timeout(BOUND);
            resets += machines.reset_connections(1);
        }
        println!("{resets} connections reset");
    });
    let Some(Outcome { took, sent_bytes, .. }) = crossed else { return };
    let ratio = sent_bytes as f64 / load.size as f64;
    println!("{took:?}, {ratio:.3} of the message sent");
    assert!(ratio < 1.15, "{ratio}");
}

/// Sends large messages to server 2 as fast as the line takes them, and small ones to and fro
/// beside them once so many large ones have come. Returns when the large ones came, and how long the small
/// ones took.
fn stream_and_probe(
    [(one, server_one), (two, server_two)]: &[(Mailbox, Server); 2],
    [alone, beside]: [usize; 2],
) -> (Vec<Instant>, Vec<Duration>) {
    const LARGE: usize = 1 << 20;
    let to_two = server_one.outbox_to(Pid::new(2)).unwrap();
    let to_one = server_two.outbox_to(Pid::new(1)).unwrap();
    let (ready, begin) = crossbeam_channel::bounded::<()>(0);
    let (over, is_over) = crossbeam_channel::bounded::<()>(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let message = Bytes::from(vec![7; LARGE]);
            for _ in 0..alone + beside {
                one.outbox.send(Envelope::to(Pid::new(2), message.clone())).unwrap();
            }
        });
        let arrivals = scope.spawn(move || {
            let (mut arrivals, mut ready) = (Vec::new(), Some(ready));
            while arrivals.len() < alone + beside {
                let envelope = two.inbox.recv_timeout(BOUND).unwrap();
                if envelope.msg.len() < LARGE {
                    to_one.send(envelope.reply("back")).unwrap();
                    continue;
                }
                arrivals.push(Instant::now());
                if arrivals.len() == alone {
                    ready = None;
                }
            }
            drop((ready, over));
            arrivals
        });
        assert!(begin.recv_timeout(BOUND).is_err_and(|error| error.is_disconnected()));
        let mut round_trips = Vec::new();
        while is_over.try_recv().is_err_and(|error| error.is_empty()) {
            let sent = Instant::now();
            to_two.send_timeout(Envelope::to(Pid::new(2), "to and fro"), BOUND).unwrap();
            // The last of them may find server 2 gone.
            crossbeam_channel::select! {
                recv(one.inbox) -> envelope => assert_eq!(envelope.unwrap().msg, "back"),
                recv(is_over) -> _ => break,
                default(BOUND) => panic!("a small message does not come back"),
            }
            round_trips.push(sent.elapsed());
        }
        (arrivals.join().unwrap(), round_trips)
    })
}

/// Heartbeats and acknowledgements of an application do not wait behind its data.
#[test]
fn small_messages_overtake_a_stream_that_fills_the_line() {
    const ALONE: usize = 5;
    const BESIDE: usize = 8;
    let Some((_turn, machines)) = line(10_000_000) else { return };
    let servers = start_both(&machines);
    let (arrivals, mut round_trips) = stream_and_probe(&servers, [ALONE, BESIDE]);
    round_trips.sort();
    let share = |percent| round_trips[(round_trips.len() - 1) * percent / 100];
    let (median, most, longest) = (share(50), share(90), share(100));
    // The first message goes by the burst that the line has saved.
    let alone = (arrivals[ALONE - 1] - arrivals[0]) / (ALONE - 1) as u32;
    let beside = (arrivals[ALONE + BESIDE - 1] - arrivals[ALONE - 1]) / BESIDE as u32;
    let kept = alone.as_secs_f64() / beside.as_secs_f64();
    let number = round_trips.len();
    println!(
        "{number} round trips: {median:?}, 90 % {most:?}, longest {longest:?}; {kept:.3} kept"
    );
    for (mailbox, server) in servers {
        drop(mailbox);
        within(BOUND, "a server to end", || server.shutdown());
    }
    assert!(number >= 50 && most < Duration::from_millis(150), "{number}: {most:?}");
    assert!(kept >= 0.9, "{alone:?} for each message alone, {beside:?} beside small ones");
}
