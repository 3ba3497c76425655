//! `--metrics`: serves what the server counts, for Prometheus to scrape.
//!
//! One thread answers one connection after the other, each with one request, in bounded time and
//! memory. The small server crates start a thread for each connection, and wait without end for one
//! that sends nothing; so only the parsing is left to a crate, the one that hyper uses.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use raft_cluster::Monitor;
use raft_cluster::prometheus::Collector;
use raft_cluster::prometheus::prometheus_client::encoding::prometheus_text::{self, CONTENT_TYPE};
use raft_cluster::prometheus::prometheus_client::registry::Registry;
use thiserror::Error;

/// How long a request may take to come, and its answer to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a request is at most, in bytes, and how many headers it has.
const MAX_REQUEST: usize = 8 << 10;
const MAX_HEADERS: usize = 64;

/// How long to wait when the process has no room for another connection.
const RETRY: Duration = Duration::from_millis(100);

/// Where metrics are served.
#[derive(Debug)]
pub(crate) struct Metrics(TcpListener);

/// The address for the metrics cannot be had.
#[derive(Debug, Error)]
#[error("cannot serve metrics on {address}")]
pub(crate) struct MetricsError {
    address: SocketAddr,
    source: io::Error,
}

impl Metrics {
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, MetricsError> {
        let bound = TcpListener::bind(address);
        bound.map(Self).map_err(|source| MetricsError { address, source })
    }

    /// Answers as long as the process lives.
    pub(crate) fn serve(self, monitor: Monitor) -> io::Result<()> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collector::new(monitor)));
        let answer_all = move || {
            for connection in self.0.incoming() {
                match connection {
                    // Who asks learns of it, or has gone.
                    Ok(connection) => drop(answer(connection, &registry)),
                    Err(_) => thread::park_timeout(RETRY),
                }
            }
        };
        thread::Builder::new().name("metrics".into()).spawn(answer_all).map(drop)
    }
}

/// Answers the one request of a connection.
fn answer(mut connection: TcpStream, registry: &Registry) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    let reply = match read_request(&mut connection, deadline)? {
        Some(request) => Reply::to(&request, registry)?,
        None => Reply::of("431 Request Header Fields Too Large"),
    };
    let mut rest = &reply.to_string().into_bytes()[..];
    while !rest.is_empty() {
        connection.set_write_timeout(Some(left_until(deadline)?))?;
        let written = connection.write(rest)?;
        rest = &rest[written..];
    }
    Ok(())
}

/// The request up to the end of its headers. None if that does not come within the largest request.
fn read_request(connection: &mut TcpStream, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut request = vec![0; MAX_REQUEST];
    let mut length = 0;
    while length < MAX_REQUEST {
        connection.set_read_timeout(Some(left_until(deadline)?))?;
        let more = connection.read(&mut request[length..])?;
        length += more;
        if more == 0 || is_whole(&request[..length]) {
            request.truncate(length);
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// Whether all headers are there, or what is there is no request.
fn is_whole(request: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let parsed = httparse::Request::new(&mut headers).parse(request);
    !matches!(parsed, Ok(httparse::Status::Partial))
}

fn left_until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// What a request is answered with. The connection ends behind it.
struct Reply {
    status: &'static str,
    content_type: &'static str,
    /// Its length, although it may not be sent.
    length: usize,
    body: String,
}

impl Reply {
    fn to(request: &[u8], registry: &Registry) -> Result<Self, fmt::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let whole = parsed.parse(request).is_ok_and(|status| status.is_complete());
        let path = parsed.path.map(|target| target.split('?').next().unwrap_or(target));
        match (parsed.method, path) {
            _ if !whole => Ok(Self::of("400 Bad Request")),
            (Some("GET"), Some("/metrics")) => Self::with_metrics(registry),
            (Some("HEAD"), Some("/metrics")) => {
                Ok(Self { body: String::new(), ..Self::with_metrics(registry)? })
            }
            (_, Some("/metrics")) => Ok(Self::of("405 Method Not Allowed")),
            _ => Ok(Self::of("404 Not Found")),
        }
    }

    fn with_metrics(registry: &Registry) -> Result<Self, fmt::Error> {
        let mut body = String::new();
        prometheus_text::encode(&mut body, registry)?;
        Ok(Self { status: "200 OK", content_type: CONTENT_TYPE, length: body.len(), body })
    }

    /// One that says no more than its status.
    fn of(status: &'static str) -> Self {
        let body = format!("{status}\n");
        Self { status, content_type: "text/plain", length: body.len(), body }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, content_type, length, body } = self;
        write!(
            f,
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Allow: GET, HEAD\r\nConnection: close\r\n\r\n{body}"
        )
    }
}
