//! A message goes to another server and comes back, while nothing else is going on: the library
//! beside raw libzmq. An iteration is one round trip.

mod support;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId};
use support::criterion::short;
use support::library::Library;
use support::raw::Pair;
use support::traffic::{or_give_up, round_trips};
use support::{Contender, Receive, Transmit};

const SIZES: [usize; 2] = [8, 1024];

fn main() {
    let mut criterion = short();
    let mut group = criterion.benchmark_group("round trip");
    for size in SIZES {
        let [mut near, mut far] = or_give_up(Library.connect_two(size));
        bench(&mut group, "raft-cluster", size, &mut near, &mut far);
        or_give_up(Library.disconnect(vec![near, far]));
        let (mut near, mut far) = or_give_up(Pair::connect(size));
        bench(&mut group, "libzmq", size, &mut near, &mut far);
    }
    group.finish();
    criterion.final_summary();
}

fn bench(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    size: usize,
    near: &mut (impl Transmit + Receive),
    far: &mut (impl Transmit + Receive),
) {
    group.bench_function(BenchmarkId::new(name, size), |bencher| {
        bencher.iter_custom(|count| round_trips(near, far, size, count).iter().sum());
    });
}
