//! The processes, and what they tell.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use nix::sys::signal::{Signal, kill};

use crate::lists::{List, WAYS};
use crate::memory::Bound;
use crate::names::Names;
use crate::shared::process::Process;
use crate::support::addresses::free_addresses;
use crate::support::dns::Dns;
use crate::support::proxy::Proxy;
use crate::tally::{Order, Role, Tally, Voice};
use crate::{REFRESH, Result, SERVERS};

/// All servers, the proxy between them, and the DNS that knows some of them.
pub(crate) struct Crew<'a> {
    pub(crate) proxy: Proxy,
    pub(crate) names: Names<'a>,
    /// By what each server goes: it finds the others by way of the proxy.
    lists: Vec<List>,
    members: Vec<Option<Member>>,
    tallies: BTreeMap<u32, Tally>,
    /// How much memory each server took at the most, in KiB, beyond that of the bare process.
    grown: [u64; SERVERS],
    news: Receiver<News>,
    tell: Sender<News>,
    generations: u32,
    seed: u64,
}

/// A running process.
struct Member {
    process: Process,
    generation: u32,
}

struct News {
    generation: u32,
    server: usize,
    tally: Tally,
}

impl<'a> Crew<'a> {
    pub(crate) fn start(seed: u64, dns: Option<&'a Dns>) -> Result<Self> {
        let addresses = free_addresses(u32::try_from(SERVERS)?)?;
        let IpAddr::V4(host) = addresses[0].ip() else { return Err("no address of IPv4".into()) };
        let names = Names::new(dns, host);
        let urls: Vec<_> = addresses.iter().map(|address| format!("tcp://{address}")).collect();
        let others = |own: usize| (0..SERVERS).filter(move |other| *other != own);
        let back = |other: usize| std::iter::repeat_n(urls[other].clone(), WAYS);
        let backs: Vec<_> = (0..SERVERS).flat_map(others).flat_map(back).collect();
        let proxy = Proxy::start(seed, &backs)?;
        let mut fronts = proxy.fronts().iter();
        let mut lists = Vec::new();
        for own in 0..SERVERS {
            let mut seen: Vec<_> =
                urls.iter().map(|url| std::array::from_fn(|_| url.clone())).collect();
            for other in others(own) {
                for url in &mut seen[other] {
                    *url = names.list(other, fronts.next().ok_or("a front is missing")?)?;
                }
            }
            lists.push(List::new(seen, own));
        }
        let (tell, news) = unbounded();
        let mut crew = Self {
            proxy,
            names,
            lists,
            members: (0..SERVERS).map(|_| None).collect(),
            tallies: BTreeMap::new(),
            grown: [0; SERVERS],
            news,
            tell,
            generations: 0,
            seed,
        };
        (0..SERVERS).try_for_each(|server| crew.spawn(server))?;
        Ok(crew)
    }

    /// The route of the proxy from one server to another.
    pub(crate) fn route(&self, from: usize, to: usize) -> usize {
        let pair = from * (SERVERS - 1) + if to > from { to - 1 } else { to };
        pair * WAYS + self.lists[from].way(to)
    }

    /// Has a server take another one out of its list. Says whether it does.
    pub(crate) fn take_out(&mut self, server: usize, peer: usize) -> Result<bool> {
        if self.members[server].is_none() || !self.lists[server].take_out(peer) {
            return Ok(false);
        }
        self.reconfigure(server)?;
        Ok(true)
    }

    /// Has a server put another one back, unless it has started anew since that was taken out.
    pub(crate) fn put_back(&mut self, server: usize, peer: usize) -> Result<()> {
        if self.lists[server].put_back(peer) { self.reconfigure(server) } else { Ok(()) }
    }

    /// Has a server find another one by another front of the proxy.
    pub(crate) fn turn(&mut self, server: usize, peer: usize) -> Result<()> {
        self.lists[server].turn(peer);
        self.reconfigure(server)
    }

    fn reconfigure(&mut self, server: usize) -> Result<()> {
        let config = self.lists[server].text();
        let member = self.members[server].as_mut();
        let order = Order::Reconfigure { config };
        member.map_or(Ok(()), |member| member.process.order(&order))
    }

    /// Starts a server, unless it runs.
    pub(crate) fn spawn(&mut self, server: usize) -> Result<()> {
        if self.members[server].is_some() {
            return Ok(());
        }
        self.generations += 1;
        let generation = self.generations;
        self.lists[server].begin();
        let config = self.lists[server].text();
        let role = Role { config, server, generation, seed: self.seed };
        let tell = self.tell.clone();
        let process = Process::start(&role, move |tally| {
            let _ = tell.send(News { generation, server, tally });
        })?;
        self.members[server] = Some(Member { process, generation });
        Ok(())
    }

    pub(crate) fn signal(&self, server: usize, signal: Signal) -> Result<()> {
        if let Some(member) = &self.members[server] {
            kill(nix::unistd::Pid::from_raw(member.process.id().try_into()?), signal)?;
        }
        Ok(())
    }

    /// The end that no process can prepare for.
    pub(crate) fn kill(&mut self, server: usize) {
        self.members[server] = None;
    }

    /// Hears what the processes tell until then. One that has ended has failed.
    pub(crate) fn listen_until(&mut self, then: Instant) -> Result<()> {
        loop {
            match self.news.recv_deadline(then) {
                Ok(news) => self.note(news),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err("nobody tells anything".into()),
            }
        }
        for (server, member) in (1..).zip(self.members.iter_mut()) {
            let ended = member.as_mut().map(|member| member.process.ended()).transpose()?;
            if let Some(status) = ended.flatten() {
                return Err(format!("server {server} has ended by itself: {status}").into());
            }
        }
        Ok(())
    }

    fn note(&mut self, News { generation, server, tally }: News) {
        self.grown[server] = self.grown[server].max(tally.grown);
        self.tallies.insert(generation, tally);
    }

    /// Waits until all servers have heard each other, since they are in each other's lists.
    pub(crate) fn reunite(&mut self, deadline: Instant) -> Result<()> {
        while !self.is_united() && Instant::now() < deadline {
            self.listen_until(Instant::now() + REFRESH)?;
        }
        Ok(())
    }

    fn is_united(&self) -> bool {
        let generation = |server: usize| Some(self.members[server].as_ref()?.generation);
        let has_heard = |server: usize, peer: usize| {
            let tally = self.tallies.get(&generation(server)?)?;
            let removals = self.lists[peer].removals[server];
            let voice = Voice { generation: generation(peer)?, removals };
            Some(tally.heard[peer] == voice)
        };
        let others = |own: usize| (0..SERVERS).filter(move |other| *other != own);
        (0..SERVERS).all(|server| others(server).all(|peer| has_heard(server, peer) == Some(true)))
    }

    /// Lets all servers say a last word, and waits for them to end.
    pub(crate) fn finish(&mut self, deadline: Instant) -> Result<()> {
        for member in self.members.iter_mut().flatten() {
            member.process.order(&Order::Finish)?;
        }
        let mut running: Vec<_> = (0..SERVERS).collect();
        while !running.is_empty() && Instant::now() < deadline {
            if let Ok(news) = self.news.recv_timeout(REFRESH) {
                self.note(news);
            }
            running.retain(|server| {
                let member = self.members[*server].as_mut();
                matches!(member.map(|member| member.process.ended()), Some(Ok(None)))
            });
        }
        for (server, member) in self.members.iter_mut().enumerate() {
            if let Some(member) = member.as_mut().filter(|_| !running.contains(&server)) {
                member.process.hear_out()?;
            }
        }
        let rest: Vec<_> = self.news.try_iter().collect();
        rest.into_iter().for_each(|news| self.note(news));
        Ok(())
    }

    pub(crate) fn audit(&self) -> Audit {
        let mut total = Tally::default();
        self.tallies.values().for_each(|tally| total.add(tally));
        let mut unheard = Vec::new();
        let now: Vec<_> = self.members.iter().map(|m| m.as_ref().map(|m| m.generation)).collect();
        for (receiver, generation) in now.iter().enumerate() {
            let tally = generation.and_then(|generation| self.tallies.get(&generation));
            let heard = tally.map_or([None; SERVERS], |tally| tally.last_words);
            let others = (0..SERVERS).filter(|sender| *sender != receiver);
            unheard.extend(
                others
                    .filter(|s| heard[*s] != now[*s] || now[*s].is_none())
                    .map(|s| (s + 1, receiver + 1)),
            );
        }
        Audit { total, unheard, grown: self.grown, processes: self.generations }
    }
}

/// What came of it.
pub(crate) struct Audit {
    total: Tally,
    /// Whose last word was not heard by whom.
    unheard: Vec<(usize, usize)>,
    /// How much memory each server took at the most, in KiB.
    grown: [u64; SERVERS],
    processes: u32,
}

impl Audit {
    pub(crate) fn is_clean(&self) -> bool {
        let within_bounds = self.grown.iter().all(|kib| Bound::admits(*kib));
        self.total.is_clean() && self.unheard.is_empty() && within_bounds
    }

    /// In the middle of it.
    pub(crate) fn line(&self) -> String {
        self.total.to_string()
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} processes: {}", self.processes, self.total)?;
        if !self.unheard.is_empty() {
            writeln!(f, "last words unheard (from, by): {:?}", self.unheard)?;
        }
        let grown = self.grown.map(|kib| format!("{:.1}", kib as f64 / 1024.0));
        writeln!(f, "peak memory of each server: {} MiB; bound {Bound}", grown.join(", "))?;
        f.write_str(if self.is_clean() { "clean" } else { "NOT CLEAN" })
    }
}
