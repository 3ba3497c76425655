//! The processes, what they are told, and what they tell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::listing::Listing;
use crate::shared::process::Process;
use crate::speech::{News, Order, Role, Tally};
use crate::{Result, SERVERS};

/// How often the processes are looked after, at least.
const REFRESH: Duration = Duration::from_millis(20);

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// All processes, those that have ended too.
pub(crate) struct Crew {
    pub(crate) listing: Listing,
    pub(crate) members: BTreeMap<u32, Member>,
    news: Receiver<(u32, News)>,
    tell: Sender<(u32, News)>,
    rate: u32,
    seed: u64,
    started: Instant,
}

/// A process, and what is known of it.
pub(crate) struct Member {
    process: Process,
    pub(crate) id: u32,
    /// When it was started, and when it ended.
    pub(crate) began: Duration,
    pub(crate) ended: Option<Duration>,
    /// If it joined the others: how long after its start all had heard all.
    pub(crate) joined_in: Option<Duration>,
    /// What it has counted, once it has.
    pub(crate) tally: Option<Tally>,
    runs_since: Option<Duration>,
    heard: BTreeSet<u32>,
    left: BTreeSet<u32>,
    /// How often it was given a list, and went by it.
    lists_given: u32,
    lists_taken: u32,
    /// How long the last of them took.
    took: Duration,
    leaves: bool,
    drained: bool,
}

impl Crew {
    /// Nobody yet. All servers together send so many messages in a second.
    pub(crate) fn new(rate: u32, seed: u64) -> Result<Self> {
        let (tell, news) = unbounded();
        let (listing, members, rate) = (Listing::new()?, BTreeMap::new(), rate / SERVERS);
        Ok(Self { listing, members, news, tell, rate, seed, started: Instant::now() })
    }

    /// The time since all began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Starts the first servers, which are listed, and waits until all have heard all.
    pub(crate) fn start(&mut self, pids: RangeInclusive<u32>) -> Result<()> {
        pids.clone().try_for_each(|pid| self.spawn(pid, false))?;
        pids.into_iter().try_for_each(|pid| self.exchanged(pid))
    }

    /// Starts a server that the others list, and waits until all have heard all. Returns how long
    /// after its start that was.
    pub(crate) fn join(&mut self, pid: u32) -> Result<Duration> {
        self.spawn(pid, true)?;
        self.exchanged(pid)?;
        let now = self.now();
        let member = self.member(pid)?;
        let took = member.runs_since.map_or(now, |since| now - since);
        member.joined_in = Some(took);
        Ok(took)
    }

    fn spawn(&mut self, pid: u32, joins: bool) -> Result<()> {
        let (config, key) = (self.listing.config(), self.listing.secret(pid));
        let role = Role { pid, config, key, joins, rate: self.rate, seed: self.seed };
        let tell = self.tell.clone();
        let began = self.now();
        let process = Process::start(&role, move |news| {
            let _ = tell.send((pid, news));
        })?;
        self.members.insert(pid, Member::new(process, began));
        Ok(())
    }

    /// Those that run, in the order of their pids.
    pub(crate) fn running(&self) -> Vec<u32> {
        let running = self.members.iter().filter(|(_, member)| member.ended.is_none());
        running.map(|(pid, _)| *pid).collect()
    }

    /// Has these go by the list as it is now, and waits until they do. Returns how long that took
    /// the slowest.
    pub(crate) fn reconfigure(&mut self, pids: &[u32]) -> Result<Duration> {
        for pid in pids {
            let config = self.listing.config();
            self.give_list(*pid, &Order::Reconfigure { config, key: None })?;
        }
        self.lists_taken(pids)
    }

    /// Has a server change to the newest key that is listed for it.
    pub(crate) fn change_key(&mut self, pid: u32) -> Result<Duration> {
        let (config, key) = (self.listing.config(), self.listing.secret(pid));
        self.give_list(pid, &Order::Reconfigure { config, key })?;
        self.lists_taken(&[pid])
    }

    fn give_list(&mut self, pid: u32, order: &Order) -> Result<()> {
        let member = self.member(pid)?;
        member.lists_given += 1;
        member.process.order(order)
    }

    /// Waits until these go by what they were given. Returns how long that took the slowest.
    fn lists_taken(&mut self, pids: &[u32]) -> Result<Duration> {
        self.until("all go by the list that they were given", |crew| {
            crew.of(pids).all(|member| member.lists_taken == member.lists_given)
        })?;
        Ok(self.of(pids).map(|member| member.took).max().unwrap_or_default())
    }

    /// Waits until this server has heard all the others that run, and they have heard it.
    fn exchanged(&mut self, pid: u32) -> Result<()> {
        let others: Vec<_> = self.running().into_iter().filter(|other| *other != pid).collect();
        self.until("a server has exchanged messages with all", |crew| {
            let heard = |member: &Member| others.iter().all(|other| member.heard.contains(other));
            crew.of(&[pid]).all(heard) && crew.of(&others).all(|member| member.heard.contains(&pid))
        })
    }

    /// Has these send nothing more, and waits until all they have sent is acknowledged.
    pub(crate) fn leave(&mut self, pids: &[u32]) -> Result<()> {
        for pid in pids {
            let member = self.member(*pid)?;
            member.leaves = true;
            member.process.order(&Order::Leave)?;
        }
        self.until("all that was sent is acknowledged", |crew| {
            crew.of(pids).all(|member| member.drained)
        })
    }

    /// Waits until these have seen that a server has left.
    pub(crate) fn seen_leaving(&mut self, pid: u32, by: &[u32]) -> Result<()> {
        self.until("all have seen a server leave", |crew| {
            crew.of(by).all(|member| member.left.contains(&pid))
        })
    }

    /// Waits until these processes have ended.
    pub(crate) fn end(&mut self, pids: &[u32]) -> Result<()> {
        self.until("processes have ended", |crew| {
            crew.of(pids).all(|member| member.ended.is_some() && member.tally.is_some())
        })
    }

    /// Lets them go on for so long.
    pub(crate) fn go_on(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.listen(deadline)?;
        }
        Ok(())
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() >= deadline {
                return Err(format!("waited {PATIENCE:?} in vain until {what}").into());
            }
            self.listen(deadline)?;
        }
        Ok(())
    }

    /// Hears the next that is told, and looks after the processes.
    fn listen(&mut self, deadline: Instant) -> Result<()> {
        let next = self.news.recv_deadline(deadline.min(Instant::now() + REFRESH));
        for (pid, news) in next.into_iter().chain(self.news.try_iter()).collect::<Vec<_>>() {
            let now = self.now();
            self.member(pid)?.note(news, now);
        }
        let now = self.now();
        for (pid, member) in self.members.iter_mut().filter(|(_, member)| member.ended.is_none()) {
            match member.process.ended()? {
                None => {}
                Some(status) if status.success() && member.leaves => {
                    member.process.hear_out()?;
                    member.ended = Some(now);
                }
                Some(status) => {
                    return Err(format!("server {pid} has ended by itself: {status}").into());
                }
            }
        }
        Ok(())
    }

    fn member(&mut self, pid: u32) -> Result<&mut Member> {
        Ok(self.members.get_mut(&pid).ok_or("there is no such server")?)
    }

    fn of(&self, pids: &[u32]) -> impl Iterator<Item = &Member> {
        pids.iter().filter_map(|pid| self.members.get(pid))
    }
}

impl Member {
    fn new(process: Process, began: Duration) -> Self {
        Self {
            id: process.id(),
            process,
            began,
            ended: None,
            joined_in: None,
            runs_since: None,
            tally: None,
            heard: BTreeSet::new(),
            left: BTreeSet::new(),
            lists_given: 0,
            lists_taken: 0,
            took: Duration::ZERO,
            leaves: false,
            drained: false,
        }
    }

    fn note(&mut self, news: News, now: Duration) {
        match news {
            News::Runs => self.runs_since = Some(now),
            News::Heard(peer) => self.heard.extend([peer]),
            News::Left(peer) => self.left.extend([peer]),
            News::Reconfigured(took) => {
                self.lists_taken += 1;
                self.took = took;
            }
            News::Drained => self.drained = true,
            News::Ended(tally) => self.tally = Some(*tally),
        }
    }
}
