//! The example `failover` over the network for tests: cut, delayed and reset by the plan of a seed, it
//! carries out every command once, and agrees on who leads as soon as the network lets it.

#[path = "../examples/failover/replica.rs"]
mod replica;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use raft_cluster::crossbeam_channel::{Receiver, unbounded};
use raft_cluster::testing::Network;
use raft_cluster::{Bytes, Config, Pid, Server};
use replica::{Replica, Told};
use support::BOUND;
use support::waits::Watchdog;

const SERVERS: u16 = 3;
const COMMANDS: usize = 20;
const SEEDS: u64 = 12;

/// How long what happens to the network lasts, at most: longer than they wait for each other.
const STEP_MS: u64 = 150;

#[test]
fn whatever_the_network_does_each_command_is_carried_out_once() {
    let _watchdog = Watchdog::of_this_test();
    thread::scope(|scope| {
        (1..=SEEDS).for_each(|seed| drop(scope.spawn(move || Story::new(seed).play())));
    });
}

/// What the servers are told to do, and what they tell.
struct Story {
    seed: u64,
    random: Rng,
    network: Network,
    pids: Vec<Pid>,
    replicas: Vec<Replica>,
    told: Receiver<Told>,
    /// Who has carried out each command.
    done: BTreeMap<Bytes, Vec<Pid>>,
    /// Whom each server sees.
    seen: BTreeMap<Pid, BTreeSet<Pid>>,
    /// How often somebody gave another up.
    given_up: usize,
}

impl Story {
    fn new(seed: u64) -> Self {
        let (network, config) = (Network::new(seed), Config::local(SERVERS));
        let (tell, told) = unbounded();
        let start = |pid: &Pid| {
            // They give each other up soon.
            let builder = Server::builder(&config, *pid)
                .heartbeat(Duration::from_millis(20))
                .peer_timeout(Duration::from_millis(100))
                .network(&network);
            Replica::start(builder, *pid, tell.clone()).unwrap()
        };
        let replicas = config.pids().iter().map(start).collect();
        Self {
            seed,
            random: Rng::with_seed(seed),
            network,
            pids: config.pids().to_vec(),
            replicas,
            told,
            done: BTreeMap::new(),
            seen: BTreeMap::new(),
            given_up: 0,
        }
    }

    /// Gives commands to all servers while the network fails, heals it, and looks at what has come of
    /// them.
    fn play(mut self) {
        self.hear_until(Instant::now() + BOUND, Self::all_see_all);
        for command in 0..COMMANDS {
            self.fail();
            let given = Bytes::from(command.to_string());
            self.replicas[self.random.usize(..self.pids.len())].commands.send(given).unwrap();
            let lasts = Duration::from_millis(self.random.u64(..STEP_MS));
            self.hear_until(Instant::now() + lasts, |_| false);
        }
        self.network.heal();
        self.hear_until(Instant::now() + BOUND, |story| {
            story.done.len() == COMMANDS && story.all_see_all()
        });
        assert!(self.done.len() == COMMANDS && self.all_see_all(), "seed {}", self.seed);
        assert!(self.given_up > 0, "seed {}: the network did nothing", self.seed);
        std::mem::take(&mut self.replicas).into_iter().for_each(Replica::stop);
        self.hear_until(Instant::now(), |_| false);
        for (command, by) in &self.done {
            assert_eq!(by.len(), 1, "seed {}: {command:?} was carried out by {by:?}", self.seed);
        }
    }

    /// One thing happens to the way between two of them.
    fn fail(&mut self) {
        let Self { random, network, .. } = self;
        let mut pair = self.pids.clone();
        random.shuffle(&mut pair);
        let (a, b) = (pair[0], pair[1]);
        match random.u8(..6) {
            0 => network.cut(a, b),
            1 => network.cut_one_way(a, b),
            2 => network.reset(a, b),
            3 => network.delay(a, b, Duration::ZERO..Duration::from_millis(30)),
            4 => network.lose(a, b, 0.2),
            _ => network.heal(),
        }
    }

    /// Takes what the servers tell, until it is enough or the time is over.
    fn hear_until(&mut self, deadline: Instant, is_enough: impl Fn(&Self) -> bool) {
        while !is_enough(self) {
            match self.told.recv_deadline(deadline) {
                Ok(Told::Done { server, command }) => {
                    self.done.entry(command).or_default().push(server);
                }
                Ok(Told::Sees { server, living }) => {
                    let before = self.seen.insert(server, living);
                    let now = self.seen[&server].len();
                    self.given_up += usize::from(before.is_some_and(|before| before.len() > now));
                }
                Err(_) => return,
            }
        }
    }

    fn all_see_all(&self) -> bool {
        let sees_all = |pid| self.seen.get(pid).is_some_and(|seen| seen.len() == self.pids.len());
        self.pids.iter().all(sees_all)
    }
}
