//! What the tests themselves rely on: a wait that hangs ends, fails, and says what it waited for.
//! The hanging is done by this program again, told to run one ignored test alone.

mod support;

use std::env;
use std::process::{Command, Output};
use std::time::Duration;

use crossbeam_channel::{bounded, never};
use support::waits::{Watchdog, until_end, within};
use support::{BOUND, assert_ends};

const SOON: Duration = Duration::from_millis(50);

/// Whether this is the process that is to hang; run by hand, with all that is ignored, it is not.
const HANGS: &str = "RAFT_CLUSTER_TEST_HANGS";

fn run(test: &str) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored"]).env(HANGS, "1");
    within(BOUND, "the watchdog of another process", || command.output().unwrap())
}

#[test]
#[ignore = "it hangs: another test runs it as a process of its own"]
fn hangs_in_a_wait() {
    if env::var_os(HANGS).is_some() {
        within(SOON, "what never comes", || never::<()>().recv().unwrap());
    }
}

#[test]
#[ignore = "it hangs: another test runs it as a process of its own"]
fn hangs_while_it_fails() {
    struct Stuck;

    impl Drop for Stuck {
        fn drop(&mut self) {
            never::<()>().recv().unwrap();
        }
    }

    if env::var_os(HANGS).is_some() {
        let _watchdog = Watchdog::new(SOON, "a drop that never ends");
        let _stuck = Stuck;
        panic!("this panic is part of a test");
    }
}

#[test]
fn a_wait_that_hangs_ends_and_says_what_it_waited_for() {
    for (test, what) in [
        ("hangs_in_a_wait", "what never comes"),
        ("hangs_while_it_fails", "a drop that never ends"),
    ] {
        let output = run(test);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{told}");
        let expected = format!("{test} waited 50ms in vain for {what}");
        assert!(told.contains(&expected), "{expected:?} is not in: {told}");
    }
}

#[test]
fn a_wait_that_ends_in_time_is_left_alone() {
    let (sender, numbers) = bounded(3);
    (1..=3).for_each(|number| sender.send(number).unwrap());
    drop(sender);
    assert_eq!(within(BOUND, "nothing", || 7), 7);
    assert_eq!(until_end(&numbers).collect::<Vec<_>>(), [1, 2, 3]);
    assert_ends(&numbers);
}
