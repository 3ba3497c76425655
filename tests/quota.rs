//! Under a quota of half a processor nothing stalls, whatever the threads do between two messages:
//! two servers as processes, which share the quota, send to each other at a rate that it can bear
//! and then as much as it allows. Nobody is taken for down, all arrives once and in order, without
//! a long interval, and both servers end when there is nothing more to say.
//!
//! The kernel stops who has used the quota up, with all its threads, until the next tenth of a
//! second. It takes root on Linux; elsewhere these tests say why they are skipped, unless the
//! environment has `RAFT_CLUSTER_EXPECT_ROOT`: then they fail.
#![cfg(target_os = "linux")]

mod support;

use std::io::{self, Write};
use std::process::{Child, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::tick;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use raft_cluster::{Bytes, Ending, Envelope, Event, Idle, Mailbox, Pid, Receiver, Sender, Server};
use serde::{Deserialize, Serialize};
use support::audit::{Audit, Verdict};
use support::process::{end_with_parent, own_role, program_with};
use support::quota::{PERIOD, Quota};
use support::skips::skip;
use support::waits::Watchdog;
use support::{BOUND, Cluster, Transport, await_event, join, until_end, within};

const EXPECT_ROOT: &str = "RAFT_CLUSTER_EXPECT_ROOT";

/// The processor time that there is in each period.
const QUOTA: Duration = Duration::from_millis(50);

/// No interval between two arrivals is longer. On its way a message is handed on by five threads:
/// who sends, the output thread, libzmq's at either end, and the input thread; each may find the
/// quota used up and wait for the next period, and so may who receives. The rest is for what else
/// the machine does.
const LONGEST_INTERVAL: Duration = PERIOD.saturating_mul(10);

/// After how long a server that has sent nothing gives a sign of life. What only this would mend
/// shows as an interval that is too long.
const HEARTBEAT: Duration = Duration::from_millis(1_500);

/// How often a server sends what half a processor can bear, and how many times.
const PACE: Duration = Duration::from_millis(5);
const PACED: usize = 100;

/// For how long it then sends as much as it can, and messages of which size, in bytes.
const SATURATED: Duration = Duration::from_millis(500);
const SIZE: usize = 256;

/// What the process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Role {
    /// Its configuration file.
    config: String,
    pid: u32,
    idle: Strategy,
}

/// What its threads do between two messages.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Strategy {
    Adaptive,
    Spin,
    Sleep,
}

/// What it tells in the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Account {
    sent: u64,
    received: u64,
    repeated: u64,
    reordered: u64,
    longest_interval: Duration,
    /// What it was told, but that the peer was up, and left.
    events: Vec<String>,
    /// What it could not deliver.
    undelivered: u64,
    peer_has_left: bool,
    /// What its threads have worked under the quota.
    worked: Duration,
}

#[test]
#[ignore = "run by the others, as a process of its own"]
fn a_server_of_its_own() {
    let Some(role) = own_role::<Role>() else { return };
    // It is told to begin once it is held to the quota.
    io::stdin().read_line(&mut String::new()).unwrap();
    end_with_parent();
    let account = serde_json::to_string(&role.play()).unwrap();
    // The test runner may have begun a line.
    println!("\n{account}");
    exit(0);
}

#[test]
fn nothing_stalls_where_threads_adapt() {
    hold_to_quota(Strategy::Adaptive);
}

#[test]
fn nothing_stalls_where_threads_spin() {
    hold_to_quota(Strategy::Spin);
}

#[test]
fn nothing_stalls_where_threads_sleep() {
    hold_to_quota(Strategy::Sleep);
}

/// Has two servers send to each other under the quota, and holds what they tell against each other.
fn hold_to_quota(idle: Strategy) {
    let quota = match Quota::new(QUOTA) {
        Ok(quota) => quota,
        Err(reason) => return skip(reason, EXPECT_ROOT),
    };
    let cluster = Cluster::new(2, Transport::Tcp);
    let start = |pid| start(&Role { config: cluster.text.clone(), pid, idle }, &quota);
    let processes = [1, 2].map(start);
    let began = Instant::now();
    let [one, two] = processes.map(let_go);
    let [one, two] = [one, two].map(take_account);
    one.assert_in_order(&two);
    two.assert_in_order(&one);
    // What was left over of one period may be used at its end, and the last one has just begun.
    let periods = began.elapsed().div_duration_f64(PERIOD) + 2.0;
    let worked = one.worked + two.worked;
    assert!(worked <= QUOTA.mul_f64(periods), "{worked:?} in {periods} periods is no quota");
}

/// Starts a server that is held to the quota, and waits to be let go.
fn start(role: &Role, quota: &Quota) -> Child {
    let process = program_with(role).stdout(Stdio::piped()).spawn().unwrap();
    quota.hold(process.id());
    process
}

fn let_go(mut process: Child) -> Child {
    writeln!(process.stdin.as_mut().unwrap()).unwrap();
    process
}

/// Waits for the end of a server, and returns what it has told.
fn take_account(mut process: Child) -> Account {
    // While this is there, so is the parent.
    let _stdin = process.stdin.take();
    let output = within(BOUND, "a server to end", || process.wait_with_output()).unwrap();
    assert!(output.status.success(), "{}", output.status);
    let told = String::from_utf8(output.stdout).unwrap();
    let account = told.lines().find(|line| line.starts_with('{')).expect("an account");
    serde_json::from_str(account).unwrap()
}

impl Account {
    /// That all went well, on the way from the peer, too.
    fn assert_in_order(&self, peer: &Self) {
        let Self { sent, received, repeated, reordered, .. } = *self;
        println!(
            "longest interval {:?}, {received} received, {:?}",
            self.longest_interval, self.worked
        );
        assert_eq!((received, repeated, reordered), (peer.sent, 0, 0), "{self:?}");
        assert!(sent > PACED as u64, "{self:?}");
        assert!(self.longest_interval <= LONGEST_INTERVAL, "{self:?}");
        assert_eq!((self.events.as_slice(), self.undelivered), (&[][..], 0), "{self:?}");
        assert!(self.peer_has_left, "{self:?}");
    }
}

impl Role {
    fn play(&self) -> Account {
        let _watchdog = Watchdog::of_this_test();
        let before = worked();
        let config = self.config.parse().unwrap();
        let builder = Server::builder(&config, Pid::new(self.pid)).idle_timeout(None);
        let builder = builder.heartbeat(HEARTBEAT).idle(self.idle.into());
        let (mailbox, server) = builder.start().unwrap();
        let peer = server.peers()[0];
        let events = server.events().clone();
        let mut told = await_event(&events, &Event::Up(peer));
        let Mailbox { outbox, inbox, .. } = mailbox;
        let (sent, (audit, longest_interval)) = thread::scope(|scope| {
            let talking = scope.spawn(move || talk(&outbox, peer));
            let heard = listen(&inbox);
            (talking.join().unwrap(), heard)
        });
        let report = join(server);
        told.extend(until_end(&events));
        told.retain(|event| !matches!(event, Event::Left(_)));
        let Verdict { received, repeated, reordered, .. } = audit.verdict(sent);
        Account {
            sent,
            received,
            repeated,
            reordered,
            longest_interval,
            events: told.iter().map(ToString::to_string).collect(),
            undelivered: report.undelivered(),
            peer_has_left: report.ended == Ending::PeersLeft,
            worked: worked() - before,
        }
    }
}

/// Sends at the pace first, and then as much as goes. Returns how many messages that were.
fn talk(outbox: &Sender<Envelope>, peer: Pid) -> u64 {
    let message = Bytes::from(vec![7; SIZE]);
    let send = |number: u64| {
        let envelope = Envelope::to(peer, message.clone()).with_id(number as i64);
        outbox.send_timeout(envelope, BOUND).unwrap();
    };
    (0..).zip(tick(PACE).iter().take(PACED)).for_each(|(number, _)| send(number));
    let began = Instant::now();
    let mut sent = PACED as u64;
    while began.elapsed() < SATURATED {
        send(sent);
        sent += 1;
    }
    sent
}

/// Notes what comes in until the peer has left, and the longest interval between two arrivals.
fn listen(inbox: &Receiver<Envelope>) -> (Audit, Duration) {
    let mut audit = Audit::default();
    let mut longest = Duration::ZERO;
    let mut last: Option<Instant> = None;
    for envelope in until_end(inbox) {
        let now = Instant::now();
        longest = longest.max(last.map_or(Duration::ZERO, |last| now - last));
        last = Some(now);
        audit.note(envelope.msg_id as usize);
    }
    (audit, longest)
}

/// What all threads of this process have worked.
fn worked() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let duration = |time: TimeVal| {
        Duration::from_secs(time.tv_sec() as u64) + Duration::from_micros(time.tv_usec() as u64)
    };
    duration(usage.user_time()) + duration(usage.system_time())
}

impl From<Strategy> for Idle {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Adaptive => Self::Adaptive,
            Strategy::Spin => Self::Spin,
            Strategy::Sleep => Self::Sleep,
        }
    }
}
