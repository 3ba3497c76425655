//! Ctrl-C and SIGTERM to one server.

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::process::Finished;

#[test]
fn an_interrupt_leaves_in_order_and_says_what_was_not_delivered() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let cluster = Cluster::of(&[1, 2]);
        let server = cluster.server(1, &["--linger=0.2"]);
        server.signal(signal);
        let Finished { code, stdout, stderr } = server.finish();
        assert_eq!(code, Some(1), "{stdout:#?} {stderr:#?}");
        assert_eq!(stderr, ["node: leaving; interrupt again to end at once"]);
        let last = stdout.last().unwrap();
        assert!(last.starts_with("server 1 has stopped: "), "{stdout:#?}");
        assert!(last.ends_with(" 0 received, 1 undelivered"), "{stdout:#?}");
    }
}

#[test]
fn what_arrives_while_leaving_is_still_shown() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let first = cluster.server(1, &["--linger=3600"]);
    first.signal(Signal::SIGINT);
    first.stderr.until("interrupt again");
    let _second = cluster.server(2, &[]);
    first.stdout.until("peer 2 to all: hello there");
    // Only now is everybody there to acknowledge what the first one waits for.
    let _third = cluster.server(3, &[]);
    let Finished { code, stdout, .. } = first.finish();
    assert_eq!(code, Some(0), "{stdout:#?}");
}

#[test]
fn a_second_interrupt_ends_at_once() {
    for second in [Signal::SIGINT, Signal::SIGTERM] {
        let cluster = Cluster::of(&[1, 2]);
        let server = cluster.server(1, &["--linger=3600"]);
        server.signal(Signal::SIGINT);
        server.stderr.until("interrupt again");
        server.signal(second);
        assert_eq!(server.finish().code, Some(130));
    }
}
