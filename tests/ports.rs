//! A peer's port that is first held by something else: a libzmq socket of the wrong type, after
//! which a libzmq connection is stuck for good, an HTTP server, somebody who accepts and says
//! nothing, a connection to itself, or nothing at all. Once the peer itself listens there, it gets
//! all that was sent to it, once and in order. And a path of the file system that another server
//! has, or had until it was killed.
//!
//! Some tests have a network namespace of their own, which takes root on Linux; elsewhere they say
//! why they are skipped, unless the environment has `RAFT_CLUSTER_EXPECT_ROOT`: then they fail.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use raft_cluster::{Builder, Envelope, Event, Mailbox, Pid, Server, StartError};
use support::process::{Process, Role, play};
use support::{BOUND, Cluster, Transport, await_event, receive, shut_down, within};

const MESSAGES: i64 = 1_000;

fn quick(builder: Builder<'_>) -> Builder<'_> {
    builder
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(50))
        .peer_timeout(Duration::from_millis(400))
        .linger(Duration::from_millis(500))
}

/// Has server 1 send to server 2 while somebody else holds its port, and then lets server 2 start.
/// `hold` takes the port until it has been visited, and frees it.
fn assert_delivered_after<T>(hold: impl FnOnce(&str) -> Holder<T>) {
    let cluster = Cluster::new(2, Transport::Tcp);
    let holder = hold(cluster.config.url(Pid::new(2)).unwrap());
    let (mailbox, server) = quick(Server::builder(&cluster.config, Pid::new(1))).start().unwrap();
    for id in 0..MESSAGES {
        mailbox.outbox.send(Envelope::to(Pid::new(2), "early").with_id(id)).unwrap();
    }
    let kept = within(BOUND, "visitors of who holds the port", holder.visited);
    let (late, late_server) = start_when_free(&cluster, Pid::new(2));
    for id in 0..MESSAGES {
        assert_eq!(receive(&late).msg_id, id);
    }
    await_event(server.events(), &Event::Up(Pid::new(2)));
    drop((mailbox, late));
    assert!(shut_down(server).all_acknowledged());
    assert!(shut_down(late_server).all_acknowledged());
    drop(kept);
}

/// Starts a server whose port was held until now. A process that another test starts has all that
/// this one holds, until it runs its own program, and so the port too.
fn start_when_free(cluster: &Cluster, pid: Pid) -> (Mailbox, Server) {
    let is_taken = |error: &StartError| matches!(error, StartError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse);
    within(BOUND, "the port to be free", || {
        loop {
            match quick(Server::builder(&cluster.config, pid)).start() {
                Err(error) if is_taken(&error) => thread::yield_now(),
                started => return started.unwrap(),
            }
        }
    })
}

/// Somebody else on a server's port.
struct Holder<T> {
    /// Waits for visitors, frees the port, and hands back what lives on.
    visited: Box<dyn FnOnce() -> T>,
}

/// A libzmq socket of this type. Its visitor's socket is stuck, so the second visit is that of
/// another.
fn wrong_socket(kind: zmq::SocketType, url: &str) -> Holder<()> {
    const MONITOR: &str = "inproc://monitor";
    let context = zmq::Context::new();
    let socket = context.socket(kind).unwrap();
    socket.set_linger(0).unwrap();
    socket.monitor(MONITOR, zmq::SocketEvent::ACCEPTED as i32).unwrap();
    let visits = context.socket(zmq::PAIR).unwrap();
    visits.set_rcvtimeo(BOUND.as_millis() as i32).unwrap();
    visits.connect(MONITOR).unwrap();
    socket.bind(url).unwrap();
    let visited = move || {
        for _ in 0..2 {
            visits.recv_multipart(0).expect("somebody comes, and comes again");
        }
        // The context ends last, and with it the port is free.
        drop((visits, socket, context));
    };
    Holder { visited: Box::new(visited) }
}

fn listen(url: &str) -> TcpListener {
    TcpListener::bind(url.strip_prefix("tcp://").unwrap()).unwrap()
}

#[test]
fn a_port_first_held_by_a_wrong_socket_type() {
    let kinds = [zmq::REP, zmq::REQ, zmq::ROUTER, zmq::DEALER, zmq::PUB, zmq::SUB, zmq::PULL];
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || assert_delivered_after(|url| wrong_socket(kind, url)));
        }
    });
}

#[test]
fn a_port_first_held_by_an_http_server() {
    assert_delivered_after(|url| {
        let listener = listen(url);
        let visited = move || {
            for _ in 0..3 {
                let (mut visitor, _) = listener.accept().unwrap();
                let mut greeting = [0; 10];
                visitor.read_exact(&mut greeting).unwrap();
                visitor
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                    .unwrap();
            }
        };
        Holder { visited: Box::new(visited) }
    });
}

#[test]
fn a_port_first_held_by_somebody_who_accepts_and_says_nothing() {
    assert_delivered_after(|url| {
        let listener = listen(url);
        // The connections stay open when the port is free.
        let visited =
            move || (0..2).map(|_| listener.accept().unwrap().0).collect::<Vec<TcpStream>>();
        Holder { visited: Box::new(visited) }
    });
}

#[test]
fn a_port_first_held_by_nobody() {
    assert_delivered_after(|url| {
        // Freed again: nobody is there, and everybody is turned away.
        drop(listen(url));
        Holder { visited: Box::new(|| ()) }
    });
}

#[test]
fn a_second_server_at_a_path_is_refused() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let ((one, server_one), (two, server_two)) = (cluster.start(1), cluster.start(2));
    await_event(server_two.events(), &Event::Up(Pid::new(1)));
    for id in 0..MESSAGES {
        if id % 100 == 0 {
            assert_taken(Server::builder(&cluster.config, Pid::new(1)).start());
        }
        two.outbox.send(Envelope::to(Pid::new(1), "still there?").with_id(id)).unwrap();
        assert_eq!(receive(&one).msg_id, id);
    }
    let events: Vec<_> = server_two.events().try_iter().collect();
    assert_eq!(events, []);
    drop((one, two));
    assert!(shut_down(server_one).all_acknowledged());
    shut_down(server_two);
    // It is free again as soon as the first has ended.
    shut_down(cluster.start(1).1);
}

#[test]
fn a_path_is_free_when_its_process_is_killed() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let start = |pid| quick(Server::builder(&cluster.config, Pid::new(pid))).start();
    let (one, server_one) = start(1).unwrap();
    let role = Role {
        config: cluster.text.clone(),
        pid: 2,
        generation: 1,
        window: 64 * 1024,
        peer_timeout: Duration::from_millis(400),
    };
    for _ in 0..3 {
        let holder = Process::start(&role);
        assert_eq!(receive(&one).from, Pid::new(2));
        assert_taken(start(2));
        holder.kill();
        let (two, server_two) = start(2).unwrap();
        two.outbox.send(Envelope::to(Pid::new(1), "free")).unwrap();
        while &receive(&one).msg[..] != b"free" {}
        drop(two);
        assert!(shut_down(server_two).all_acknowledged());
    }
    drop(one);
    shut_down(server_one);
}

#[test]
#[ignore = "it is what another test starts as a process of its own"]
fn a_server_of_its_own() {
    play();
}

/// That a server was not started since another listens at its path, and says so.
fn assert_taken(started: Result<(Mailbox, Server), StartError>) {
    let Err(error) = started else { panic!("the path is taken from the server that has it") };
    assert!(error.to_string().contains("another program holds it"), "{error}");
    let StartError::Bind { url, source } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), ErrorKind::AddrInUse);
    let lock = format!("{}.lock", url.strip_prefix("ipc://").unwrap());
    let message = format!("another server listens there and has locked `{lock}`");
    assert_eq!(source.to_string(), message);
}

#[test]
fn a_peer_that_was_never_there_holds_nobody_up() {
    for transport in [Transport::Tcp, Transport::Ipc] {
        let cluster = Cluster::new(3, transport);
        let start = |pid| {
            let builder = quick(Server::builder(&cluster.config, Pid::new(pid)));
            builder.window(64 * 1024).start().unwrap()
        };
        let ((one, server_one), (two, server_two)) = (start(1), start(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                for id in 0..MESSAGES {
                    let envelope = Envelope::broadcast(vec![7; 1_000]).with_id(id);
                    one.outbox.send_timeout(envelope, BOUND).unwrap();
                }
            });
            for id in 0..MESSAGES {
                assert_eq!(receive(&two).msg_id, id);
            }
        });
        let stats = server_one.stats();
        let absent = stats.peer(Pid::new(3)).unwrap();
        assert!(absent.window_bytes <= 64 * 1024, "{absent:?}");
        drop((one, two));
        let report = shut_down(server_one);
        assert_eq!(report.undelivered(), MESSAGES as u64);
        let back = report.stats.peer(Pid::new(3)).unwrap().dropped.peer_down;
        // Whatever still fitted the window stays in it, in order, and not a message is in both
        // counts or in neither.
        let left = &report.peers[1].undelivered;
        assert_eq!(left.len() as u64, MESSAGES as u64 - back, "{:?}", report.stats);
        assert!(left.is_sorted_by(|one, next| one.msg_id < next.msg_id), "{left:?}");
        drop(server_two);
    }
}

#[cfg(target_os = "linux")]
mod own_network {
    use std::time::{Duration, Instant};

    use super::support::netns::{
        add_address, connected_to_themselves, in_own_network, limit_ephemeral_ports,
    };
    use super::support::skips::skip;
    use super::support::waits::poll;
    use super::support::{await_event, config_text, receive, shut_down};
    use super::{Envelope, Event, Pid, Server, quick};
    use raft_cluster::Config;

    /// Set where a test that is skipped for want of rights, tools or a feature of the kernel is one
    /// that has failed.
    const EXPECT_ROOT: &str = "RAFT_CLUSTER_EXPECT_ROOT";

    /// An address that a network of one host has for others.
    const OWN_ADDRESS: &str = "10.77.0.1";

    /// A socket that connects to a port where nobody listens is given a port of its own, which may
    /// be that very port: then it is connected to itself.
    #[test]
    fn a_port_first_held_by_a_connection_to_itself() {
        for host in ["127.0.0.1", "[::1]", OWN_ADDRESS] {
            let test = || {
                add_address(OWN_ADDRESS)?;
                limit_ephemeral_ports(45_000, 45_009)?;
                assert_met_after_connections_to_themselves(host);
                Ok(())
            };
            if let Err(reason) = in_own_network(test) {
                skip(reason, EXPECT_ROOT);
            }
        }
    }

    /// Has server 1 look for two servers until it has found itself, and then lets them start. Their
    /// ports are even and odd, since the kernel takes the ones before the others: even ones for a
    /// socket that merely connects, odd ones for a socket that is bound before.
    fn assert_met_after_connections_to_themselves(host: &str) {
        let urls = [4_001, 45_002, 45_003].map(|port| format!("{host}:{port}"));
        let config: Config = config_text(&urls).parse().unwrap();
        let start = |pid| quick(Server::builder(&config, Pid::new(pid))).start().unwrap();
        let (mailbox, server) = start(1);
        poll("a connection to itself", connected_to_themselves, |ports| !ports.is_empty());
        for pid in [2, 3] {
            let (late, late_server) = start(pid);
            await_event(server.events(), &Event::Up(Pid::new(pid)));
            mailbox.outbox.send(Envelope::to(Pid::new(pid), "met")).unwrap();
            assert_eq!(&receive(&late).msg[..], b"met");
            drop(late);
            shut_down(late_server);
        }
        drop(mailbox);
        shut_down(server);
    }

    #[test]
    fn a_connection_to_itself_ends_soon() {
        let test = || {
            limit_ephemeral_ports(45_002, 45_002)?;
            let urls = [4_001, 45_002].map(|port| format!("127.0.0.1:{port}"));
            let config: Config = config_text(&urls).parse().unwrap();
            // One whose connections have 36 s before they count as stuck.
            let builder = quick(Server::builder(&config, Pid::new(1)));
            let (_mailbox, server) = builder.peer_timeout(Duration::from_secs(60)).start().unwrap();
            poll("a connection to itself", connected_to_themselves, |ports| !ports.is_empty());
            let started = Instant::now();
            limit_ephemeral_ports(45_003, 45_009)?;
            poll("its end", connected_to_themselves, Vec::is_empty);
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            shut_down(server);
            Ok(())
        };
        if let Err(reason) = in_own_network(test) {
            skip(reason, EXPECT_ROOT);
        }
    }
}
