//! TCP used the plain way, which no messaging can be faster than: blocking sockets, nothing is held
//! back (`TCP_NODELAY`), and nothing else. Or with a channel and a thread between each socket and
//! the application, in either direction, which is what an API of channels takes in any case.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use raft_cluster::{Receiver, Sender};

use crossbeam_channel::bounded;

use super::channels::CAPACITY;
use crate::support::raw::{read, stamp};
use crate::support::{Receipt, Receive, Result, Transmit};

/// One end of a connection on loopback.
pub struct Blocking {
    place: usize,
    stream: TcpStream,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Blocking {
    /// Both ends. All messages have the same size, by which they are told apart.
    pub fn connect(size: usize) -> Result<(Self, Self)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let far = TcpStream::connect(listener.local_addr()?)?;
        let (near, _) = listener.accept()?;
        let end = |place, stream: TcpStream| -> Result<Self> {
            stream.set_nodelay(true)?;
            Ok(Self { place, stream, outgoing: vec![7; size], incoming: vec![0; size] })
        };
        Ok((end(0, near)?, end(1, far)?))
    }
}

impl Transmit for Blocking {
    fn transmit(&mut self, number: u64) -> Result<()> {
        stamp(&mut self.outgoing, self.place, number);
        Ok(self.stream.write_all(&self.outgoing)?)
    }
}

impl Receive for Blocking {
    fn receive(&mut self) -> Result<Receipt> {
        self.stream.read_exact(&mut self.incoming)?;
        read(&self.incoming)
    }
}

/// The same behind channels.
pub struct Channelled {
    place: usize,
    outbox: Sender<Vec<u8>>,
    inbox: Receiver<Vec<u8>>,
    outgoing: Vec<u8>,
}

impl Channelled {
    /// Both ends.
    pub fn connect(size: usize) -> Result<(Self, Self)> {
        let (near, far) = Blocking::connect(size)?;
        Ok((Self::before(near)?, Self::before(far)?))
    }

    /// Starts the two threads of an end. The one that writes ends with the outbox, and
    /// with it the one that reads at the other end.
    fn before(end: Blocking) -> Result<Self> {
        let Blocking { place, stream, outgoing, mut incoming } = end;
        let (outbox, messages) = bounded::<Vec<u8>>(CAPACITY);
        let (arrivals, inbox) = bounded(CAPACITY);
        let (mut writing, mut reading) = (stream.try_clone()?, stream);
        thread::spawn(move || {
            let written = messages.iter().try_for_each(|message| writing.write_all(&message));
            written.and_then(|()| writing.shutdown(Shutdown::Write))
        });
        thread::spawn(move || {
            while reading.read_exact(&mut incoming).is_ok() {
                if arrivals.send(incoming.clone()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { place, outbox, inbox, outgoing })
    }
}

impl Transmit for Channelled {
    fn transmit(&mut self, number: u64) -> Result<()> {
        stamp(&mut self.outgoing, self.place, number);
        Ok(self.outbox.send(self.outgoing.clone())?)
    }
}

impl Receive for Channelled {
    fn receive(&mut self) -> Result<Receipt> {
        read(&self.inbox.recv()?)
    }
}
