//! Two machines in one: two network namespaces, joined by a pair of interfaces whose traffic can be
//! lost, delayed or cut off.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Uid;
use raft_cluster::Config;

use super::config_text;
use super::waits::{BOUND, Watchdog, within};

/// Nobody has this address: what is sent to it is lost, as on a line that is cut.
const NOWHERE: &str = "02:00:00:00:00:99";

/// Two namespaces, one for each server. They are removed when it goes out of scope.
pub struct Machines {
    names: [String; 2],
    hardware: [String; 2],
    _watchdog: Watchdog,
}

/// What a lossy network does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impairment {
    /// It loses 5 % of all packets, and delays the others by 50 ms, 20 ms more or less.
    LossAndDelay,
    /// It loses 5 %. The kernel has no `netem`, which could delay packets.
    Loss,
}

impl Machines {
    /// The machines, or why there can be none here.
    pub fn new() -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !Uid::effective().is_root() {
            return Err("only root can make network namespaces".to_owned());
        }
        for tool in ["ip", "tc", "ss"] {
            run(tool, &["-V"])?;
        }
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("raft-{}-{made}{side}", std::process::id());
        let mut machines = Self {
            names: [name('a'), name('b')],
            hardware: [String::new(), String::new()],
            _watchdog: Watchdog::of_this_test(),
        };
        for name in &machines.names {
            run("ip", &["netns", "add", name])?;
        }
        let [a, b] = &machines.names;
        run("ip", &["-n", a, "link", "add", "veth", "type", "veth", "peer", "veth", "netns", b])?;
        for side in [0, 1] {
            machines.ip(side, &["addr", "add", &format!("{}/24", address(side)), "dev", "veth"])?;
            machines.ip(side, &["link", "set", "veth", "up"])?;
            machines.ip(side, &["link", "set", "lo", "up"])?;
            machines.hardware[side] = machines.hardware_address(side)?;
        }
        for from in [0, 1] {
            machines.join(from);
        }
        Ok(machines)
    }

    /// Servers 1 and 2, one on each machine.
    pub fn config(&self) -> Config {
        let url = |side| format!("{}:{}", address(side), 4_000 + side);
        config_text(&[url(0), url(1)]).parse().unwrap()
    }

    /// Does something on one machine: what sockets and threads come of it stay there.
    pub fn on<T: Send>(&self, side: usize, action: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/var/run/netns/{}", self.names[side])).unwrap();
        let inside = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            action()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// Lets nothing through that goes from this machine to the other.
    pub fn cut(&self, from: usize) {
        self.send_to(from, NOWHERE);
    }

    /// Lets everything through again.
    pub fn join(&self, from: usize) {
        self.send_to(from, &self.hardware[1 - from]);
    }

    fn send_to(&self, from: usize, hardware: &str) {
        let to = address(1 - from);
        let neighbour = ["neigh", "replace", &to, "lladdr", hardware, "dev", "veth"];
        self.ip(from, &[&neighbour[..], &["nud", "permanent"]].concat()).unwrap();
    }

    /// Has the line carry no more than so many bits a second, each way, as a modem does: what comes
    /// faster waits in its queue, and is lost where that is full.
    pub fn limit(&self, bits: u64) -> Result<(), String> {
        let tbf = format!("qdisc add dev veth root tbf rate {bits}bit burst 32kb latency 400ms");
        let tbf: Vec<_> = tbf.split(' ').collect();
        (0..2).try_for_each(|side| self.tc(side, &tbf).map(drop))
    }

    /// How many bytes this machine has sent to the other, with all that surrounds them.
    pub fn sent_bytes(&self, from: usize) -> u64 {
        let path = "/sys/class/net/veth/statistics/tx_bytes";
        let told = run("ip", &["netns", "exec", &self.names[from], "cat", path]).unwrap();
        told.trim().parse().unwrap()
    }

    /// Makes the network between the machines a bad one, as far as this kernel can.
    pub fn impair(&self) -> Result<Impairment, String> {
        let netem = ["qdisc", "add", "dev", "veth", "root", "netem", "loss", "5%", "delay"];
        let netem = [&netem[..], &["50ms", "20ms"]].concat();
        if (0..2).all(|side| self.tc(side, &netem).is_ok()) {
            return Ok(Impairment::LossAndDelay);
        }
        (0..2).try_for_each(|side| self.lose(side))?;
        Ok(Impairment::Loss)
    }

    /// Has a firewall on the line forget all connections that there are, and tells how many that
    /// were: what belongs to one is dropped without a word, and new ones are let through. It can be
    /// done once.
    pub fn forget_connections(&self) -> Result<usize, String> {
        (0..2).try_for_each(|side| self.add_way_to_nowhere(side))?;
        let ss = ["netns", "exec", &self.names[0], "ss", "-tnH", "state", "established"];
        let connections = ends_of_connections(&run("ip", &ss)?);
        for ends in &connections {
            for side in 0..2 {
                let (from, to) = (ends[side].port(), ends[1 - side].port());
                let filter = format!(
                    "filter add dev veth parent 1: protocol ip prio 1 u32 match ip protocol 6 0xff \
                     match ip sport {from} 0xffff match ip dport {to} 0xffff flowid 1:2"
                );
                self.tc(side, &filter.split(' ').collect::<Vec<_>>())?;
            }
        }
        Ok(connections.len())
    }

    /// This machine vanishes from the network: its line has no carrier, and it no address.
    pub fn vanish(&self, side: usize) {
        self.ip(side, &["link", "set", "veth", "down"]).unwrap();
        self.ip(side, &["addr", "flush", "dev", "veth"]).unwrap();
    }

    /// It is there again, with the same address, soon after the moment that is returned.
    pub fn come_back(&self, side: usize) -> Instant {
        self.ip(side, &["addr", "add", &format!("{}/24", address(side)), "dev", "veth"]).unwrap();
        let up = Instant::now();
        self.ip(side, &["link", "set", "veth", "up"]).unwrap();
        up
    }

    /// Sends one packet in 20 into a queue that holds none.
    fn lose(&self, side: usize) -> Result<(), String> {
        /// Loads a random number and returns the class of those below a 20th of all.
        const ONE_IN_20: &str = "4,32 0 0 4294963256,53 1 0 214748364,6 0 0 65538,6 0 0 0,";
        self.add_way_to_nowhere(side)?;
        let filter = "filter add dev veth parent 1: protocol all prio 1 bpf bytecode";
        let filter: Vec<_> = filter.split(' ').chain([ONE_IN_20]).collect();
        self.tc(side, &filter)?;
        Ok(())
    }

    /// Gives what this machine sends a second class, 1:2, whose queue holds nothing.
    fn add_way_to_nowhere(&self, side: usize) -> Result<(), String> {
        let commands = [
            "qdisc add dev veth root handle 1: htb default 1 r2q 100000",
            "class add dev veth parent 1: classid 1:1 htb rate 10gbit",
            "class add dev veth parent 1: classid 1:2 htb rate 10gbit",
            "qdisc add dev veth parent 1:2 pfifo limit 0",
        ];
        for command in commands {
            self.tc(side, &command.split(' ').collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Resets every connection of one machine, and tells how many there were.
    pub fn reset_connections(&self, side: usize) -> usize {
        let ss = ["netns", "exec", &self.names[side], "ss", "-K", "-tnH", "state", "established"];
        run("ip", &ss).unwrap().lines().count()
    }

    fn hardware_address(&self, side: usize) -> Result<String, String> {
        let link = self.ip(side, &["-o", "link", "show", "veth"])?;
        let mut words = link.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).map(str::to_owned).ok_or(link.clone())
    }

    fn ip(&self, side: usize, arguments: &[&str]) -> Result<String, String> {
        run("ip", &[&["-n", &self.names[side]], arguments].concat())
    }

    fn tc(&self, side: usize, arguments: &[&str]) -> Result<String, String> {
        run("tc", &[&["-n", &self.names[side]], arguments].concat())
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was never made cannot be removed.
            let _ = run("ip", &["netns", "del", name]);
        }
    }
}

/// Runs a test in a network that has a loopback interface and nothing else, or says why there can
/// be none here. What sockets, threads and processes come of it stay there.
pub fn in_own_network(test: impl FnOnce() -> Result<(), String> + Send) -> Result<(), String> {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::scope(|scope| {
        let inside = || enter_own_network().and_then(|()| test());
        let thread = thread::Builder::new().name(name).spawn_scoped(scope, inside).unwrap();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn enter_own_network() -> Result<(), String> {
    if !Uid::effective().is_root() {
        return Err("only root can make network namespaces".to_owned());
    }
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no namespace: {error}"))?;
    run("ip", &["link", "set", "lo", "up"]).map(drop)
}

/// Gives this thread's network an address beside those of loopback.
pub fn add_address(address: &str) -> Result<(), String> {
    run("ip", &["addr", "add", address, "dev", "lo"]).map(drop)
}

/// Has the kernel take the ports of this thread's network for connections from these, both
/// included.
pub fn limit_ephemeral_ports(first: u16, last: u16) -> Result<(), String> {
    let file = "/proc/sys/net/ipv4/ip_local_port_range";
    fs::write(file, format!("{first} {last}")).map_err(|error| format!("{file}: {error}"))
}

/// The ports of this thread's network that a socket holds which is connected to itself.
pub fn connected_to_themselves() -> Vec<u16> {
    let sockets = run("ss", &["-tnH", "state", "established"]).unwrap();
    let connections = ends_of_connections(&sockets).into_iter();
    connections.filter(|[from, to]| from == to).map(|[from, _]| from.port()).collect()
}

/// Both ends of each connection that `ss` tells of, the own one first.
fn ends_of_connections(told: &str) -> Vec<[SocketAddr; 2]> {
    let ends = |line: &str| {
        let ends: Vec<_> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        ends.try_into().unwrap_or_else(|_| panic!("two addresses are expected in {line:?}"))
    };
    told.lines().map(ends).collect()
}

fn address(side: usize) -> String {
    format!("10.77.0.{}", side + 1)
}

/// What a command says, or what is wrong with it.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let what = format!("{program} {}", arguments.join(" "));
    let told = within(BOUND, what.as_str(), || Command::new(program).args(arguments).output());
    let output = told.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{what} fails: {}", complaint.trim()))
}
