//! Somebody else on the receiver's port.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::fault::pause;
use crate::{Result, SENDERS};

/// How long the port stays taken when every sender has seen by whom.
const GRACE: Duration = Duration::from_millis(500);

/// Waits until every sender has come, and frees the port. The connections that it hands out stay
/// open.
pub(crate) type Holder = Box<dyn FnOnce() -> Result<Vec<TcpStream>>>;

/// A libzmq socket that a DEALER does not talk to.
pub(crate) fn wrong_socket(url: &str) -> Result<Holder> {
    let context = zmq::Context::new();
    let holder = context.socket(zmq::PUB)?;
    holder.set_linger(0)?;
    holder.monitor("inproc://visits", zmq::SocketEvent::ACCEPTED as i32)?;
    let visits = context.socket(zmq::PAIR)?;
    visits.connect("inproc://visits")?;
    holder.bind(url)?;
    Ok(Box::new(move || {
        for _ in 0..SENDERS {
            visits.recv_multipart(0)?;
        }
        pause(GRACE);
        drop((visits, holder, context));
        Ok(Vec::new())
    }))
}

/// A server that speaks another protocol, and hangs up.
pub(crate) fn http_server(url: &str) -> Result<Holder> {
    let listener = listen(url)?;
    Ok(Box::new(move || {
        // They come again and again.
        for visitor in listener.incoming().take(4 * SENDERS) {
            let mut visitor = visitor?;
            // Who hangs up first has seen enough, too.
            let _ = visitor.read(&mut [0; 64]);
            let _ = visitor.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
        Ok(Vec::new())
    }))
}

/// Somebody who accepts connections and says nothing, and holds on to them when the port is free.
pub(crate) fn silent_server(url: &str) -> Result<Holder> {
    let listener = listen(url)?;
    Ok(Box::new(move || {
        let visitors = listener.incoming().take(SENDERS).collect::<std::io::Result<_>>()?;
        pause(GRACE);
        Ok(visitors)
    }))
}

fn listen(url: &str) -> Result<TcpListener> {
    let address = url.strip_prefix("tcp://").ok_or("the url is none of TCP")?;
    Ok(TcpListener::bind(address)?)
}
