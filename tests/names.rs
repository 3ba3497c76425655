//! Peers that are listed by a host name. Looking it up takes as long as DNS takes, which is nobody
//! else's affair; and a name is looked up again, so that a server is found where it is now.
//!
//! Each test has a network namespace with a DNS server of its own, which takes root on Linux;
//! elsewhere these tests say why they are skipped, unless the environment has
//! `RAFT_CLUSTER_EXPECT_ROOT`: then they fail.
#![cfg(target_os = "linux")]

mod support;

use std::error::Error;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::{Config, Envelope, Event, Mailbox, Pid, Server};
use support::dns::{Answer, Dns, IPV6_NAME, in_network_with_dns};
use support::process::{Process, Role, Status, play};
use support::skips::skip;
use support::waits::{Watchdog, poll};
use support::{await_all_up, await_event, config_text, receive, shut_down, until_end};

/// Set where a test that is skipped for want of rights, tools or a feature of the kernel is one
/// that has failed.
const EXPECT_ROOT: &str = "RAFT_CLUSTER_EXPECT_ROOT";

const PEER_TIMEOUT: Duration = Duration::from_secs(1);

fn with_dns(test: impl FnOnce(&Dns) + Send) {
    let _watchdog = Watchdog::of_this_test();
    if let Err(reason) = in_network_with_dns(test) {
        skip(reason, EXPECT_ROOT);
    }
}

/// Servers 1, 2 and so on at these hosts.
fn config(hosts: &[&str]) -> Config {
    let url = |(port, host): (u16, &&str)| format!("{host}:{port}");
    config_text(&(4_001..).zip(hosts).map(url).collect::<Vec<_>>()).parse().unwrap()
}

/// Starts a server that is quick to notice what happens to its peers.
fn start(config: &Config, pid: u32) -> (Mailbox, Server) {
    Server::builder(config, Pid::new(pid))
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(100))
        .peer_timeout(PEER_TIMEOUT)
        .linger(Duration::from_secs(1))
        .start()
        .unwrap()
}

/// How long messages took from server 1 to server 2 and back.
#[derive(Debug)]
struct RoundTrips {
    /// The mean by time, not by number: what somebody finds who comes at a random moment. Between
    /// two stops of a connection there is time for many quick ones, which must not hide the stops.
    mean: Duration,
    longest: Duration,
}

impl RoundTrips {
    /// Sends one message after the other until `over`, which is asked after each.
    fn measure(one: &Mailbox, two: &Mailbox, mut over: impl FnMut() -> bool) -> Self {
        let (one_stays, two_stays) = (one.outbox.clone(), two.outbox.clone());
        let mut times = Vec::new();
        thread::scope(|scope| {
            let echo = || {
                for envelope in
                    until_end(&two.inbox).take_while(|envelope| !envelope.msg.is_empty())
                {
                    two_stays.send(Envelope::to(envelope.from, envelope.msg)).unwrap();
                }
            };
            scope.spawn(echo);
            while !over() {
                let sent = Instant::now();
                one_stays.send(Envelope::to(Pid::new(2), "ping")).unwrap();
                receive(one);
                times.push(sent.elapsed());
            }
            one_stays.send(Envelope::to(Pid::new(2), "")).unwrap();
        });
        println!("{} round trips", times.len());
        Self::of(&times)
    }

    fn of(times: &[Duration]) -> Self {
        let sum = |power| times.iter().map(|time| time.as_secs_f64().powi(power)).sum::<f64>();
        let mean = Duration::from_secs_f64(sum(2) / sum(1));
        let round_trips = Self { mean, longest: times.iter().copied().max().unwrap_or_default() };
        println!("{round_trips:?}");
        round_trips
    }

    /// Whether these are round trips of a link that nothing stops, compared with those of others at
    /// the same time: where libzmq looked names up, they took a hundred milliseconds and more.
    fn are_like(&self, others: &Self) -> bool {
        self.mean < others.mean * 4 + Duration::from_millis(20)
            && self.longest < others.longest * 4 + PEER_TIMEOUT / 2
    }
}

/// Measures while DNS is asked so many times for the name, and beside it two servers that have
/// nothing to do with names: a machine that is busy holds up all of them. One that stands still for a
/// moment may do so to one link alone, but not in each of several measurements.
fn assert_unharmed(dns: &Dns, questions: usize, one: &Mailbox, two: &Mailbox) {
    let others = config(&["127.0.0.4", "127.0.0.5"]);
    let others = [1, 2].map(|pid| start(&others, pid));
    let [(other_one, _), (other_two, _)] = &others;
    let measure = |_| {
        dns.times_asked("three.test");
        let mut asked = 0;
        let over = || {
            asked += dns.times_asked("three.test");
            asked >= questions
        };
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let beside = scope.spawn(|| {
                RoundTrips::measure(other_one, other_two, || is_over.load(Ordering::Relaxed))
            });
            let round_trips = RoundTrips::measure(one, two, over);
            is_over.store(true, Ordering::Relaxed);
            round_trips.are_like(&beside.join().unwrap())
        })
    };
    assert!((0..4).any(measure));
}

/// Servers 1 and 2, which hear each other, beside a third that is listed as `three.test`, where
/// nobody is.
fn two_beside_a_name(dns: &Dns) -> [(Mailbox, Server); 2] {
    dns.list("three.test", &[[127, 0, 0, 3]]);
    let config = config(&["127.0.0.1", "127.0.0.2", "three.test"]);
    let servers = [1, 2].map(|pid| start(&config, pid));
    await_event(servers[0].1.events(), &Event::Up(Pid::new(2)));
    await_event(servers[1].1.events(), &Event::Up(Pid::new(1)));
    servers
}

/// That neither of the two took the other for down, and that they end in time although something
/// waits for the third.
fn assert_end_well(servers: [(Mailbox, Server); 2]) {
    let is_down = |event: &Event| matches!(event, Event::Down(pid) if pid.as_u32() != 3);
    for (mailbox, server) in servers {
        assert!(!server.events().try_iter().any(|event| is_down(&event)));
        mailbox.outbox.send(Envelope::to(Pid::new(3), "nobody hears this")).unwrap();
        let events = server.events().clone();
        let started = Instant::now();
        assert_eq!(shut_down(server).undelivered(), 1);
        let took = started.elapsed();
        println!("shut down in {took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(!events.try_iter().any(|event| is_down(&event)));
        drop(mailbox);
    }
}

#[test]
fn a_silent_dns_harms_no_other_link_and_holds_up_no_end() {
    with_dns(|dns| {
        let servers = two_beside_a_name(dns);
        let [(one, _), (two, _)] = &servers;
        dns.set("three.test", Answer::Silence);
        // A resolver asks again after five seconds, and gives up after five more.
        assert_unharmed(dns, 3, one, two);
        assert_end_well(servers);
    });
}

#[test]
fn a_slow_no_from_dns_delays_no_other_link() {
    with_dns(|dns| {
        let servers = two_beside_a_name(dns);
        let [(one, _), (two, _)] = &servers;
        dns.set("three.test", Answer::NoSuchName { after: Duration::from_millis(50) });
        assert_unharmed(dns, 4, one, two);
        assert_end_well(servers);
    });
}

#[test]
fn a_server_that_comes_back_at_another_address_is_found() {
    with_dns(|dns| {
        dns.list("two.test", &[[127, 0, 0, 2]]);
        let hosts = ["127.0.0.1", "two.test"];
        let (one, server) = start(&config(&hosts), 1);
        let role = Role {
            config: config_text(&[format!("{}:4001", hosts[0]), format!("{}:4002", hosts[1])]),
            pid: 2,
            generation: 1,
            window: 1 << 20,
            peer_timeout: PEER_TIMEOUT,
        };
        let process = Process::start(&role);
        await_received(&one, 1);
        process.kill();
        dns.list("two.test", &[[127, 0, 0, 3]]);
        let started = Instant::now();
        let moved = Process::start(&Role { generation: 2, ..role });
        await_received(&one, 2);
        let took = started.elapsed();
        println!("found at the other address after {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        drop((one, server, moved));
    });
}

/// Sends numbered messages to server 2 until its process of this generation says that it has
/// received some.
fn await_received(one: &Mailbox, generation: u32) {
    for envelope in until_end(&one.inbox) {
        let status: Status = envelope.parse_json().unwrap();
        if status.generation == generation && status.received > 0 {
            return;
        }
        // When the window is full there is enough on the way.
        let _ = one.outbox.try_send(Envelope::to(Pid::new(2), "are you there?"));
    }
    panic!("the inbox has ended");
}

#[test]
fn of_two_addresses_one_may_be_dead() {
    with_dns(|dns| {
        let both = [[127, 0, 0, 2], [127, 0, 0, 9]];
        dns.list("two.test", &both);
        // Whichever is tried first.
        for listens_on in both {
            let host = std::net::Ipv4Addr::from(listens_on).to_string();
            let (one, server_one) = start(&config(&["127.0.0.1", "two.test"]), 1);
            let (two, server_two) = start(&config(&["127.0.0.1", &host]), 2);
            let started = Instant::now();
            one.outbox.send(Envelope::to(Pid::new(2), "found")).unwrap();
            assert_eq!(receive(&two).msg, "found");
            println!("found at {host} after {:?}", started.elapsed());
            assert!(shut_down(server_one).all_acknowledged());
            assert!(shut_down(server_two).all_acknowledged());
            drop((one, two));
        }
    });
}

#[test]
fn a_name_that_nobody_has_yet_is_found_once_somebody_has_it() {
    with_dns(|dns| {
        let config = config(&["127.0.0.1", "two.test"]);
        let (one, server_one) = start(&config, 1);
        for id in 0..100 {
            one.outbox.send(Envelope::to(Pid::new(2), "early").with_id(id)).unwrap();
        }
        await_event(server_one.events(), &Event::Absent(Pid::new(2)));
        dns.list("two.test", &[[127, 0, 0, 2]]);
        let (two, server_two) = start(&config, 2);
        for id in 0..100 {
            assert_eq!(receive(&two).msg_id, id);
        }
        assert!(shut_down(server_one).all_acknowledged());
        assert!(shut_down(server_two).all_acknowledged());
        drop((one, two));
    });
}

#[test]
fn a_server_is_listed_by_a_name_that_has_ipv6_addresses_alone() {
    with_dns(|_| {
        let config = config(&["127.0.0.1", IPV6_NAME]);
        let servers = [1, 2].map(|pid| start(&config, pid));
        await_event(servers[0].1.events(), &Event::Up(Pid::new(2)));
        await_event(servers[1].1.events(), &Event::Up(Pid::new(1)));
    });
}

/// Heartbeats are a long way apart here, so whoever waits for one is too late.
#[test]
fn a_name_is_connected_to_as_soon_as_it_is_known() {
    with_dns(|dns| {
        dns.list("one.test", &[[127, 0, 0, 1]]);
        dns.list("two.test", &[[127, 0, 0, 2]]);
        let config = config(&["one.test", "two.test"]);
        let started = Instant::now();
        let servers = [1, 2].map(|pid| {
            let builder = Server::builder(&config, Pid::new(pid)).idle_timeout(None);
            let heartbeat = Duration::from_secs(20);
            builder.heartbeat(heartbeat).peer_timeout(3 * heartbeat).start().unwrap()
        });
        await_event(servers[0].1.events(), &Event::Up(Pid::new(2)));
        await_event(servers[1].1.events(), &Event::Up(Pid::new(1)));
        let took = started.elapsed();
        println!("heard each other after {took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    });
}

#[test]
fn whoever_looks_names_up_ends_with_the_server() {
    with_dns(|dns| {
        // No other test has a server of this number, so the thread can be told from others.
        let text = r#"{"object": {"total": 2, "Servers": [
            {"mypid": 1, "url": "127.0.0.1:4001"}, {"mypid": 7654321, "url": "other.test:4002"}]}}"#;
        let threads = || {
            let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
            let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
            tasks.filter_map(name).filter(|name| name.contains("7654321")).count()
        };
        dns.list("other.test", &[[127, 0, 0, 2]]);
        let (mailbox, server) = start(&text.parse().unwrap(), 1);
        dns.await_question("other.test");
        assert_eq!(threads(), 1);
        shut_down(server);
        poll("the thread to end", threads, |threads| *threads == 0);
        drop(mailbox);
    });
}

#[test]
fn a_server_whose_own_name_is_unknown_does_not_start_and_says_why() {
    with_dns(|_| {
        let error = Server::start(&config(&["nowhere.test"]), Pid::new(1)).unwrap_err();
        let source = error.source().expect("what the system said").to_string();
        assert!(error.to_string().contains("tcp://nowhere.test:4001"), "{error}");
        assert!(source.contains("`nowhere.test`"), "{source}");
        assert!(source.contains("/etc/hosts"), "{source}");
    });
}

#[test]
fn a_server_keeps_its_url_as_the_file_has_it() {
    with_dns(|dns| {
        dns.list("one.test", &[[127, 0, 0, 1]]);
        let (_mailbox, server) = start(&config(&["one.test"]), 1);
        assert_eq!(server.url(), "tcp://one.test:4001");
    });
}

/// The name is looked up at once, and nobody misses the answer.
#[test]
fn a_peer_that_is_put_back_by_its_name_is_found_at_once() {
    let _watchdog = Watchdog::of_this_test();
    let local = Config::local(2);
    let url = |pid| local.url(Pid::new(pid)).unwrap().replace("127.0.0.1", "localhost");
    let urls = [1, 2].map(url);
    let both: Config = config_text(&urls).parse().unwrap();
    let alone: Config = config_text(&urls[..1]).parse().unwrap();
    let (_one, server_one) = start(&both, 1);
    let (_two, server_two) = start(&both, 2);
    for _ in 0..3 {
        let started = Instant::now();
        server_one.reconfigure(&alone).unwrap();
        server_one.reconfigure(&both).unwrap();
        [&server_one, &server_two].into_iter().for_each(await_all_up);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

/// The process that other tests start. By itself it is none.
#[test]
#[ignore = "the process that another test starts"]
fn a_server_of_its_own() {
    play();
}
