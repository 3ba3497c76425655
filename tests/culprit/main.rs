//! Who is at fault is found from the metrics alone: a real Prometheus scrapes five servers, has the
//! rules of `docs/operations.md`, and names the one that something was done to.
//!
//! The rules are those of the page, only quicker. What they say comes as alerts, which the test takes
//! as an Alertmanager does. Each fault is a real one: a process that is stopped or killed, a line that
//! a proxy cuts, breaks or slows down, a DNS server that knows no names, a quota of the kernel's.
//!
//! It takes the program `prometheus` (`apt-get install prometheus`). Where that, a libzmq with CURVE or
//! the rights of root are missing, tests say that they are skipped, unless the environment has
//! `RAFT_CLUSTER_EXPECT_PROMTOOL`, `RAFT_CLUSTER_EXPECT_CURVE` or `RAFT_CLUSTER_EXPECT_ROOT`: then they
//! fail.
#![cfg(target_os = "linux")]

mod cluster;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::net::SocketAddr;

use nix::sys::signal::Signal;

use cluster::{Cluster, PIDS, list};
use server::Order;
use support::dns::in_network_with_dns;
use support::keys::can_use_keys;
use support::prometheus::can_run;
use support::proxy::{BOTH, Campaign, Mode, Proxy};
use support::quota::{PERIOD, Quota};
use support::skips::skip;
use watch::{Diagnosis, Watch};

const EXPECT_ROOT: &str = "RAFT_CLUSTER_EXPECT_ROOT";

#[test]
#[ignore = "run by the others, as a process of its own"]
fn a_server_of_its_own() {
    server::play();
}

/// Does something to a healthy cluster, and has the culprit named.
fn find(wanted: &Diagnosis, fault: impl FnOnce(&mut Cluster)) {
    find_in(Cluster::new, wanted, fault);
}

fn find_in(
    cluster: fn(&[SocketAddr]) -> Cluster,
    wanted: &Diagnosis,
    fault: impl FnOnce(&mut Cluster),
) {
    if !can_run() {
        return;
    }
    let watch = Watch::shared();
    let mut cluster = cluster(&watch.targets);
    cluster.start();
    watch.await_health();
    fault(&mut cluster);
    watch.assert_finds(wanted);
}

/// The same with the line from server 2 to server 3.
fn find_on_line(wanted: &Diagnosis, fault: impl FnOnce(&mut Cluster, &Proxy)) {
    if !can_run() {
        return;
    }
    let watch = Watch::shared();
    let mut cluster = Cluster::new(&watch.targets);
    let proxy = cluster.start_with_line(2, 3);
    watch.await_health();
    fault(&mut cluster, &proxy);
    watch.assert_finds(wanted);
}

#[test]
fn a_healthy_cluster_has_no_culprit() {
    if !can_run() {
        return;
    }
    let watch = Watch::shared();
    let mut cluster = Cluster::new(&watch.targets);
    cluster.start();
    watch.assert_healthy();
}

#[test]
fn a_slow_reader_is_found() {
    find(&Diagnosis::of("slow reader", 3), |cluster| {
        cluster.process(3).order(Order::StopReading);
    });
}

#[test]
fn a_stopped_process_is_found() {
    find(&Diagnosis::of("stopped", 3), |cluster| {
        cluster.process(3).signal(Signal::SIGSTOP);
    });
}

#[test]
fn a_process_that_has_ended_is_found() {
    find(&Diagnosis::of("not running", 3), |cluster| cluster.kill(3));
}

#[test]
fn a_port_that_is_taken_is_found() {
    find(&Diagnosis::of("port taken", 3), |cluster| {
        cluster.kill(3);
        cluster.take_port(3);
        cluster.start_one(3, |_| {});
        cluster.take(3).await_end();
    });
}

#[test]
fn a_wrong_cluster_is_found() {
    find(&Diagnosis::of("other cluster", 3), |cluster| {
        cluster.kill(3);
        cluster.start_one(3, |config| config["object"]["cluster"] = "theirs".into());
    });
}

#[test]
fn a_wrong_key_is_found() {
    if !can_use_keys() {
        return;
    }
    find_in(Cluster::with_keys, &Diagnosis::of("other key", 3), |cluster| {
        cluster.kill(3);
        cluster.replace_key(3);
        cluster.start_one(3, |_| {});
    });
}

#[test]
fn a_processor_quota_is_found() {
    // A hundredth of a processor.
    let quota = match Quota::new(PERIOD / 100) {
        Ok(quota) => quota,
        Err(reason) => return skip(reason, EXPECT_ROOT),
    };
    find(&Diagnosis::of("starved", 3), |cluster| quota.hold(cluster.process(3).id()));
}

#[test]
fn a_line_that_is_cut_one_way_is_found() {
    find_on_line(&Diagnosis::of_line("line cut", 3, 2), |_, proxy| {
        proxy.set(0, &BOTH, &Mode::Swallow);
    });
}

#[test]
fn a_lossy_line_is_found() {
    find_on_line(&Diagnosis::of_line("lossy line", 2, 3), |_, proxy| {
        drop(proxy.begin(Campaign { bytes: 5_000..20_000, total: usize::MAX, closes: 10 }));
    });
}

#[test]
fn a_full_window_is_found() {
    find_on_line(&Diagnosis::of_line("window full", 2, 3), |cluster, proxy| {
        proxy.set(0, &BOTH, &Mode::Limit(8_000_000));
        cluster.process(2).order(Order::Flood(3));
    });
}

#[test]
fn a_name_that_dns_does_not_know_is_found() {
    if !can_run() {
        return;
    }
    let found = in_network_with_dns(|_dns| {
        let watch = Watch::own();
        let mut cluster = Cluster::new(&watch.targets);
        let address = cluster.url(3).to_owned();
        let (_, port) = address.rsplit_once(':').unwrap();
        let named = format!("three.test:{port}");
        for pid in PIDS {
            cluster.start_one(pid, |config| {
                if pid != 3 {
                    list(config, 3, &named);
                }
            });
        }
        watch.assert_finds(&Diagnosis::of("name unknown", 3));
    });
    if let Err(reason) = found {
        skip(reason, EXPECT_ROOT);
    }
}
