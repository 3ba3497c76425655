//! Servers with keys: they talk, and nobody else does, reads along, or is taken for one of them.
//!
//! Each kind of intruder is a server of this library with a configuration of its own. It has got
//! nowhere when the one that it speaks to has told why it is refused, and has still delivered
//! nothing of it. Without CURVE in the linked libzmq these tests say that they are skipped, unless
//! the environment has `RAFT_CLUSTER_EXPECT_CURVE`: then they fail.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use raft_cluster::{
    Builder, Config, Envelope, Event, Mailbox, Pid, PublicKey, Rejection, SecretKey, Server,
    StartError, libzmq,
};
use support::addresses::free_addresses;
use support::keys::{KeyedCluster, can_use_keys};
use support::waits::Watchdog;
use support::{BOUND, Transport, config_text, join, receive, shut_down};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const THREE: Pid = Pid::new(3);

/// A link that finds out soon that it gets nowhere.
fn quick(builder: Builder<'_>) -> Builder<'_> {
    builder
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(50))
        .peer_timeout(Duration::from_millis(500))
        .linger(Duration::from_millis(200))
}

fn say(mailbox: &Mailbox, to: Pid, text: &'static str) {
    mailbox.outbox.send(Envelope::to(to, text)).unwrap();
}

/// Waits for the next message, which must be this one.
fn hear(mailbox: &Mailbox, from: Pid, text: &str) {
    let envelope = receive(mailbox);
    assert_eq!((envelope.from, &envelope.msg[..]), (from, text.as_bytes()));
}

#[test]
fn servers_with_keys_talk() {
    if !can_use_keys() {
        return;
    }
    for transport in [Transport::Tcp, Transport::Ipc] {
        let keyed = KeyedCluster::new(3, transport);
        let servers = [1, 2, 3].map(|pid| keyed.builder(pid).start().unwrap());
        for (mailbox, _) in &servers {
            mailbox.outbox.send(Envelope::broadcast("hello there")).unwrap();
        }
        let servers = servers.map(|(mailbox, server)| {
            let mut heard = [receive(&mailbox).from, receive(&mailbox).from];
            heard.sort();
            let others: Vec<_> =
                [ONE, TWO, THREE].into_iter().filter(|pid| *pid != server.pid()).collect();
            assert_eq!(heard[..], others);
            drop(mailbox.outbox);
            (mailbox.inbox, server)
        });
        for (_, server) in servers {
            let report = join(server);
            assert!(report.all_acknowledged(), "{transport:?}: {report:?}");
            assert_eq!(report.stats.rejected, 0, "{transport:?}: {report:?}");
        }
    }
}

/// Starts servers 1 and 2 of three, and an intruder that speaks to 1 as a server of its own
/// configuration. Returns what server 1 says of it.
fn intrude(
    keyed: &KeyedCluster,
    config: &Config,
    pid: Pid,
    secret: Option<SecretKey>,
) -> (Rejection, Option<IpAddr>) {
    let (one, server) = quick(keyed.builder(1)).start().unwrap();
    let (two, _server_two) = quick(keyed.builder(2)).start().unwrap();
    let intruder = quick(Server::builder(config, pid));
    let intruder = match secret {
        Some(secret) => intruder.secret_key(secret),
        None => intruder,
    };
    let (intruder, _server) = intruder.start().unwrap();
    say(&intruder, ONE, "let me in");
    let refused = loop {
        let event = server.events().recv_timeout(BOUND).expect("the intruder is refused");
        match event {
            Event::Rejected { reason, address, .. } => break (reason, address),
            other => assert!(!matches!(other, Event::Up(ONE | THREE)), "{other}"),
        }
    };
    say(&two, ONE, "all is well");
    hear(&one, TWO, "all is well");
    assert!(one.inbox.is_empty());
    let stats = server.stats();
    assert!(stats.rejected > 0);
    assert_eq!(stats.peer(THREE).unwrap().received, 0);
    refused
}

fn host(config: &Config, pid: Pid) -> Option<IpAddr> {
    let url = config.url(pid)?.strip_prefix("tcp://")?;
    Some(url.parse::<SocketAddr>().unwrap().ip())
}

#[test]
fn a_server_without_keys_is_not_heard() {
    if !can_use_keys() {
        return;
    }
    for transport in [Transport::Tcp, Transport::Ipc] {
        let keyed = KeyedCluster::new(3, transport);
        let (reason, _) = intrude(&keyed, &keyed.plain_config(), THREE, None);
        assert_eq!(reason, Rejection::OtherSecurity, "{transport:?}");
    }
}

#[test]
fn a_server_whose_key_is_not_listed_is_not_heard() {
    if !can_use_keys() {
        return;
    }
    for transport in [Transport::Tcp, Transport::Ipc] {
        let keyed = KeyedCluster::new(3, transport);
        let secret = SecretKey::generate().unwrap();
        let config = keyed.config_with(&[(3, secret.public_key())]);
        let (reason, address) = intrude(&keyed, &config, THREE, Some(secret));
        assert_eq!(reason, Rejection::Stranger);
        if let (Some(own), Some(address)) = (host(&config, ONE), address) {
            assert!(address.is_loopback() && own.is_loopback(), "{address}");
        }
        assert_eq!(address.is_some(), matches!(transport, Transport::Tcp));
    }
}

#[test]
fn a_server_that_expects_another_key_is_not_heard() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(3, Transport::Tcp);
    let other = SecretKey::generate().unwrap().public_key();
    let config = keyed.config_with(&[(1, other)]);
    let (reason, _) = intrude(&keyed, &config, THREE, Some(keyed.secret(3)));
    assert_eq!(reason, Rejection::WrongServerKey);
}

#[test]
fn a_listed_server_is_not_heard_as_another() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(4, Transport::Tcp);
    // Server 3 takes the place of server 4, which is not there.
    let config = keyed.config_with(&[(4, keyed.public(3)), (3, keyed.public(4))]);
    let (reason, address) = intrude(&keyed, &config, Pid::new(4), Some(keyed.secret(3)));
    let Rejection::Impostor { claimed, actual, .. } = reason else { panic!("{reason}") };
    assert_eq!((claimed, actual), (Pid::new(4), THREE));
    assert!(address.is_some_and(|address| address.is_loopback()), "{address:?}");
}

#[test]
fn what_was_refused_at_first_is_heard_once_it_is_put_right() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(2, Transport::Tcp);
    let other = SecretKey::generate().unwrap();
    // Who stands at first where server 2 belongs.
    let wrong = [
        (keyed.plain_config(), None, Rejection::OtherSecurity),
        (keyed.config_with(&[(2, other.public_key())]), Some(other), Rejection::Stranger),
        (
            keyed.config_with(&[(1, SecretKey::generate().unwrap().public_key())]),
            Some(keyed.secret(2)),
            Rejection::WrongServerKey,
        ),
    ];
    let (one, server) = quick(keyed.builder(1)).start().unwrap();
    for (round, (config, secret, expected)) in wrong.into_iter().enumerate() {
        let builder = quick(Server::builder(&config, TWO));
        let builder = match secret {
            Some(secret) => builder.secret_key(secret),
            None => builder,
        };
        let (_mailbox, wrong) = builder.start().unwrap();
        let refused =
            |event: &Event| matches!(event, Event::Rejected { reason, .. } if *reason == expected);
        while !refused(&server.events().recv_timeout(BOUND).expect("it is refused")) {}
        shut_down(wrong);

        let (two, right) = quick(keyed.builder(2)).start().unwrap();
        say(&two, ONE, "it is me");
        hear(&one, TWO, "it is me");
        say(&one, TWO, "so it is");
        hear(&two, ONE, "so it is");
        drop(two);
        assert!(shut_down(right).all_acknowledged(), "round {round}");
    }
}

/// A listener that passes on every byte, both ways, and keeps a copy.
struct Recorder {
    url: String,
    recorded: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn before(back: SocketAddr) -> Self {
        let listener = TcpListener::bind((back.ip(), 0)).unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&recorded);
        thread::spawn(move || {
            for front in listener.incoming().map_while(Result::ok) {
                let Ok(back) = TcpStream::connect(back) else { continue };
                let ends = (front.try_clone().unwrap(), back.try_clone().unwrap());
                for (from, to) in [(front, back), (ends.1, ends.0)] {
                    let record = Arc::clone(&record);
                    thread::spawn(move || copy(from, to, &record));
                }
            }
        });
        Self { url, recorded }
    }

    fn has(&self, text: &str) -> bool {
        let recorded = self.recorded.lock().unwrap();
        recorded.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, record: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        record.lock().unwrap().extend(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other end may have gone first.
    let _ = to.shutdown(Shutdown::Write);
}

const CONFIDENTIAL: &str = "for your eyes only: forty-two";

#[test]
fn without_keys_whoever_listens_on_the_wire_reads_along() {
    let _watchdog = Watchdog::of_this_test();
    let [one, two] = free_addresses(2).unwrap()[..] else { panic!("two addresses") };
    let recorder = Recorder::before(two);
    let config: Config = config_text(&[one.to_string(), two.to_string()]).parse().unwrap();
    let seen: Config = config_text(&[one.to_string(), recorder.url.clone()]).parse().unwrap();
    let (two, _two) = Server::builder(&config, TWO).idle_timeout(None).start().unwrap();
    let (one, _one) = Server::builder(&seen, ONE).idle_timeout(None).start().unwrap();
    say(&one, TWO, CONFIDENTIAL);
    hear(&two, ONE, CONFIDENTIAL);
    assert!(recorder.has(CONFIDENTIAL));
}

#[test]
fn with_keys_whoever_listens_on_the_wire_reads_nothing() {
    if !can_use_keys() {
        return;
    }
    let keyed = KeyedCluster::new(2, Transport::Tcp);
    let address = keyed.cluster.config.url(TWO).unwrap().strip_prefix("tcp://").unwrap();
    let recorder = Recorder::before(address.parse().unwrap());
    let seen = keyed.config_with_url(2, &recorder.url);
    let (two, _two) = keyed.builder(2).start().unwrap();
    let one = Server::builder(&seen, ONE).secret_key(keyed.secret(1)).idle_timeout(None);
    let (one, _one) = one.start().unwrap();
    say(&one, TWO, CONFIDENTIAL);
    hear(&two, ONE, CONFIDENTIAL);
    assert!(recorder.has("CURVE"), "the recorder was on the way");
    // Neither the message nor the header of its frame.
    assert!(!recorder.has(CONFIDENTIAL) && !recorder.has("rcl"));
}

#[test]
fn a_server_with_keys_does_not_start_half_secured() {
    let keyed = KeyedCluster::new(2, Transport::Ipc);
    let config = &keyed.cluster.config;
    let start = |config: &Config, secret: Option<SecretKey>| {
        let builder = Server::builder(config, ONE);
        let builder = match secret {
            Some(secret) => builder.secret_key(secret),
            None => builder,
        };
        builder.start().map(drop).unwrap_err()
    };
    let error = start(config, None);
    assert!(matches!(error, StartError::NoSecretKey { pid: ONE }), "{error}");
    let error = start(&keyed.plain_config(), Some(keyed.secret(1)));
    assert!(matches!(error, StartError::NoPublicKeys { pid: ONE }), "{error}");

    let error = start(config, Some(keyed.secret(2)));
    let StartError::WrongSecretKey { pid: ONE, actual, owner: Some(TWO) } = error else {
        panic!("{error}");
    };
    assert_eq!(actual, keyed.public(2));
    assert!(error.to_string().contains("server 1"), "{error}");
    let other = SecretKey::generate().unwrap();
    let error = start(config, Some(other.clone()));
    assert!(matches!(error, StartError::WrongSecretKey { owner: None, .. }), "{error}");
}

#[test]
fn without_curve_a_server_with_keys_does_not_start_and_says_what_to_do() {
    if libzmq().curve {
        return;
    }
    let keyed = KeyedCluster::new(2, Transport::Ipc);
    let error = keyed.builder(1).start().map(drop).unwrap_err();
    assert!(matches!(error, StartError::NoCurve { .. }), "{error}");
    for words in ["libzmq3-dev", "cargo --config .cargo/curve.toml build", "4.3"] {
        assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
    }
}

#[test]
fn public_keys_are_those_that_libzmq_derives() {
    if !can_use_keys() {
        return;
    }
    for _ in 0..20 {
        let pair = zmq::CurveKeyPair::new().unwrap();
        let secret: SecretKey = zmq::z85_encode(&pair.secret_key).unwrap().parse().unwrap();
        let public: PublicKey = zmq::z85_encode(&pair.public_key).unwrap().parse().unwrap();
        assert_eq!(secret.public_key(), public);
    }
}

/// The largest frames of a fast line are as large as a part may be, and CURVE adds to that.
#[test]
fn messages_of_any_size_cross_with_keys() {
    if !can_use_keys() {
        return;
    }
    const MIB: usize = 1 << 20;
    let keyed = KeyedCluster::new(2, Transport::Ipc);
    let [(one, server), (two, _server_two)] = [1, 2].map(|pid| keyed.builder(pid).start().unwrap());
    // Soon the line is known to be fast.
    for round in 0..40 {
        for bytes in [MIB - 1, MIB, MIB + 1, 3 * MIB] {
            one.outbox.send(Envelope::to(TWO, vec![7; bytes])).unwrap();
            assert_eq!(receive(&two).msg.len(), bytes, "round {round}");
        }
    }
    assert_eq!(server.stats().peer(TWO).unwrap().resent, 0);
}
