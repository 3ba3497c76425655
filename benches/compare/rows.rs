//! What is compared.

use raft_cluster::{Idle, libzmq};

use super::absent::OneAbsent;
use super::batched::Batched;
use super::channels::Channels;
use super::footprint;
use super::latency::{self, PING};
use super::leader::{self, OutboxEach};
use super::measure::{Chapter, Clock, Contestant, Figure, Row, Run, Unit, rounded};
use super::rates::{self, Pace, Sender};
use super::tcp::{Blocking, Channelled};
use crate::pattern;
use crate::support::library::{Library, WithIdle, WithKeys};
use crate::support::raw::{Pair, Raw};
use crate::support::traffic::flood;
use crate::support::{Contender, Layout, Result};

/// libzmq used the plain way.
pub const RAW: &str = "raw libzmq";

/// Channels and batches over libzmq, and nothing else: what the guarantees cost.
const BATCHED: &str = "batched, no guarantees";

/// Blocking sockets of TCP and nothing else, and the round trip that is held against them.
pub const TCP: &str = "blocking TCP";
pub const AT_REST: &str = "round trip of 64 B at rest, Idle::Spin";

/// What the API itself costs.
const CHANNELS: &str = "its channels alone, no network";

/// Up to which size that is worth a look, in bytes: channels carry large messages as fast as small
/// ones.
const SMALL: usize = 64;

/// How large the messages of broadcasts are, in bytes.
pub const SIZES: [usize; 5] = [8, 64, 1024, 64 * 1024, 1024 * 1024];
/// How many peers broadcasts go to.
pub const PEERS: [usize; 5] = [2, 4, 8, 16, 32];

/// How large they are where all is encrypted.
const CURVE_SIZES: [usize; 2] = [64, 64 * 1024];

/// One server sends to another.
const ONE_TO_ONE: Layout = Layout { servers: 2, senders: 1, size: 64 };

/// Five servers, and all of them broadcast at once.
const ALL_AT_ONCE: Layout = Layout { servers: 5, senders: 5, size: 64 };

const DELIVERIES: &[Figure] = &[Figure { name: "", unit: Unit::DeliveriesPerSecond }];
const SECONDS: &[Figure] = &[Figure { name: "", unit: Unit::Seconds }];
const BYTES: &[Figure] = &[Figure { name: "", unit: Unit::Bytes }];
const NUMBER: &[Figure] = &[Figure { name: "", unit: Unit::Number }];

/// At how many round trips a second one server asks another, or four.
pub const RATES: [u32; 5] = [1_000, 5_000, 20_000, 100_000, 200_000];
const RATES_TO_FOUR: [u32; 3] = [1_000, 5_000, 20_000];

/// How many entries a second a leader sends to each of its followers.
const ENTRIES: [u32; 2] = [pattern::RATE, 10_000];

/// How runs are measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How long a run lasts, roughly, with a fast contender.
    pub seconds: f64,
    pub clock: Clock,
}

/// All rows, chapter by chapter.
pub fn all(effort: Effort) -> Vec<Row> {
    let mut rows: Vec<Row> = SIZES.into_iter().map(|size| by_size(size, effort)).collect();
    rows.extend(PEERS.into_iter().map(|peers| by_peers(peers, effort)));
    rows.extend(traffic(effort));
    if libzmq().curve {
        rows.extend(CURVE_SIZES.into_iter().map(|size| with_keys(size, effort)));
    }
    rows.extend(round_trips(effort.seconds));
    for sender in [Sender::Sleeps, Sender::Spins] {
        rows.extend(RATES.map(|rate| at_rate(Pace { rate, sender, peers: 1 }, effort.seconds)));
    }
    let to_four = |rate| Pace { rate, sender: Sender::Sleeps, peers: 4 };
    rows.extend(RATES_TO_FOUR.map(|rate| at_rate(to_four(rate), effort.seconds)));
    rows.extend(ENTRIES.map(|rate| with_leader(rate, effort.seconds)));
    rows.push(at_rest(effort.seconds));
    rows.extend(footprints(effort.seconds));
    rows
}

fn by_size(size: usize, effort: Effort) -> Row {
    let layout = Layout::broadcast(4, size);
    let mut others = vec![
        against(RAW, rate(Raw::Dealers, layout, effort)),
        against(BATCHED, rate(Batched, layout, effort)),
    ];
    if size <= SMALL {
        others.push(against(CHANNELS, rate(Channels, layout, effort)));
    }
    Row {
        chapter: Chapter::Sizes,
        name: format!("broadcast to 4 peers, {}", bytes(size)),
        figures: DELIVERIES,
        at: size,
        library: rate(Library, layout, effort),
        others,
    }
}

fn by_peers(peers: usize, effort: Effort) -> Row {
    let layout = Layout::broadcast(peers, 64);
    Row {
        chapter: Chapter::Peers,
        name: format!("broadcast of 64 B to {peers} peers"),
        figures: DELIVERIES,
        at: peers,
        library: rate(Library, layout, effort),
        others: vec![against(RAW, rate(Raw::Dealers, layout, effort))],
    }
}

fn traffic(effort: Effort) -> [Row; 3] {
    let row = |name: &str, library, others| Row {
        chapter: Chapter::Traffic,
        name: name.into(),
        figures: DELIVERIES,
        at: 0,
        library,
        others,
    };
    let library = |layout| rate(Library, layout, effort);
    let one_to_one = vec![
        against("raw PUSH to PULL", rate(Raw::PushPull, ONE_TO_ONE, effort)),
        against("raw DEALER to DEALER", rate(Raw::Dealers, ONE_TO_ONE, effort)),
        against(BATCHED, rate(Batched, ONE_TO_ONE, effort)),
        against(CHANNELS, rate(Channels, ONE_TO_ONE, effort)),
    ];
    let all_at_once = vec![
        against(RAW, rate(Raw::Dealers, ALL_AT_ONCE, effort)),
        against(CHANNELS, rate(Channels, ALL_AT_ONCE, effort)),
    ];
    let three = Layout::broadcast(3, 64);
    let with_one_absent = rate(OneAbsent, three, effort);
    let without = vec![against("nobody else listed", library(three))];
    [
        row("one to one, 64 B", library(ONE_TO_ONE), one_to_one),
        row("all five broadcasting at once, 64 B", library(ALL_AT_ONCE), all_at_once),
        row("broadcast of 64 B to 3 peers, a fourth is not there", with_one_absent, without),
    ]
}

fn with_keys(size: usize, effort: Effort) -> Row {
    let layout = Layout::broadcast(4, size);
    let raw = rate(Raw::CurveDealers, layout, effort);
    Row {
        chapter: Chapter::Keys,
        name: format!("broadcast to 4 peers with keys, {}", bytes(size)),
        figures: DELIVERIES,
        at: size,
        library: rate(WithKeys, layout, effort),
        others: vec![against("raw libzmq with CURVE", raw)],
    }
}

fn round_trips(seconds: f64) -> [Row; 2] {
    let streamed = rounded(seconds / EACH_DELIVERY);
    let row = |name: &str, figures, library, others| Row {
        chapter: Chapter::Latency,
        name: name.into(),
        figures,
        at: 0,
        library,
        others,
    };
    let idle: Run = Box::new(move || latency::of(&Library, PING, seconds));
    let raw = Box::new(move || Ok(latency::between(Pair::connect(PING)?, PING, seconds)));
    let beside = run(move || latency::beside_a_stream(streamed));
    [
        row(
            "round trip of 8 B",
            latency::FIGURES,
            idle,
            vec![against("raw DEALER to DEALER", raw)],
        ),
        row("round trip of 8 B beside a 64 B stream, median", SECONDS, beside, Vec::new()),
    ]
}

/// A round trip while nothing else goes on: who spins is held against TCP, which is as quick as it
/// gets, and against what else there is to choose.
fn at_rest(seconds: f64) -> Row {
    const SIZE: usize = rates::SIZE;
    let with = |idle| Box::new(move || latency::of(&WithIdle(idle), SIZE, seconds));
    let tcp = move || Ok(latency::between(Blocking::connect(SIZE)?, SIZE, seconds));
    let channelled = move || Ok(latency::between(Channelled::connect(SIZE)?, SIZE, seconds));
    let raw = move || Ok(latency::between(Pair::connect(SIZE)?, SIZE, seconds));
    Row {
        chapter: Chapter::Rates,
        name: AT_REST.into(),
        figures: latency::FIGURES,
        at: 0,
        library: with(Idle::Spin),
        others: vec![
            against(TCP, Box::new(tcp)),
            against("blocking TCP + channels", Box::new(channelled)),
            against(RAW, Box::new(raw)),
            against("Idle::Adaptive", with(Idle::Adaptive)),
            against("Idle::Sleep", with(Idle::Sleep)),
        ],
    }
}

/// A second has few heartbeats: these rows last longer than others.
fn with_leader(rate: u32, seconds: f64) -> Row {
    let seconds = 5.0 * seconds;
    let raw = Box::new(move || leader::measure(&Raw::Dealers, rate, seconds));
    let with = |idle| Box::new(move || leader::measure(&OutboxEach(idle), rate, seconds));
    Row {
        chapter: Chapter::Rates,
        name: format!("leader, {rate} entries/s"),
        figures: leader::FIGURES,
        at: rate as usize,
        library: with(Idle::Adaptive),
        others: vec![
            against(RAW, raw),
            against("Idle::Sleep", with(Idle::Sleep)),
            against("Idle::Spin", with(Idle::Spin)),
        ],
    }
}

fn at_rate(pace: Pace, seconds: f64) -> Row {
    let raw = Box::new(move || rates::measure(&Raw::Dealers, pace, seconds));
    let with = |idle| Box::new(move || rates::measure(&WithIdle(idle), pace, seconds));
    Row {
        chapter: Chapter::Rates,
        name: pace.to_string(),
        figures: rates::FIGURES,
        at: pace.rate as usize,
        library: Box::new(move || rates::measure(&Library, pace, seconds)),
        others: vec![
            against(RAW, raw),
            against("Idle::Sleep", with(Idle::Sleep)),
            against("Idle::Spin", with(Idle::Spin)),
        ],
    }
}

fn footprints(seconds: f64) -> Vec<Row> {
    let row = |name: &str, figures, library| Row {
        chapter: Chapter::Footprint,
        name: name.into(),
        figures,
        at: 0,
        library,
        others: Vec::new(),
    };
    let allocations = |layout| {
        let count = messages_in(&layout, seconds);
        run(move || footprint::allocations(&layout, count))
    };
    let mut rows = vec![
        row("allocations for an envelope of 64 B", NUMBER, allocations(ONE_TO_ONE)),
        row(
            "allocations for a delivery of a 64 B broadcast",
            NUMBER,
            allocations(Layout::broadcast(4, 64)),
        ),
    ];
    if footprint::tells_resident() {
        rows.push(row("memory of five idle servers", BYTES, run(footprint::resident)));
    }
    rows
}

fn against(name: &'static str, run: Run) -> Contestant {
    Contestant { name, run }
}

fn run(measure: impl Fn() -> Result<f64> + 'static) -> Run {
    Box::new(move || Ok(vec![measure()?]))
}

/// Messages of this layout at full speed: deliveries per second. Connecting is not timed.
fn rate(contender: impl Contender + 'static, layout: Layout, effort: Effort) -> Run {
    let count = messages_in(&layout, effort.seconds);
    run(move || {
        let mut stations = contender.connect(&layout)?;
        let took = effort.clock.seconds(|| flood(&mut stations, &layout, count))?;
        contender.disconnect(stations)?;
        Ok((count * layout.deliveries() as u64) as f64 / took)
    })
}

/// What a small message costs a fast contender on two cores, in seconds, roughly.
const EACH_DELIVERY: f64 = 100e-9;

/// And each of its bytes.
const EACH_BYTE: f64 = 0.7e-9;

/// How many messages each sender sends, whoever it is, so that a run lasts about so long.
fn messages_in(layout: &Layout, seconds: f64) -> u64 {
    let delivery = EACH_DELIVERY + EACH_BYTE * layout.size as f64;
    rounded(seconds / delivery / layout.deliveries() as f64)
}

/// A size with its unit.
pub fn bytes(size: usize) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..0x10_0000 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}
