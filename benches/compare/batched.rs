//! Channels and batches over libzmq without any guarantee: what the guarantees cost shows beside
//! it.
//!
//! The outbox is emptied into frames of about 64 KiB, which all peers share, and received messages
//! are slices of them. Nothing is acknowledged, resent, bounded in bytes or watched.

use std::iter;
use std::thread;

use bytes::{Buf, Bytes};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::support::traffic::{flood, or_give_up};
use crate::support::{Contender, Layout, Receipt, Receive, Result, Station, Stations, Transmit};

/// The library's own default.
const CAPACITY: usize = 4_096;

/// How many frames libzmq holds for each connection, at either end.
const HIGH_WATER: i32 = 64;

/// When a frame is large enough, in bytes.
const FULL: usize = 64 * 1024;

/// The bytes before each message in a frame: its length, its number and its sender.
const OVERHEAD: usize = 20;

/// Servers with a thread between channels and sockets at either end, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Batched;

/// One message on its way.
pub struct Item {
    from: usize,
    number: u64,
    message: Bytes,
}

pub struct Outgoing {
    place: usize,
    outbox: Sender<Item>,
    message: Bytes,
}

pub struct Incoming(Receiver<Item>);

impl Contender for Batched {
    type Transmitter = Outgoing;
    type Receiver = Incoming;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        let contexts: Vec<_> = (0..layout.servers).map(|_| zmq::Context::new()).collect();
        let mut inlets = Vec::new();
        let mut urls = Vec::new();
        for context in &contexts {
            let inlet = context.socket(zmq::DEALER)?;
            inlet.set_rcvhwm(HIGH_WATER)?;
            inlet.bind("tcp://127.0.0.1:*")?;
            urls.push(inlet.get_last_endpoint()?.map_err(|_| "the endpoint is not text")?);
            inlets.push(inlet);
        }
        let message = Bytes::from(vec![7; layout.size]);
        let mut stations = Vec::new();
        for (place, (context, inlet)) in contexts.iter().zip(inlets).enumerate() {
            let peers = (0..).zip(&urls).filter(|(peer, _)| *peer != place).map(|(_, url)| url);
            let peers = if place < layout.senders { peers.collect() } else { Vec::new() };
            let outlets = peers.into_iter().map(|url| connect(context, url));
            let outbox = spawn_output(outlets.collect::<Result<_>>()?);
            let inbox = spawn_input(inlet, layout.senders_to(place));
            let transmitter = Outgoing { place, outbox, message: message.clone() };
            stations.push(Station { transmitter, receiver: Incoming(inbox) });
        }
        flood(&mut stations, layout, 1);
        Ok(stations)
    }
}

fn connect(context: &zmq::Context, url: &str) -> Result<zmq::Socket> {
    let outlet = context.socket(zmq::DEALER)?;
    outlet.set_sndhwm(HIGH_WATER)?;
    outlet.connect(url)?;
    Ok(outlet)
}

impl Transmit for Outgoing {
    fn transmit(&mut self, number: u64) -> Result<()> {
        let item = Item { from: self.place, number, message: self.message.clone() };
        self.outbox.send(item).map_err(|_| "the outbox has ended".into())
    }
}

impl Receive for Incoming {
    fn receive(&mut self) -> Result<Receipt> {
        let Item { from, number, message } = self.0.recv()?;
        Ok(Receipt { from, number, length: message.len() })
    }
}

fn spawn_output(outlets: Vec<zmq::Socket>) -> Sender<Item> {
    let (outbox, items) = bounded(CAPACITY);
    thread::spawn(move || or_give_up(output(&items, outlets)));
    outbox
}

fn output(items: &Receiver<Item>, mut outlets: Vec<zmq::Socket>) -> Result<()> {
    while let Ok(first) = items.recv() {
        let mut frame = Vec::with_capacity(2 * FULL);
        for item in iter::once(first).chain(items.try_iter()) {
            append(&mut frame, &item)?;
            if frame.len() >= FULL {
                break;
            }
        }
        let frame = Bytes::from(frame);
        for outlet in &mut outlets {
            shared::send(outlet, frame.clone())?;
        }
    }
    // An empty frame says goodbye.
    outlets.iter().try_for_each(|outlet| Ok(outlet.send("", 0)?))
}

fn append(frame: &mut Vec<u8>, item: &Item) -> Result<()> {
    frame.extend_from_slice(&u32::try_from(item.message.len())?.to_le_bytes());
    frame.extend_from_slice(&item.number.to_le_bytes());
    frame.extend_from_slice(&(item.from as u64).to_le_bytes());
    frame.extend_from_slice(&item.message);
    Ok(())
}

fn spawn_input(inlet: zmq::Socket, senders: usize) -> Receiver<Item> {
    let (items, inbox) = bounded(CAPACITY);
    thread::spawn(move || or_give_up(input(&inlet, &items, senders)));
    inbox
}

/// Runs until every sender has said goodbye, or the inbox was dropped.
fn input(inlet: &zmq::Socket, inbox: &Sender<Item>, mut senders: usize) -> Result<()> {
    while senders > 0 {
        let mut frame = shared::into_bytes(inlet.recv_msg(0)?);
        if frame.is_empty() {
            senders -= 1;
        }
        while !frame.is_empty() {
            if inbox.send(next_item(&mut frame)?).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Takes the first item off a frame.
fn next_item(frame: &mut Bytes) -> Result<Item> {
    let (mut heading, rest) =
        frame.split_at_checked(OVERHEAD).ok_or("a frame ends in a heading")?;
    let length = usize::try_from(heading.get_u32_le())?;
    let (number, from) = (heading.get_u64_le(), usize::try_from(heading.get_u64_le())?);
    if rest.len() < length {
        return Err("a frame ends in a message".into());
    }
    let message = frame.slice(OVERHEAD..OVERHEAD + length);
    frame.advance(OVERHEAD + length);
    Ok(Item { from, number, message })
}

/// Bytes that Rust and libzmq own together, so that neither way copies.
mod shared {
    use std::ffi::c_void;

    use bytes::Bytes;

    use crate::support::Result;

    pub fn into_bytes(message: zmq::Message) -> Bytes {
        struct Owner(zmq::Message);

        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        Bytes::from_owner(Owner(message))
    }

    #[allow(unsafe_code, reason = "libzmq takes shared memory through its C interface alone")]
    pub fn send(socket: &mut zmq::Socket, frame: Bytes) -> Result<()> {
        let (data, length) = (frame.as_ptr().cast_mut().cast(), frame.len());
        let owner = Box::into_raw(Box::new(frame)).cast();
        let mut message = zmq_sys::zmq_msg_t::default();
        let message = &raw mut message;
        // SAFETY: the bytes neither move nor change while their owner lives, and libzmq, which only
        // reads them, calls `release` once. A failed call leaves its argument to be freed here.
        unsafe {
            if zmq_sys::zmq_msg_init_data(message, data, length, Some(release), owner) == -1 {
                release(data, owner);
                return Err("libzmq has no memory left".into());
            }
            if zmq_sys::zmq_msg_send(message, socket.as_mut_ptr(), 0) == -1 {
                zmq_sys::zmq_msg_close(message);
                return Err("libzmq did not take a frame".into());
            }
        }
        Ok(())
    }

    #[allow(unsafe_code, reason = "the other half of `send`")]
    unsafe extern "C" fn release(_data: *mut c_void, owner: *mut c_void) {
        // SAFETY: `owner` is the box that `send` made, and this is called once.
        drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
    }
}
