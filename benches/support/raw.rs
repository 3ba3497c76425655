//! libzmq used the plain way: a socket for each peer and a send loop, one bound socket to receive
//! from. No channels, no batches, no guarantees.

use zmq::CurveKeyPair;

use super::traffic::flood;
use super::{Contender, Layout, Receipt, Receive, Result, Station, Stations, Transmit};

/// How many messages libzmq holds for each connection, at either end: more than its default of
/// 1,000, so that it does not have to wait so often.
const HIGH_WATER: i32 = 10_000;

/// Which bits of a message's stamp hold its number; those above hold the place of its sender.
const NUMBER_BITS: u32 = 48;

/// Servers of raw libzmq sockets, by what these are. Only those that send connect to the others.
#[derive(Clone, Copy, Debug)]
pub enum Raw {
    /// A DEALER at either end.
    Dealers,
    /// A DEALER at either end, and CURVE between them.
    CurveDealers,
    /// PUSH to PULL.
    PushPull,
}

/// A socket for each peer.
pub struct Outlets {
    place: usize,
    sockets: Vec<zmq::Socket>,
    message: Vec<u8>,
}

/// The socket where everything comes in.
pub struct Inlet {
    socket: zmq::Socket,
    message: zmq::Message,
}

impl Raw {
    fn sending(self) -> zmq::SocketType {
        match self {
            Self::Dealers | Self::CurveDealers => zmq::DEALER,
            Self::PushPull => zmq::PUSH,
        }
    }

    fn receiving(self) -> zmq::SocketType {
        match self {
            Self::Dealers | Self::CurveDealers => zmq::DEALER,
            Self::PushPull => zmq::PULL,
        }
    }
}

impl Contender for Raw {
    type Transmitter = Outlets;
    type Receiver = Inlet;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        let contexts: Vec<_> = (0..layout.servers).map(|_| zmq::Context::new()).collect();
        let keys = match self {
            Self::CurveDealers => Some(CurveKeyPair::new()?),
            Self::Dealers | Self::PushPull => None,
        };
        let keys = keys.as_ref();
        let inlets = contexts.iter().map(|context| Inlet::bind(context, self.receiving(), keys));
        let inlets = inlets.collect::<Result<Vec<_>>>()?;
        let urls = inlets.iter().map(Inlet::url).collect::<Result<Vec<_>>>()?;
        let mut stations = Vec::new();
        for (place, (receiver, context)) in inlets.into_iter().zip(&contexts).enumerate() {
            let mut transmitter =
                Outlets { place, sockets: Vec::new(), message: vec![7; layout.size] };
            if place < layout.senders {
                let peers = (0..).zip(&urls).filter(|(peer, _)| *peer != place);
                for (_, url) in peers {
                    transmitter.sockets.push(connect(context, self.sending(), url, keys)?);
                }
            }
            stations.push(Station { transmitter, receiver });
        }
        flood(&mut stations, layout, 1);
        Ok(stations)
    }
}

impl Inlet {
    fn bind(
        context: &zmq::Context,
        kind: zmq::SocketType,
        keys: Option<&CurveKeyPair>,
    ) -> Result<Self> {
        let socket = context.socket(kind)?;
        if let Some(keys) = keys {
            socket.set_curve_server(true)?;
            socket.set_curve_secretkey(&keys.secret_key)?;
        }
        socket.set_rcvhwm(HIGH_WATER)?;
        socket.bind("tcp://127.0.0.1:*")?;
        Ok(Self { socket, message: zmq::Message::new() })
    }

    fn url(&self) -> Result<String> {
        self.socket.get_last_endpoint()?.map_err(|_| "the endpoint is not text".into())
    }
}

/// A socket connected with one that has these keys, if there are any; its own are new.
fn connect(
    context: &zmq::Context,
    kind: zmq::SocketType,
    url: &str,
    keys: Option<&CurveKeyPair>,
) -> Result<zmq::Socket> {
    let socket = context.socket(kind)?;
    if let Some(keys) = keys {
        let own = CurveKeyPair::new()?;
        socket.set_curve_serverkey(&keys.public_key)?;
        socket.set_curve_publickey(&own.public_key)?;
        socket.set_curve_secretkey(&own.secret_key)?;
    }
    socket.set_sndhwm(HIGH_WATER)?;
    socket.connect(url)?;
    Ok(socket)
}

impl Outlets {
    /// Sends so many bytes of the message to all peers.
    pub fn transmit_part(&mut self, number: u64, bytes: usize) -> Result<()> {
        stamp(&mut self.message, self.place, number);
        for socket in &self.sockets {
            socket.send(&self.message[..bytes], 0)?;
        }
        Ok(())
    }
}

impl Transmit for Outlets {
    fn transmit(&mut self, number: u64) -> Result<()> {
        self.transmit_part(number, self.message.len())
    }

    fn transmit_to_first(&mut self, number: u64) -> Result<()> {
        stamp(&mut self.message, self.place, number);
        let first = self.sockets.first().ok_or("there is no peer")?;
        Ok(first.send(&self.message[..], 0)?)
    }
}

impl Receive for Inlet {
    fn receive(&mut self) -> Result<Receipt> {
        self.socket.recv(&mut self.message, 0)?;
        read(&self.message)
    }
}

/// Two DEALERs and the one connection between them, which carries both ways: each sends and
/// receives on its own.
pub struct Pair {
    place: usize,
    socket: zmq::Socket,
    outgoing: Vec<u8>,
    incoming: zmq::Message,
}

impl Pair {
    /// Both ends, each in a context of its own as if in a process of its own.
    pub fn connect(size: usize) -> Result<(Self, Self)> {
        let inlet = Inlet::bind(&zmq::Context::new(), zmq::DEALER, None)?;
        let far = connect(&zmq::Context::new(), zmq::DEALER, &inlet.url()?, None)?;
        let end = |place, socket| {
            let (outgoing, incoming) = (vec![7; size], zmq::Message::new());
            Self { place, socket, outgoing, incoming }
        };
        Ok((end(0, inlet.socket), end(1, far)))
    }
}

impl Transmit for Pair {
    fn transmit(&mut self, number: u64) -> Result<()> {
        stamp(&mut self.outgoing, self.place, number);
        Ok(self.socket.send(&self.outgoing[..], 0)?)
    }
}

impl Receive for Pair {
    fn receive(&mut self) -> Result<Receipt> {
        self.socket.recv(&mut self.incoming, 0)?;
        read(&self.incoming)
    }
}

/// Writes into the message who sends it and which one it is.
pub fn stamp(message: &mut [u8], place: usize, number: u64) {
    let stamp = (place as u64) << NUMBER_BITS | number;
    message[..8].copy_from_slice(&stamp.to_le_bytes());
}

/// What the stamp says, and the length.
pub fn read(message: &[u8]) -> Result<Receipt> {
    let stamp = message.first_chunk().ok_or("a message is too short for its stamp")?;
    let stamp = u64::from_le_bytes(*stamp);
    let from = usize::try_from(stamp >> NUMBER_BITS)?;
    Ok(Receipt { from, number: stamp & ((1 << NUMBER_BITS) - 1), length: message.len() })
}
