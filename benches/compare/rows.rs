//! What is compared.

use super::batched::Batched;
use super::measure::{Chapter, Contestant, Row, Run, Unit};
use crate::support::library::Library;
use crate::support::raw::Raw;
use crate::support::traffic::flood;
use crate::support::{Contender, Layout};

/// libzmq used the plain way.
pub const RAW: &str = "raw libzmq";

const SIZES: [usize; 5] = [8, 64, 1024, 64 * 1024, 1024 * 1024];
const PEERS: [usize; 5] = [2, 4, 8, 16, 32];

/// All rows, chapter by chapter. A run takes about so many seconds with the fastest contender.
pub fn all(seconds: f64) -> Vec<Row> {
    let sizes = SIZES.into_iter().map(|size| by_size(size, seconds));
    let peers = PEERS.into_iter().map(|peers| by_peers(peers, seconds));
    sizes.chain(peers).collect()
}

fn by_size(size: usize, seconds: f64) -> Row {
    let layout = Layout::broadcast(4, size);
    Row {
        chapter: Chapter::Sizes,
        name: format!("broadcast to 4 peers, {}", bytes(size)),
        unit: Unit::DeliveriesPerSecond,
        at: size as u32,
        library: rate(Library, layout, seconds),
        others: vec![
            Contestant { name: RAW, run: rate(Raw::Dealers, layout, seconds) },
            Contestant { name: "batched, no guarantees", run: rate(Batched, layout, seconds) },
        ],
    }
}

fn by_peers(peers: usize, seconds: f64) -> Row {
    let layout = Layout::broadcast(peers, 64);
    Row {
        chapter: Chapter::Peers,
        name: format!("broadcast to {peers} peers, 64 B"),
        unit: Unit::DeliveriesPerSecond,
        at: peers as u32,
        library: rate(Library, layout, seconds),
        others: vec![Contestant { name: RAW, run: rate(Raw::Dealers, layout, seconds) }],
    }
}

/// Messages of this layout at full speed: deliveries per second. Connecting is not timed.
fn rate(contender: impl Contender + 'static, layout: Layout, seconds: f64) -> Run {
    let count = messages_in(&layout, seconds);
    Box::new(move || {
        let mut stations = contender.connect(&layout)?;
        let took = flood(&mut stations, &layout, count);
        contender.disconnect(stations)?;
        Ok((count * layout.deliveries() as u64) as f64 / took.as_secs_f64())
    })
}

/// How many messages each sender sends so that a run takes about so long: the same for everybody, by a
/// rough model of what a message costs a fast contender on two cores.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is rounded, and small"
)]
fn messages_in(layout: &Layout, seconds: f64) -> u64 {
    const EACH: f64 = 100e-9;
    const EACH_BYTE: f64 = 0.7e-9;
    let delivery = EACH + EACH_BYTE * layout.size as f64;
    (seconds / delivery / layout.deliveries() as f64).ceil() as u64
}

fn bytes(size: usize) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..0x10_0000 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}
