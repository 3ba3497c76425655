//! A stdout that takes nothing more.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::cluster::Cluster;
use crate::process::{Finished, Process};

#[test]
fn a_closed_stdout_ends_the_server_in_order() {
    let cluster = Cluster::of(&[1, 2]);
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let unheard = Process::spawn(cluster.command(&["--pid=1"]).stdout(OwnedFd::from(writer)));
    let other = cluster.node(&["--pid=2"]);
    let Finished { code, stderr, .. } = unheard.finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    let Finished { stdout, .. } = other.finish();
    assert!(stdout.iter().any(|line| line == "peer 1 to all: hello there"), "{stdout:#?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["--pid=1"][..], &["--all"], &["--pid=1", "--json"], &["--demo"]] {
        let cluster = Cluster::of(&[1]);
        let node = Process::spawn(cluster.command(arguments).stdout(full()));
        let Finished { code, stderr, .. } = node.finish();
        assert_eq!(code, Some(1), "{arguments:?}: {stderr:#?}");
        assert_eq!(stderr.len(), 1, "{arguments:?}: {stderr:#?}");
        assert!(stderr[0].starts_with("node: cannot write to stdout: "), "{stderr:#?}");
    }
}
