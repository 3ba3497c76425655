//! Channels and batches over libzmq without any guarantee: what the guarantees cost shows beside
//! it.
//!
//! The outbox is emptied into frames as large as the library's, which all peers share, and received
//! messages are slices of them; a large message travels alone and uncopied, as it does there.
//! Nothing is acknowledged, resent, bounded in bytes or watched.

use std::iter;
use std::thread;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use crossbeam_channel::{Receiver, Sender, bounded};

use self::sizes::{MAX_BATCH, MIN_SINGLE};
use crate::support::traffic::{flood, or_give_up};
use crate::support::{Contender, Layout, Receipt, Receive, Result, Station, Stations, Transmit};

/// The library's own.
#[path = "../../src/output/sizes.rs"]
mod sizes;

/// The library's own default.
const CAPACITY: usize = 4_096;

/// How many frames libzmq holds for each connection, at either end.
const HIGH_WATER: i32 = 64;

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
    let mut held = None;
    while let Some(item) = held.take().or_else(|| items.recv().ok()) {
        if is_large(&item) {
            let heading = Bytes::copy_from_slice(&heading(&item)?);
            send(&mut outlets, &heading, Some(&item.message))?;
        } else {
            let frame = gather(item, items, &mut held)?;
            send(&mut outlets, &frame, None)?;
        }
    }
    // An empty frame says goodbye.
    send(&mut outlets, &Bytes::new(), None)
}

/// Whether it is a frame of its own.
fn is_large(item: &Item) -> bool {
    item.message.len() >= MIN_SINGLE
}

/// A frame of this item and those that wait, but for the first that does not fit, which is held.
fn gather(first: Item, items: &Receiver<Item>, held: &mut Option<Item>) -> Result<Bytes> {
    let mut frame = BytesMut::with_capacity(MAX_BATCH);
    for item in iter::once(first).chain(items.try_iter()) {
        if is_large(&item) || frame.len() + OVERHEAD + item.message.len() > MAX_BATCH {
            *held = Some(item);
            break;
        }
        frame.put(&heading(&item)?[..]);
        frame.put(&item.message[..]);
    }
    Ok(frame.freeze())
}

fn heading(item: &Item) -> Result<[u8; OVERHEAD]> {
    let mut heading = [0; OVERHEAD];
    let mut out = &mut heading[..];
    out.put_u32_le(u32::try_from(item.message.len())?);
    out.put_u64_le(item.number);
    out.put_u64_le(item.from as u64);
    Ok(heading)
}

/// Sends a frame of one part or two to all.
fn send(outlets: &mut [zmq::Socket], frame: &Bytes, message: Option<&Bytes>) -> Result<()> {
    let more = if message.is_some() { zmq::SNDMORE } else { 0 };
    for outlet in outlets {
        shared::send(outlet, frame.clone(), more)?;
        if let Some(message) = message {
            shared::send(outlet, message.clone(), 0)?;
        }
    }
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
        let part = inlet.recv_msg(0)?;
        let is_alone = part.get_more();
        let mut frame = shared::into_bytes(part);
        if frame.is_empty() {
            senders -= 1;
        }
        while !frame.is_empty() {
            let (length, item) = read_heading(&mut frame)?;
            let message = if is_alone {
                shared::into_bytes(inlet.recv_msg(0)?)
            } else if frame.len() >= length {
                frame.split_to(length)
            } else {
                return Err("a frame ends in a message".into());
            };
            if inbox.send(Item { message, ..item }).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Takes a heading off a frame: how long the message is, and the item without it.
fn read_heading(frame: &mut Bytes) -> Result<(usize, Item)> {
    if frame.len() < OVERHEAD {
        return Err("a frame ends in a heading".into());
    }
    let length = usize::try_from(frame.get_u32_le())?;
    let (number, from) = (frame.get_u64_le(), usize::try_from(frame.get_u64_le())?);
    Ok((length, Item { from, number, message: Bytes::new() }))
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
    pub fn send(socket: &mut zmq::Socket, frame: Bytes, flags: i32) -> Result<()> {
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
            if zmq_sys::zmq_msg_send(message, socket.as_mut_ptr(), flags) == -1 {
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
