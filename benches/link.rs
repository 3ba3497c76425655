//! What the library costs without sockets and threads: envelopes of 64 B put in one server's
//! outbox, its output thread's turns, their frames as bytes, the other server's input thread's
//! turns, out of its inbox, and the acknowledgement back. An iteration is one frame; the throughput
//! is in envelopes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use raft_cluster::internals::{ENVELOPE_OVERHEAD, MAX_BATCH, Process, Sent, Thread, Turn};
use raft_cluster::{Config, Envelope, Pid, Server};

/// The size of a message, in bytes.
const SIZE: usize = 64;

/// As many of them as the output thread gathers in one frame.
const ENVELOPES: usize = MAX_BATCH / (SIZE + ENVELOPE_OVERHEAD);

/// How far the clock advances with each frame.
const STEP: Duration = Duration::from_micros(50);

/// Two servers, and the network between them.
struct Pair {
    near: Process,
    far: Process,
    now: Duration,
}

fn start(pid: u32) -> Process {
    let json = r#"{"object": {"total": 2, "Servers": [
        {"mypid": 1, "url": "ipc:///nowhere/1"}, {"mypid": 2, "url": "ipc:///nowhere/2"}]}}"#;
    let config: Config = json.parse().expect("it is a configuration");
    // No idle timeout: the first iterations are not in a hurry.
    let builder = Server::builder(&config, Pid::new(pid)).idle_timeout(None);
    Process::start(&builder, Duration::ZERO).expect("the defaults fit together")
}

/// Lets a thread run until it has nothing more to do.
fn run(process: &mut Process, thread: Thread, now: Duration) {
    while process.turn(thread, now) == Turn::Again {}
}

/// Sends what is to be sent, and carries it to the other side.
fn carry(from: &mut Process, to: &mut Process, now: Duration) -> usize {
    run(from, Thread::Output, now);
    let mut frames = 0;
    for (_, sent) in from.sent() {
        if let Sent::Frame(frame) = sent {
            to.arrive(frame);
            frames += 1;
        }
    }
    run(to, Thread::Input, now);
    frames
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { near: start(1), far: start(2), now: Duration::ZERO };
        // The first frames only make the servers known to each other.
        for _ in 0..4 {
            pair.exchange();
        }
        pair
    }

    /// Drives all four threads once. Returns how many frames went there.
    fn exchange(&mut self) -> usize {
        self.now += STEP;
        let frames = carry(&mut self.near, &mut self.far, self.now);
        carry(&mut self.far, &mut self.near, self.now);
        frames
    }

    fn send(&mut self, envelopes: &[Envelope]) {
        let outbox = self.near.outbox().expect("it is open");
        for envelope in envelopes {
            outbox.try_send(envelope.clone()).expect("there is room for a frame");
        }
        assert_eq!(self.exchange(), 1, "all of them travel in one frame");
        let inbox = self.far.inbox().expect("it is open");
        assert_eq!(inbox.try_iter().map(black_box).count(), envelopes.len());
    }

    /// Lets the last acknowledgement come.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.now += Duration::from_secs(1);
            self.exchange();
        }
        run(&mut self.near, Thread::Output, self.now);
        let stats = self.near.stats();
        let peer = stats.peer(Pid::new(2)).expect("it is a peer");
        assert_eq!(peer.accepted, peer.acknowledged);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("link");
    let envelopes = vec![Envelope::broadcast(vec![7; SIZE]); ENVELOPES];
    group.throughput(Throughput::Elements(ENVELOPES as u64));
    group.bench_function(SIZE.to_string(), |bencher| {
        let mut pair = Pair::new();
        bencher.iter(|| pair.send(&envelopes));
        pair.settle();
    });
    group.finish();
    criterion.final_summary();
}
