//! What the link costs: envelopes of 64 B from the sending half to the receiving half and their
//! acknowledgements back, with neither sockets nor channels between. Packing, sequence, window, encoding,
//! decoding and unpacking are in it. An iteration is one frame; the throughput is in envelopes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use raft_cluster::internals::{Admission, Frame, Link, Settings};
use raft_cluster::{Envelope, Pid};

/// As many envelopes of 64 B as the output thread packs into a frame.
const ENVELOPES: usize = 64 * 1024 / (64 + 12);

/// How far the clock advances with each frame.
const STEP: Duration = Duration::from_micros(50);

/// Two servers' ends of the links between them.
struct Pair {
    near: Link,
    far: Link,
    now: Duration,
}

fn link(own: u32, peer: u32) -> Link {
    let settings = Settings {
        own: Pid::new(own),
        peer: Pid::new(peer),
        incarnation: own.into(),
        window: 8 << 20,
        largest: 64 << 20,
        heartbeat: Duration::from_secs(1),
        peer_timeout: Duration::from_secs(5),
    };
    Link::new(settings, Duration::ZERO).expect("an incarnation that is not zero")
}

/// Moves all that one end has to send to the other, as bytes.
fn carry(from: &mut Link, to: &mut Link, now: Duration) {
    while let Some(frame) = from.poll_transmit(now) {
        let (header, body) = frame.encode();
        let frame = Frame::decode(&header, body).expect("what was encoded decodes");
        to.handle_frame(frame, now).expect("the peer is known");
    }
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { near: link(1, 2), far: link(2, 1), now: Duration::ZERO };
        // The first frames only make the ends known to each other.
        for _ in 0..4 {
            pair.exchange();
        }
        pair
    }

    /// Drives both ends once. Returns how many envelopes came out.
    fn exchange(&mut self) -> usize {
        self.now += STEP;
        carry(&mut self.near, &mut self.far, self.now);
        let mut entered = 0;
        while let Some(arrival) = self.far.enter(self.now) {
            entered += arrival.map(black_box).count();
        }
        self.far.handle_timeout(self.now);
        self.far.tell().expect("a true acknowledgement");
        carry(&mut self.far, &mut self.near, self.now);
        self.near.tell().expect("a true acknowledgement");
        entered
    }

    fn send(&mut self, envelopes: &[Envelope]) {
        assert_eq!(self.near.push_batch(envelopes, self.now), Admission::Accepted);
        assert_eq!(self.exchange(), envelopes.len());
    }

    /// Lets the last acknowledgement come.
    fn settle(&mut self) {
        self.now += Duration::from_secs(1);
        self.exchange();
        let stats = self.near.stats(self.now);
        assert_eq!(stats.accepted, stats.acknowledged);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("link");
    let envelopes = vec![Envelope::broadcast(vec![7; 64]); ENVELOPES];
    group.throughput(Throughput::Elements(ENVELOPES as u64));
    group.bench_function("64", |bencher| {
        let mut pair = Pair::new();
        bencher.iter(|| pair.send(&envelopes));
        pair.settle();
    });
    group.finish();
    criterion.final_summary();
}
