//! The feature `tracing`: what changes is told to the subscriber, by field, and nothing for each message.
//!
//! Each test has a subscriber of its own, which its servers take along to their threads. It writes JSON,
//! as `node --log json` does.

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raft_cluster::testing::Network;
use raft_cluster::{
    Builder, Config, Envelope, Event, Mailbox, Pid, Rejection, Server, ServerEntry,
};
use serde_json::Value;
use support::waits::{Watchdog, poll};
use support::{BOUND, await_all_up, await_event, join, receive, shut_down};
use tracing::Level;
use tracing::subscriber::DefaultGuard;

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

/// A network of two servers, and all that they have told the subscriber.
struct Stage {
    network: Network,
    config: Config,
    log: Log,
    _guard: DefaultGuard,
    _watchdog: Watchdog,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The first line with this message of the server with this pid, once it is there.
    fn await_line(&self, pid: Pid, message: &str) -> Value {
        let is_it =
            |line: &Value| line["message"] == message && line["span"]["pid"] == pid.as_u32();
        let find = || self.lines().into_iter().find(is_it);
        poll(&format!("{message:?} of server {pid}"), find, Option::is_some).unwrap()
    }
}

impl Stage {
    fn new(seed: u64) -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            network: Network::new(seed),
            config: Config::local(2),
            log,
            _guard: tracing::subscriber::set_default(subscriber),
            _watchdog: Watchdog::of_this_test(),
        }
    }

    /// With timeouts that are short enough to wait for.
    fn builder(&self, pid: Pid) -> Builder<'_> {
        Server::builder(&self.config, pid)
            .idle_timeout(None)
            .heartbeat(Duration::from_millis(50))
            .peer_timeout(Duration::from_millis(400))
            .window(64 * 1024)
            .network(&self.network)
    }

    fn start(&self, pid: Pid) -> (Mailbox, Server) {
        self.builder(pid).start().unwrap()
    }

    fn start_two(&self) -> [(Mailbox, Server); 2] {
        let both = [ONE, TWO].map(|pid| self.start(pid));
        both.iter().for_each(|(_, server)| await_all_up(server));
        both
    }
}

#[test]
fn a_server_tells_how_it_starts_and_how_it_ends() {
    let stage = Stage::new(1);
    let (mailbox, server) = stage.builder(ONE).idle_timeout(Some(Duration::ZERO)).start().unwrap();
    let session = server.session().to_string();
    let line = stage.log.await_line(ONE, "the server starts");
    assert_eq!((&line["target"], &line["level"]), (&"raft_cluster::server".into(), &"INFO".into()));
    assert_eq!(
        (&line["peers"], &line["keys"], &line["window"]),
        (&1.into(), &false.into(), &65_536.into())
    );
    assert_eq!((&line["heartbeat"], &line["url"]), (&"50ms".into(), &server.url().into()));
    assert_eq!(line["span"]["session"], session);

    let line = stage.log.await_line(ONE, "the inbox has ended");
    assert_eq!(line["cause"], "no message came within the idle timeout");
    drop(mailbox);
    stage.log.await_line(ONE, "nothing more will be sent");
    join(server);
    let line = stage.log.await_line(ONE, "the server has ended");
    assert_eq!(line["cause"], "no message came within the idle timeout");
}

#[test]
fn a_peer_that_comes_goes_and_comes_back_is_told_by_its_sessions() {
    let stage = Stage::new(2);
    let [(_one, server_one), (_two, server_two)] = stage.start_two();
    let first = server_two.session().to_string();
    let line = stage.log.await_line(ONE, "the peer is up");
    assert_eq!((&line["peer"], &line["session"]), (&2.into(), &first.clone().into()));
    assert_eq!(line["target"], "raft_cluster::peer");

    server_two.abort();
    let line = stage.log.await_line(ONE, "the peer is down");
    assert_eq!((&line["level"], &line["session"]), (&"WARN".into(), &first.into()));
    assert!(line["cause"].is_string(), "{line}");
    let (_two, server_two) = stage.start(TWO);
    let second = server_two.session().to_string();
    assert_eq!(stage.log.await_line(ONE, "the peer has restarted")["session"], second);
    await_all_up(&server_two);
    shut_down(server_two);
    assert_eq!(stage.log.await_line(ONE, "the peer has left")["session"], second);
    shut_down(server_one);
    stage.log.await_line(ONE, "the server shuts down");
}

#[test]
fn what_shows_that_a_peer_is_down_is_told() {
    let stage = Stage::new(3);
    let day = Duration::from_secs(86_400);
    let patient = |pid| stage.builder(pid).peer_timeout(day).start().unwrap();
    let [(_one, server_one), (_two, server_two)] = [ONE, TWO].map(patient);
    [&server_one, &server_two].into_iter().for_each(await_all_up);
    server_two.abort();
    let line = stage.log.await_line(ONE, "the peer is down");
    assert_eq!(line["cause"], "it closed the connection and refuses others");
    shut_down(server_one);

    let stage = Stage::new(4);
    let [(_one, _server_one), (_two, _server_two)] = stage.start_two();
    stage.network.cut_one_way(TWO, ONE);
    let line = stage.log.await_line(ONE, "the peer is down");
    assert_eq!(line["cause"], "it was silent for the peer timeout");
    stage.log.await_line(TWO, "the peer is heard, but does not hear this server");
}

#[test]
fn a_peer_that_never_comes_is_told() {
    let stage = Stage::new(5);
    let (_one, _server_one) = stage.start(ONE);
    let line = stage.log.await_line(ONE, "the peer was not heard yet");
    assert_eq!((&line["peer"], &line["level"]), (&2.into(), &"WARN".into()));
}

#[test]
fn a_connection_that_is_replaced_and_what_is_sent_again_are_told() {
    let stage = Stage::new(6);
    let [(one, _server_one), (two, _server_two)] = stage.start_two();
    stage.network.cut(ONE, TWO);
    for number in 0..10_u8 {
        one.outbox.send_timeout(Envelope::to(TWO, vec![number]), BOUND).unwrap();
    }
    let line = stage.log.await_line(ONE, "the connection is replaced");
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.starts_with("nothing has spoken for it for "), "{cause}");
    assert_eq!((&line["target"], &line["peer"]), (&"raft_cluster::connection".into(), &2.into()));
    stage.network.heal();
    (0..10).for_each(|number| assert_eq!(receive(&two).msg[..], [number]));
    let line = stage.log.await_line(ONE, "messages are sent again");
    assert_eq!((&line["level"], &line["peer"]), (&"DEBUG".into(), &2.into()));
    assert!(line["messages"].as_u64() > Some(0), "{line}");
}

#[test]
fn a_peer_that_holds_an_outbox_up_is_told_and_that_it_does_no_more() {
    let stage = Stage::new(7);
    let slow = |pid| stage.builder(pid).inbox_capacity(1).outbox_capacity(1).start().unwrap();
    let [(one, server_one), (two, server_two)] = [ONE, TWO].map(slow);
    [&server_one, &server_two].into_iter().for_each(await_all_up);
    // Nobody reads.
    let fill = || {
        let _ = one.outbox.try_send(Envelope::to(TWO, vec![0; 8_192]));
        server_one.events().try_iter().any(|event| event == Event::Stalled(TWO))
    };
    poll("the peer to hold the outbox up", fill, |stalled| *stalled);
    let line = stage.log.await_line(ONE, "the peer holds an outbox up");
    assert_eq!(
        (&line["peer"], &line["session"]),
        (&2.into(), &server_two.session().to_string().into())
    );
    let reader = std::thread::spawn(move || two.inbox.iter().count());
    let line = stage.log.await_line(ONE, "the peer holds no outbox up any more");
    assert!(line["blocked"].is_string(), "{line}");
    drop(one);
    shut_down(server_one);
    shut_down(server_two);
    reader.join().unwrap();
}

#[test]
fn what_is_refused_is_told_with_its_cause() {
    let stage = Stage::new(8);
    let (_one, server_one) = stage.start(ONE);
    let entry = |pid: &Pid| ServerEntry::new(*pid, stage.config.url(*pid).unwrap());
    let foreign = stage.config.pids().iter().map(entry);
    let foreign =
        foreign.fold(Config::builder().cluster("another"), raft_cluster::ConfigBuilder::entry);
    let foreign = foreign.build().unwrap();
    let builder = Server::builder(&foreign, TWO).idle_timeout(None).network(&stage.network);
    let (_two, _server_two) = builder.start().unwrap();
    let line = stage.log.await_line(ONE, "refused");
    assert_eq!(
        (&line["target"], &line["level"]),
        (&"raft_cluster::refusal".into(), &"WARN".into())
    );
    assert_eq!(line["cause"], Rejection::OtherCluster.to_string());
    assert!(line["count"].as_u64() > Some(0), "{line}");
    drop(server_one);
}

#[test]
fn another_configuration_is_told() {
    let stage = Stage::new(9);
    let [(_one, server_one), (_two, _server_two)] = stage.start_two();
    let url = stage.config.url(ONE).unwrap();
    let alone = Config::builder().server(ONE, url).build().unwrap();
    server_one.reconfigure(&alone).unwrap();
    assert_eq!(stage.log.await_line(ONE, "the server is reconfigured")["changes"], "removed 2");
    stage.log.await_line(TWO, "the peer has left");
}

#[test]
fn a_name_that_is_unknown_is_told_once() {
    let stage = Stage::new(10);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("ipc://{}", folder.path().join("1").display());
    let config =
        Config::builder().server(ONE, url).server(TWO, "nobody.invalid:1").build().unwrap();
    let (_one, server) = Server::builder(&config, ONE)
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(500))
        .peer_timeout(Duration::from_millis(2_500))
        .start()
        .unwrap();
    let line = stage.log.await_line(ONE, "the name was not found");
    assert_eq!((&line["peer"], &line["host"]), (&2.into(), &"nobody.invalid:1".into()));
    // By then it has been looked up again, and more than once.
    await_event(server.events(), &Event::Absent(TWO));
    let told = stage.log.lines();
    assert_eq!(told.iter().filter(|line| line["message"] == "the name was not found").count(), 1);
}

#[test]
fn nothing_is_told_for_each_message() {
    const MESSAGES: usize = 10_000;
    let stage = Stage::new(11);
    let [(one, _server_one), (two, _server_two)] = stage.start_two();
    let sender = std::thread::spawn(move || {
        for _ in 0..MESSAGES {
            one.outbox.send(Envelope::to(TWO, "x")).unwrap();
        }
        one
    });
    (0..MESSAGES).for_each(|_| drop(receive(&two)));
    sender.join().unwrap();
    let lines = stage.log.lines();
    assert!(lines.len() < MESSAGES / 100, "{} lines, the last: {:?}", lines.len(), lines.last());
}
