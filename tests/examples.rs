//! The examples for users, each run as its reader would run it: what it prints, that it ends by
//! itself, and that it says that all went well.
//!
//! Every wait for a line, or for the end of a process, is given up after [`process::PATIENCE`];
//! whatever a failed test leaves running is killed, with all that it has started.

#[path = "node/process.rs"]
#[allow(dead_code, reason = "the tests of `node` use more of it")]
mod process;
mod support;

use std::env;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use process::{Finished, Process};
use support::keys::can_use_keys;
use support::waits::Watchdog;
use support::{Cluster, Transport};

const EXAMPLES: [&str; 7] =
    ["hello", "chat", "request_reply", "worker_pool", "failover", "with_keys", "rolling"];

/// The folder of the examples.
///
/// `cargo test` has built them, but `cargo test --test examples` has not. So Cargo is asked for
/// them, in the way this program was built, which takes no time where they are there. Without Cargo
/// around, such as when this program is started by hand, they are used as they are.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = env::current_exe().unwrap();
    // This is `target/debug/deps/examples-…`, perhaps with a target triple before the profile.
    let profile = program.ancestors().nth(2).unwrap();
    if let Some(cargo) = env::var_os("CARGO") {
        let built = build(Command::new(cargo), profile).status().unwrap();
        assert!(built.success(), "Cargo cannot build the examples");
    }
    profile.join("examples")
});

fn build(mut cargo: Command, profile: &Path) -> Command {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    cargo.current_dir(manifest).args(["build", "--quiet", "--target-dir"]).arg(target);
    EXAMPLES.iter().for_each(|example| {
        cargo.args(["--example", example]);
    });
    let name = profile.file_name().unwrap().to_str().unwrap();
    cargo.args(["--profile", if name == "debug" { "test" } else { name }]);
    let above = profile.parent().unwrap();
    if above != target {
        cargo.arg("--target").arg(above.file_name().unwrap());
    }
    if !cfg!(feature = "cli") {
        cargo.arg("--no-default-features");
    }
    if cfg!(feature = "internals") {
        cargo.args(["--features", "internals"]);
    }
    // What Cargo was given as `--config` is not passed on to this program. Without it, libzmq
    // itself would be built once more, and linked instead.
    if raft_cluster::libzmq().curve {
        cargo.args(["--config", ".cargo/curve.toml"]);
    }
    cargo
}

fn example(name: &str) -> Command {
    let mut command = Command::new(FOLDER.join(name));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Runs an example that needs nothing to its end, and returns what it printed.
fn run(name: &str) -> Vec<String> {
    let finished = Process::spawn(&mut example(name)).finish();
    assert_eq!((finished.code, &finished.stderr[..]), (Some(0), &[][..]), "{finished:#?}");
    finished.stdout
}

#[test]
fn hello_shows_a_greeting_and_the_idle_timeout() {
    let mut lines = run("hello");
    let waited = lines.remove(2);
    let words: Vec<_> = waited.split(' ').collect();
    assert!(waited.ends_with("seconds for more: its inbox has ended"), "{waited}");
    assert!(words[3].parse::<u32>().unwrap() >= 2, "{waited}");
    assert_eq!(
        lines,
        [
            "server 2 hears from server 1: hello there",
            "server 1 hears from server 2: hello yourself",
            "server 2 gets back: are you still there? (the peer has closed its inbox)",
            "server 1 leaves 0 messages undelivered",
            "server 2 leaves 1 messages undelivered",
        ]
    );
}

/// Somebody who chats.
struct Chatter {
    keyboard: UnixStream,
    process: Process,
}

impl Chatter {
    fn start(pid: u32, config: &Path) -> Self {
        let (keyboard, stdin) = UnixStream::pair().unwrap();
        let mut command = example("chat");
        command.args(["--pid", &pid.to_string(), "--config"]).arg(config);
        let process = Process::spawn(command.stdin(OwnedFd::from(stdin)));
        process.stderr.until("listens on");
        Self { keyboard, process }
    }

    fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The end of its input.
    fn leaves(self) -> Process {
        self.process
    }
}

fn assert_left(process: Process) {
    let finished = process.finish();
    assert_eq!((finished.code, &finished.stdout[..]), (Some(0), &[][..]), "{finished:#?}");
    let unsent = finished.stderr.iter().find(|line| line.contains("have not reached"));
    assert_eq!(unsent, None, "{finished:#?}");
}

#[test]
fn chat_carries_each_line_to_all_and_ends_when_all_have_left() {
    let cluster = Cluster::new(3, Transport::Ipc);
    let config = cluster.folder.path().join("config.json");
    fs::write(&config, &cluster.text).unwrap();
    // The third comes late, and misses nothing.
    let mut one = Chatter::start(1, &config);
    one.types("good morning");
    let mut two = Chatter::start(2, &config);
    assert_eq!(two.process.stdout.until("1: "), ["1: good morning"]);
    two.types("what a day");
    let three = Chatter::start(3, &config);
    let mut heard = three.process.stdout.until("");
    heard.extend(three.process.stdout.until(""));
    heard.sort();
    assert_eq!(heard, ["1: good morning", "2: what a day"]);
    assert_eq!(one.process.stdout.until("2: "), ["2: what a day"]);

    // Who has left still hears the others.
    let three = three.leaves();
    one.process.stderr.until("peer 3 has left");
    one.types("it is quiet");
    assert_eq!(three.stdout.until("1: "), ["1: it is quiet"]);
    assert_eq!(two.process.stdout.until("1: "), ["1: it is quiet"]);
    [one.leaves(), two.leaves(), three].into_iter().for_each(assert_left);
}

#[test]
fn chat_says_what_is_wrong_with_its_arguments() {
    let chat = |arguments: &[&str]| Process::spawn(example("chat").args(arguments)).finish();
    let Finished { code, stderr, .. } = chat(&["--pid", "1", "--config", "/no/such/file"]);
    assert_ne!(code, Some(0));
    assert!(stderr.concat().contains("/no/such/file"), "{stderr:#?}");
    assert_eq!(chat(&[]).code, Some(2));
}

#[test]
fn request_reply_answers_every_question_and_gets_over_a_death() {
    assert_eq!(
        run("request_reply"),
        [
            "server 1 got 2000 right answers",
            "server 2 got 2000 right answers",
            "server 2 keeps a question",
            "server 1 asked one that was killed: the peer that was asked is gone",
            "server 1 asked nobody: there was no answer in time",
            "server 2 got 2000 right answers",
            "server 1 asked the successor: WHO IS THERE?",
        ]
    );
}

#[test]
fn worker_pool_has_every_job_done_once_and_sorts_the_results() {
    let lines = run("worker_pool");
    // How many primes there are below 10,000, and so on, is known.
    let results = [
        "job 10: 1229 primes",
        "job 20: 2262 primes",
        "job 30: 3245 primes",
        "job 40: 4203 primes",
    ];
    assert_eq!(lines[..4], results);
    let mut done: Vec<_> = lines[4..].iter().map(|line| line.split(' ').collect()).collect();
    done.sort();
    let [
        ["server", "2", "has", "done", two, "jobs"],
        ["server", "3", "has", "done", three, "jobs"],
    ] = [&done[0], &done[1]].map(|words: &Vec<&str>| <[&str; 6]>::try_from(&words[..]).unwrap())
    else {
        panic!("{lines:#?}");
    };
    let [two, three] = [two, three].map(|jobs| jobs.parse::<u32>().unwrap());
    assert_eq!((lines.len(), two + three), (6, 40));
    assert!(two > 0 && three > 0, "{lines:#?}");
}

#[test]
fn failover_has_the_next_server_lead_and_loses_no_command() {
    assert_eq!(
        run("failover"),
        [
            "3 servers are alive, and server 1 leads",
            "server 1 has done a",
            "server 1 has gone",
            "server 2 has done b",
            "2 servers are alive, and server 2 leads",
            "server 1 is back",
            "3 servers are alive, and server 1 leads",
            "server 1 has done c",
        ]
    );
}

#[test]
fn with_keys_refuses_an_intruder_or_says_what_it_needs() {
    let lines = run("with_keys");
    if !can_use_keys() {
        assert!(lines[0].contains("without CURVE"), "{lines:#?}");
        assert!(lines[2].contains("--config .cargo/curve.toml"), "{lines:#?}");
        return;
    }
    let [refused, rest @ ..] = &lines[..] else { panic!("it prints nothing") };
    assert!(refused.starts_with("refused at the start: the secret key does not"), "{refused}");
    assert_eq!(
        rest,
        ["rejected: a connection with a key that is not listed", "server 2 says: it is me"]
    );
}

#[test]
fn rolling_replaces_every_server_and_loses_nothing() {
    let _watchdog = Watchdog::of_this_test();
    let process = Process::spawn(example("rolling").arg("--quick"));
    // Each step has its own patience, and there are many.
    let story = process.stdout.rest();
    let finished = process.finish();
    assert_eq!((finished.code, &finished.stderr[..]), (Some(0), &[][..]), "{story:#?}");
    let keys = if raft_cluster::libzmq().curve { "with keys" } else { "without keys" };
    assert!(story[0].contains(keys), "{story:#?}");
    let last = story.last().unwrap();
    assert!(last.starts_with("0 lost, 0 repeated, 0 reordered"), "{story:#?}");
    assert!(last.ends_with(": clean"), "{story:#?}");
}
