//! One server sends to another as fast as it goes: the library beside raw libzmq with either kind
//! of sockets that suit. An iteration is one message.

mod support;

use support::Layout;
use support::criterion::{bench_flood, short};
use support::library::Library;
use support::raw::Raw;

const SIZES: [usize; 4] = [8, 64, 1024, 64 * 1024];

fn main() {
    let mut criterion = short();
    let mut group = criterion.benchmark_group("unicast");
    for layout in SIZES.map(|size| Layout { servers: 2, senders: 1, size }) {
        bench_flood(&mut group, "raft-cluster", &Library, &layout);
        bench_flood(&mut group, "libzmq DEALER to DEALER", &Raw::Dealers, &layout);
        bench_flood(&mut group, "libzmq PUSH to PULL", &Raw::PushPull, &layout);
    }
    group.finish();
    criterion.final_summary();
}
