//! The library, with its defaults.

use std::net::TcpListener;
use std::time::Duration;

use raft_cluster::{
    Builder, Bytes, Config, Envelope, Event, Idle, Mailbox, Pid, Receiver, Recipient, SecretKey,
    Sender, Server,
};
use serde_json::json;

use super::{Contender, Layout, Receipt, Receive, Result, Station, StationOf, Stations, Transmit};

/// How long servers may take to find each other.
const START_UP: Duration = Duration::from_secs(30);

/// Servers of this library, every one connected with every other.
#[derive(Clone, Copy, Debug)]
pub struct Library;

/// The same with keys.
#[derive(Clone, Copy, Debug)]
pub struct WithKeys;

/// The same with another [`Idle`].
#[derive(Clone, Copy, Debug)]
pub struct WithIdle(pub Idle);

/// An outbox, and what is put there.
pub struct Outgoing {
    pub outbox: Sender<Envelope>,
    recipient: Recipient,
    message: Bytes,
}

/// An inbox, and the server it belongs to.
pub struct Incoming {
    pub inbox: Receiver<Envelope>,
    pub server: Server,
}

impl Contender for Library {
    type Transmitter = Outgoing;
    type Receiver = Incoming;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        connect(layout, &cluster(layout.servers, &[])?, |_, server| server)
    }

    fn disconnect(&self, stations: Stations<Self>) -> Result<()> {
        // All of them let go of their mailboxes first, so that they end side by side.
        let servers: Vec<_> = stations.into_iter().map(|station| station.receiver.server).collect();
        for server in servers {
            let report = server.join();
            if !report.all_acknowledged() {
                return Err(format!("{} envelopes were undelivered", report.undelivered()).into());
            }
        }
        Ok(())
    }
}

impl Contender for WithIdle {
    type Transmitter = Outgoing;
    type Receiver = Incoming;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        connect(layout, &cluster(layout.servers, &[])?, |_, server| server.idle(self.0))
    }

    fn disconnect(&self, stations: Stations<Self>) -> Result<()> {
        Library.disconnect(stations)
    }
}

impl Contender for WithKeys {
    type Transmitter = Outgoing;
    type Receiver = Incoming;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        let keys = (0..layout.servers).map(|_| SecretKey::generate());
        let keys = keys.collect::<std::io::Result<Vec<_>>>()?;
        let key = |pid: Pid| keys[pid.as_u32() as usize - 1].clone();
        let config = cluster(layout.servers, &keys)?;
        connect(layout, &config, |pid, server| server.secret_key(key(pid)))
    }

    fn disconnect(&self, stations: Stations<Self>) -> Result<()> {
        Library.disconnect(stations)
    }
}

impl Transmit for Outgoing {
    fn transmit(&mut self, number: u64) -> Result<()> {
        self.put(self.recipient, self.message.clone(), number)
    }

    fn transmit_to_first(&mut self, number: u64) -> Result<()> {
        self.put(Recipient::Peer(Pid::new(1)), self.message.clone(), number)
    }
}

impl Outgoing {
    /// An outbox for this peer alone, for the same message.
    pub fn outbox_to(&self, server: &Server, peer: Pid) -> Option<Self> {
        let (outbox, message) = (server.outbox_to(peer)?, self.message.clone());
        Some(Self { outbox, recipient: Recipient::Peer(peer), message })
    }

    /// Sends so many bytes of the message.
    pub fn transmit_part(&self, number: u64, bytes: usize) -> Result<()> {
        self.put(self.recipient, self.message.slice(..bytes), number)
    }

    fn put(&self, recipient: Recipient, message: Bytes, number: u64) -> Result<()> {
        let mut envelope = Envelope::broadcast(message);
        envelope.to = recipient;
        Ok(self.outbox.send(envelope.with_id(i64::try_from(number)?))?)
    }
}

impl Receive for Incoming {
    fn receive(&mut self) -> Result<Receipt> {
        let envelope = self.inbox.recv()?;
        Ok(Receipt {
            from: envelope.from.as_u32() as usize - 1,
            number: u64::try_from(envelope.msg_id)?,
            length: envelope.msg.len(),
        })
    }
}

/// Starts the servers of the layout, with the defaults and what else is to be set. The
/// configuration may list more of them, which are absent.
pub fn connect(
    layout: &Layout,
    config: &Config,
    options: impl for<'a> Fn(Pid, Builder<'a>) -> Builder<'a>,
) -> Result<Stations<Library>> {
    let start = |pid: &Pid| {
        // An inbox must not end while another bench, or another server, has its turn.
        let builder = Server::builder(config, *pid).idle_timeout(None);
        Ok(options(*pid, builder).start()?)
    };
    let servers = config.pids()[..layout.servers].iter().map(start).collect::<Result<Vec<_>>>()?;
    for (_, server) in &servers {
        await_peers(server, layout.servers - 1)?;
    }
    Ok(servers.into_iter().map(|server| station(server, layout)).collect())
}

fn station((mailbox, server): (Mailbox, Server), layout: &Layout) -> StationOf<Library> {
    let recipient = match *server.peers() {
        [only] => Recipient::Peer(only),
        _ => Recipient::Broadcast,
    };
    let Mailbox { outbox, inbox, .. } = mailbox;
    let message = Bytes::from(vec![7; layout.size]);
    let transmitter = Outgoing { outbox, recipient, message };
    Station { transmitter, receiver: Incoming { inbox, server } }
}

/// Servers 1 to `servers`, on ports that the system has just handed out, with these keys, if any.
pub fn cluster(servers: usize, keys: &[SecretKey]) -> Result<Config> {
    let listeners = (0..servers).map(|_| TcpListener::bind("127.0.0.1:0"));
    let listeners = listeners.collect::<std::io::Result<Vec<_>>>()?;
    let mut listed = Vec::new();
    for (place, listener) in listeners.iter().enumerate() {
        let url = listener.local_addr()?.to_string();
        let mut server = json!({"mypid": place + 1, "url": url});
        if let Some(key) = keys.get(place) {
            server["public_key"] = key.public_key().to_string().into();
        }
        listed.push(server);
    }
    Ok(json!({"object": {"total": servers, "Servers": listed}}).to_string().parse()?)
}

/// Waits until the server has heard so many `peers`.
fn await_peers(server: &Server, peers: usize) -> Result<()> {
    let mut heard = 0;
    while heard < peers {
        if let Event::Up(_) = server.events().recv_timeout(START_UP)? {
            heard += 1;
        }
    }
    Ok(())
}
