//! A siege: the victim, a true peer that goes on talking with it, and the ways in for an attacker.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use raft_cluster::{Builder, Config, Envelope, Mailbox, Pid, Rejection, Server};

use crate::forged::incarnation_of;
use crate::support::addresses::free_addresses;
use crate::support::keys::can_use_keys;
use crate::support::waits::{Watchdog, poll};
use crate::support::{BOUND, receive};
use crate::victim::{Order, PEER_TIMEOUT, Report, Role, Victim, WINDOW};

pub const VICTIM: Pid = Pid::new(1);

/// The true peer, in this process. Server 3 is what attackers can play, and 4 comes late.
pub const PEER: Pid = Pid::new(2);
pub const LATE: Pid = Pid::new(4);

/// How many messages go each way to show that all is well.
const MESSAGES: i64 = 200;

/// How an attacker introduces itself to libzmq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// Without a key.
    Plain,
    /// With a key that is not listed.
    Stranger,
    /// With the key of server 3.
    Listed,
}

/// How far an attacker gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the frames.
    Heard,
    /// To libzmq's own handshake.
    Refused,
}

pub struct Siege {
    /// Dropped while the victim is there to hear it leave: else it would wait for that.
    peer: (Mailbox, Server),
    pub victim: Victim,
    pub context: zmq::Context,
    addresses: Vec<SocketAddr>,
    keys: Option<Vec<zmq::CurveKeyPair>>,
    config: Config,
    /// The peak of the victim's memory before the attack, in KiB.
    before: u64,
    said: i64,
    _watchdog: Watchdog,
}

/// The options of all servers here: small bounds and short times.
pub fn tuned(builder: Builder<'_>) -> Builder<'_> {
    builder
        .idle_timeout(None)
        .heartbeat(Duration::from_millis(100))
        .peer_timeout(PEER_TIMEOUT)
        .linger(Duration::from_millis(200))
        .window(WINDOW)
        .max_message(WINDOW)
}

/// Lets this process open as many files as it may, and returns how many these are.
pub fn raise_file_limit() -> u64 {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    most
}

impl Siege {
    /// Runs a case without keys, and with keys where libzmq has what it takes.
    pub fn each(case: impl Fn(&mut Siege)) {
        case(&mut Self::without_keys());
        if can_use_keys() {
            case(&mut Self::with_keys());
        }
    }

    pub fn without_keys() -> Self {
        Self::lay(None)
    }

    pub fn with_keys() -> Self {
        Self::lay(Some((0..4).map(|_| zmq::CurveKeyPair::new().unwrap()).collect()))
    }

    fn lay(keys: Option<Vec<zmq::CurveKeyPair>>) -> Self {
        let addresses = free_addresses(4).unwrap();
        let text = config_text(&addresses, keys.as_deref());
        let secret = |pid: Pid| keys.as_ref().map(|keys| secret_text(keys, pid));
        let (config, friends) = (text.clone(), vec![PEER.as_u32(), LATE.as_u32()]);
        let victim = Victim::start(&Role { config, secret: secret(VICTIM), friends });
        let config = text.parse().unwrap();
        let peer = start(&config, PEER, secret(PEER));
        let context = zmq::Context::new();
        let mut siege = Self {
            victim,
            context,
            peer,
            addresses,
            keys,
            config,
            before: 0,
            said: 0,
            _watchdog: Watchdog::of_this_test(),
        };
        siege.assert_serving();
        siege.before = siege.victim.peak();
        siege
    }

    pub fn address(&self, pid: Pid) -> SocketAddr {
        self.addresses[pid.as_u32() as usize - 1]
    }

    /// A bare connection to the victim.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address(VICTIM)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream
    }

    /// All ways to introduce oneself here, and how far each gets.
    pub fn guises(&self) -> Vec<(Guise, Reach)> {
        match self.keys {
            None => vec![(Guise::Plain, Reach::Heard)],
            Some(_) => vec![
                (Guise::Plain, Reach::Refused),
                (Guise::Stranger, Reach::Refused),
                (Guise::Listed, Reach::Heard),
            ],
        }
    }

    /// Who gets to the frames.
    pub fn insider(&self) -> Guise {
        if self.keys.is_none() { Guise::Plain } else { Guise::Listed }
    }

    /// Why somebody without a key is refused: for this, if keys are not asked for.
    pub fn outsider_rejection(&self, otherwise: Rejection) -> Rejection {
        if self.has_keys() { Rejection::OtherSecurity } else { otherwise }
    }

    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// A libzmq socket of an attacker, connected to the victim.
    pub fn attacker(&self, guise: Guise, kind: zmq::SocketType) -> zmq::Socket {
        let socket = self.context.socket(kind).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_sndtimeo(BOUND.as_millis() as i32).unwrap();
        if let Some(keys) = &self.keys {
            let stranger = zmq::CurveKeyPair::new().unwrap();
            let own = match guise {
                Guise::Plain => None,
                Guise::Stranger => Some(&stranger),
                Guise::Listed => Some(&keys[2]),
            };
            if let Some(own) = own {
                socket.set_curve_serverkey(&keys[0].public_key).unwrap();
                socket.set_curve_publickey(&own.public_key).unwrap();
                socket.set_curve_secretkey(&own.secret_key).unwrap();
            }
        }
        socket.connect(&format!("tcp://{}", self.address(VICTIM))).unwrap();
        socket
    }

    /// Says this to a victim that does not let one in, until it has counted that. One attempt may
    /// not be enough: libzmq's own side of it can be gone before the victim knows what it wanted.
    pub fn await_refusal(&mut self, guise: Guise, message: &[Vec<u8>]) {
        /// How often the victim is asked before the next attempt.
        const LOOKS: usize = 100;
        let known = self.victim.order(Order::Report).rejected;
        let mut attempts = Vec::new();
        let mut looks = 0..;
        let look = || {
            if looks.next().is_some_and(|look| look % LOOKS == 0) {
                let socket = self.attacker(guise, zmq::DEALER);
                // Whoever has been turned away already has nowhere to say it.
                let _ = socket.send_multipart(message, zmq::DONTWAIT);
                attempts.push(socket);
            }
            self.victim.order(Order::Report).rejected
        };
        poll(&format!("{guise:?} to be refused"), look, |rejected| *rejected > known);
    }

    /// The victim's incarnation. A forged payload that is to be taken has to name it.
    pub fn incarnation(&self) -> u64 {
        let (_place, incarnation) = self.third_server();
        incarnation
    }

    /// A socket that takes the place of server 3, and the victim's incarnation, which it has read.
    /// From there on it reads next to nothing.
    pub fn third_server(&self) -> (zmq::Socket, u64) {
        let socket = self.context.socket(zmq::DEALER).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvhwm(1).unwrap();
        socket.set_rcvbuf(4_096).unwrap();
        socket.set_rcvtimeo(BOUND.as_millis() as i32).unwrap();
        if let Some(keys) = &self.keys {
            socket.set_curve_server(true).unwrap();
            socket.set_curve_secretkey(&keys[2].secret_key).unwrap();
        }
        socket.bind(&format!("tcp://{}", self.address(Pid::new(3)))).unwrap();
        let (_, incarnation) = hear_victim(&socket);
        (socket, incarnation)
    }

    /// A further true peer, which the victim has not heard of yet.
    pub fn late_peer(&self) -> (Mailbox, Server) {
        start(&self.config, LATE, self.keys.as_ref().map(|keys| secret_text(keys, LATE)))
    }

    /// Messages go both ways between the victim and its peer, once and in order.
    pub fn assert_serving(&mut self) {
        assert_answers(&self.peer.0, self.said..self.said + MESSAGES);
        self.said += MESSAGES;
    }

    /// Messages go both ways again, however often, sooner or later.
    pub fn assert_recovers(&mut self) {
        let (mailbox, _) = &self.peer;
        self.said += 1;
        mailbox.outbox.send(Envelope::to(VICTIM, "still there?").with_id(self.said)).unwrap();
        while receive(mailbox).msg_id != self.said {}
    }

    /// What the attack left: a victim that serves, stayed small and was given nothing in a name
    /// that is not listed.
    pub fn assert_unharmed(&mut self, most_growth: u64) -> Report {
        self.assert_serving();
        self.assert_small(most_growth)
    }

    /// The same, of a victim that is not serving its peer now.
    pub fn assert_small(&mut self, most_growth: u64) -> Report {
        let report = self.victim.order(Order::Report);
        let growth = self.growth();
        println!("{growth} KiB, {report:?}");
        assert!(growth <= most_growth, "grown by {growth} KiB: {report:?}");
        assert!(report.delivered.keys().all(|pid| [2, 3, 4].contains(pid)), "{report:?}");
        report
    }

    /// By how much the peak of the victim's memory rose, in KiB.
    pub fn growth(&self) -> u64 {
        self.victim.peak() - self.before
    }

    /// Waits until the victim's report is as wanted.
    pub fn await_report(&mut self, wanted: impl Fn(&Report) -> bool) -> Report {
        let what = "the victim's report to be as wanted";
        poll(what, || self.victim.order(Order::Report), wanted)
    }
}

/// The next header that the victim sends to server 3, whose place this socket has taken, and its
/// incarnation.
pub fn hear_victim(third: &zmq::Socket) -> (Vec<u8>, u64) {
    loop {
        // The true peers speak to server 3 too.
        let header = third.recv_multipart(0).unwrap().swap_remove(0);
        if let Some(incarnation) = incarnation_of(VICTIM.as_u32(), &header) {
            return (header, incarnation);
        }
    }
}

/// The victim answers these messages of a peer, in order.
pub fn assert_answers(mailbox: &Mailbox, ids: std::ops::Range<i64>) {
    for id in ids.clone() {
        let envelope = Envelope::to(VICTIM, format!("message {id}")).with_id(id);
        mailbox.outbox.send_timeout(envelope, BOUND).unwrap();
    }
    for id in ids {
        let answer = receive(mailbox);
        assert_eq!((answer.from, answer.msg_id), (VICTIM, id));
        assert_eq!(answer.msg, format!("message {id}"));
    }
}

fn start(config: &Config, pid: Pid, secret: Option<String>) -> (Mailbox, Server) {
    let builder = tuned(Server::builder(config, pid));
    let builder = match secret {
        Some(secret) => builder.secret_key(secret.parse().unwrap()),
        None => builder,
    };
    builder.start().unwrap()
}

fn secret_text(keys: &[zmq::CurveKeyPair], pid: Pid) -> String {
    zmq::z85_encode(&keys[pid.as_u32() as usize - 1].secret_key).unwrap()
}

fn config_text(addresses: &[SocketAddr], keys: Option<&[zmq::CurveKeyPair]>) -> String {
    let servers: Vec<_> = addresses
        .iter()
        .enumerate()
        .map(|(at, address)| {
            let mut server = serde_json::json!({"mypid": at + 1, "url": address.to_string()});
            if let Some(keys) = keys {
                server["public_key"] = zmq::z85_encode(&keys[at].public_key).unwrap().into();
            }
            server
        })
        .collect();
    serde_json::json!({"object": {"total": servers.len(), "Servers": servers}}).to_string()
}
