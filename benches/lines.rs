//! How much a slow line carries: the library beside raw libzmq, one way and both ways, between two
//! network namespaces whose line is limited. It takes root on Linux.
//!
//! ```text
//! cargo bench --bench lines
//! cargo bench --bench lines -- --rates 1,10 --sizes 64,1048576 --ways both --seconds 6
//! ```
//!
//! Goodput is what the application receives, from the first message put in to the last one taken
//! out. Each row sends as much as the line carries in the time given, and one message at least.

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("lines: only Linux has network namespaces");
}

#[cfg(target_os = "linux")]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::run()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::ExitCode;
    use std::str::FromStr;
    use std::sync::Barrier;
    use std::thread;
    use std::time::{Duration, Instant};

    use raft_cluster::{Bytes, Envelope, Event, Pid, Server};

    use super::support::netns::Machines;

    /// What is to be measured.
    struct Plan {
        /// In Mbit/s.
        rates: Vec<f64>,
        /// Of a message, in bytes.
        sizes: Vec<usize>,
        /// How many of the two servers send.
        ways: Vec<usize>,
        seconds: f64,
    }

    /// One row.
    #[derive(Clone, Copy)]
    struct Row {
        rate: f64,
        size: usize,
        ways: usize,
        messages: usize,
    }

    /// What became of a row with the library.
    struct Outcome {
        took: Duration,
        downs: usize,
        resent: u64,
        undelivered: usize,
    }

    pub(super) fn run() -> ExitCode {
        let plan = match Plan::parse() {
            Ok(plan) => plan,
            Err(error) => {
                eprintln!("lines: {error}");
                return ExitCode::from(2);
            }
        };
        println!(
            "line Mbit/s | message B | ways | raw Mbit/s | library Mbit/s | ratio | downs | resent | undelivered"
        );
        println!("---|---|---|---|---|---|---|---|---");
        for row in plan.rows() {
            match row.measure() {
                Ok(line) => println!("{line}"),
                Err(error) => {
                    eprintln!("lines: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        ExitCode::SUCCESS
    }

    impl Plan {
        fn parse() -> Result<Self, String> {
            let mut plan = Self {
                rates: vec![0.5, 1.0, 2.0, 10.0, 100.0],
                sizes: vec![64, 16 << 10, 1 << 20, 8 << 20],
                ways: vec![1, 2],
                seconds: 8.0,
            };
            let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
            while let Some(flag) = arguments.next() {
                let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
                match flag.as_str() {
                    "--rates" => plan.rates = list(&value)?,
                    "--sizes" => plan.sizes = list(&value)?,
                    "--ways" => {
                        plan.ways = match value.as_str() {
                            "one" => vec![1],
                            "both" => vec![2],
                            _ => return Err("--ways is one or both".into()),
                        }
                    }
                    "--seconds" => plan.seconds = value.parse().map_err(|_| value.clone())?,
                    _ => return Err(format!("unknown flag {flag}")),
                }
            }
            Ok(plan)
        }

        fn rows(&self) -> Vec<Row> {
            let mut rows = Vec::new();
            for &rate in &self.rates {
                for &size in &self.sizes {
                    for &ways in &self.ways {
                        let bytes = rate * 1e6 / 8.0 * self.seconds;
                        let messages = (bytes / size as f64).ceil() as usize;
                        rows.push(Row { rate, size, ways, messages });
                    }
                }
            }
            rows
        }
    }

    fn list<T: FromStr>(text: &str) -> Result<Vec<T>, String> {
        let parse = |part: &str| part.parse().map_err(|_| format!("{part} is no number"));
        text.split(',').map(parse).collect()
    }

    impl Row {
        fn measure(self) -> Result<String, String> {
            let raw = self.goodput(self.raw()?);
            let outcome = self.library()?;
            let library = self.goodput(outcome.took);
            let Self { rate, size, ways, .. } = self;
            let Outcome { downs, resent, undelivered, .. } = outcome;
            let ways = if ways == 1 { "one" } else { "both" };
            Ok(format!(
                "{rate} | {size} | {ways} | {raw:.3} | {library:.3} | {:.2} | {downs} | {resent} | {undelivered}",
                library / raw
            ))
        }

        /// Of one way, in Mbit/s.
        fn goodput(self, took: Duration) -> f64 {
            (self.messages * self.size * 8) as f64 / 1e6 / took.as_secs_f64()
        }

        fn machines(self) -> Result<Machines, String> {
            let machines = Machines::new()?;
            machines.limit((self.rate * 1e6) as u64)?;
            Ok(machines)
        }

        fn library(self) -> Result<Outcome, String> {
            let machines = self.machines()?;
            let config = machines.config();
            let start = |pid| {
                let server = Server::builder(&config, Pid::new(pid)).idle_timeout(None);
                server.linger(Duration::from_secs(600)).start().expect("a server")
            };
            let servers = vec![machines.on(0, || start(1)), machines.on(1, || start(2))];
            for (_, server) in &servers {
                let up = |event: &Event| matches!(event, Event::Up(_));
                while !server.events().recv().is_ok_and(|event| up(&event)) {}
            }
            let begin = Barrier::new(2);
            let outcomes = thread::scope(|scope| {
                let ends = servers.into_iter().enumerate().map(|(side, (mailbox, server))| {
                    let begin = &begin;
                    scope.spawn(move || self.play(side, mailbox, server, begin))
                });
                let ends: Vec<_> = ends.collect();
                ends.into_iter().map(|end| end.join().expect("no panic")).collect::<Vec<_>>()
            });
            let mut all = Outcome { took: Duration::ZERO, downs: 0, resent: 0, undelivered: 0 };
            for outcome in outcomes {
                all.took = all.took.max(outcome.took);
                all.downs += outcome.downs;
                all.resent += outcome.resent;
                all.undelivered += outcome.undelivered;
            }
            Ok(all)
        }

        /// One server sends, if it is its turn, and takes what the other sends.
        fn play(
            self,
            side: usize,
            mailbox: raft_cluster::Mailbox,
            server: Server,
            begin: &Barrier,
        ) -> Outcome {
            begin.wait();
            let started = Instant::now();
            let raft_cluster::Mailbox { outbox, inbox, .. } = mailbox;
            let took = thread::scope(|scope| {
                scope.spawn(move || {
                    let message = Bytes::from(vec![7; self.size]);
                    for _ in 0..self.sends(side) {
                        outbox.send(Envelope::broadcast(message.clone())).expect("an open outbox");
                    }
                });
                for _ in 0..self.sends(1 - side) {
                    inbox.recv().expect("an open inbox");
                }
                started.elapsed()
            });
            inbox.into_iter().for_each(drop);
            let downs = server.events().try_iter();
            let downs =
                downs.filter(|event| matches!(event, Event::Down(_) | Event::OneWay(_))).count();
            let report = server.join();
            let undelivered = report.peers.iter().map(|peer| peer.undelivered.len()).sum();
            let resent = report.stats.peers.iter().map(|peer| peer.resent).sum();
            Outcome { took, downs, resent, undelivered }
        }

        /// How many messages the server of this side sends.
        fn sends(self, side: usize) -> usize {
            if side < self.ways { self.messages } else { 0 }
        }

        /// The same with a DEALER for the peer and a ROUTER for what comes in, and no more.
        fn raw(self) -> Result<Duration, String> {
            let machines = self.machines()?;
            let begin = Barrier::new(2);
            let both_in = Barrier::new(2);
            let took = thread::scope(|scope| {
                let (machines, begin, both_in) = (&machines, &begin, &both_in);
                let ends = [0, 1].map(|side| {
                    scope.spawn(move || machines.on(side, || self.play_raw(side, begin, both_in)))
                });
                ends.map(|end| end.join().expect("no panic"))
            });
            took.into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| error.to_string())?
                .into_iter()
                .max()
                .ok_or_else(|| "nobody".into())
        }

        fn play_raw(
            self,
            side: usize,
            begin: &Barrier,
            both_in: &Barrier,
        ) -> zmq::Result<Duration> {
            let context = zmq::Context::new();
            let inlet = context.socket(zmq::ROUTER)?;
            let outlet = context.socket(zmq::DEALER)?;
            for socket in [&inlet, &outlet] {
                socket.set_linger(-1)?;
                socket.set_sndhwm(0)?;
                socket.set_rcvhwm(0)?;
            }
            inlet.bind(&format!("tcp://10.77.0.{}:5000", side + 1))?;
            begin.wait();
            outlet.connect(&format!("tcp://10.77.0.{}:5000", 2 - side))?;
            // Both are connected when each has heard the other.
            outlet.send("", 0)?;
            let mut message = zmq::Message::new();
            inlet.recv(&mut message, 0)?;
            inlet.recv(&mut message, 0)?;
            begin.wait();
            let started = Instant::now();
            let sender = thread::spawn(move || -> zmq::Result<()> {
                for _ in 0..self.sends(side) {
                    outlet.send(vec![7; self.size], 0)?;
                }
                Ok(())
            });
            for _ in 0..self.sends(1 - side) {
                inlet.recv(&mut message, 0)?;
                inlet.recv(&mut message, 0)?;
            }
            let took = started.elapsed();
            sender.join().expect("no panic")?;
            both_in.wait();
            Ok(took)
        }
    }
}
