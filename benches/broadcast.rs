//! Five servers, and one of them broadcasts to the others as fast as it goes: the library beside
//! raw libzmq. An iteration is one message, delivered four times.

mod support;

use support::Layout;
use support::criterion::{bench_flood, short};
use support::library::Library;
use support::raw::Raw;

const SIZES: [usize; 5] = [8, 64, 1024, 64 * 1024, 1024 * 1024];

fn main() {
    let mut criterion = short();
    let mut group = criterion.benchmark_group("broadcast");
    for layout in SIZES.map(|size| Layout::broadcast(4, size)) {
        bench_flood(&mut group, "raft-cluster", &Library, &layout);
        bench_flood(&mut group, "libzmq", &Raw::Dealers, &layout);
    }
    group.finish();
    criterion.final_summary();
}
