//! Contenders as benches of criterion.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};

use super::traffic::{flood, or_give_up};
use super::{Contender, Layout};

/// Criterion, with runs short enough to be repeated while something is being changed.
pub fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

/// Measures how fast messages arrive, with deliveries and their bytes as the throughput.
pub fn bench_flood<C: Contender>(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    contender: &C,
    layout: &Layout,
) {
    let deliveries = layout.deliveries() as u64;
    let bytes = deliveries * layout.size as u64;
    group.throughput(Throughput::ElementsAndBytes { elements: deliveries, bytes });
    group.bench_function(BenchmarkId::new(name, layout.size), |bencher| {
        let mut stations = or_give_up(contender.connect(layout));
        bencher.iter_custom(|count| flood(&mut stations, layout, count));
        or_give_up(contender.disconnect(stations));
    });
}
