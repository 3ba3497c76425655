//! A proxy between servers that breaks their connections on command: resets, closes, stalls,
//! swallows, delays and slow lines.
//!
//! One thread owns every connection, so that a reset is one `close` away and no two commands
//! overlap. What is random comes from the seed alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};
use mio::event::Event;
use mio::{Events, Poll, Token, Waker};

pub use super::pipe::Mode;
use super::pipe::{Address, Flow, Lane, Listener, Pipe, Stream};

const WAKER: Token = Token(0);

/// Listeners have the tokens from 1 on, connections those from here on: two each.
const CONNECTIONS: usize = 1 << 16;

/// A running proxy. Each of its routes leads from a front, where it listens, to a back.
pub struct Proxy {
    fronts: Vec<String>,
    commands: Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<io::Result<()>>>,
}

type Command = Box<dyn FnOnce(&mut Engine) + Send>;

/// Which way bytes go: from the one who connects, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Forth,
    Back,
}

/// Both ways.
pub const BOTH: [Way; 2] = [Way::Forth, Way::Back];

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// By a TCP reset: what is under way is lost, at both ends.
    Reset,
    /// In order, though in the middle of a message.
    Close,
}

/// Cuts to be made in the middle of the traffic: each connection carries so many bytes, then it is
/// cut.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub bytes: Range<u64>,
    pub total: usize,
    /// One in so many is a close, the others are resets.
    pub closes: usize,
}

impl Proxy {
    /// Opens a route to each of the backs: libzmq urls, with `tcp://` or `ipc://`.
    pub fn start(seed: u64, backs: &[String]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut routes = Vec::new();
        for (at, back) in backs.iter().enumerate() {
            let back: Address = back.parse()?;
            let mut listener = Listener::beside(&back)?;
            listener.register(poll.registry(), Token(1 + at))?;
            routes.push(Route { listener, back, lanes: Default::default(), hindered: None });
        }
        let fronts = routes.iter().map(|route| route.listener.url()).collect::<io::Result<_>>()?;
        let (commands, inbound) = unbounded();
        let random = fastrand::Rng::with_seed(seed);
        let engine =
            Engine { poll, routes, connections: BTreeMap::new(), next: 0, random, campaign: None };
        let name = thread::Builder::new().name("proxy".to_owned());
        let thread = Some(name.spawn(move || engine.run(&inbound))?);
        Ok(Self { fronts, commands, waker, thread })
    }

    /// Where the routes begin, as libzmq urls.
    pub fn fronts(&self) -> &[String] {
        &self.fronts
    }

    /// What a route does from now on.
    pub fn set(&self, route: usize, ways: &[Way], mode: &Mode) {
        let (ways, mode) = (ways.to_vec(), mode.clone());
        self.command(move |engine| {
            for way in ways {
                engine.routes[route].lanes[way as usize].mode = mode.clone();
            }
        });
    }

    /// The same with [`Mode::Stall`] or [`Mode::Swallow`]. The channel tells when that has struck:
    /// when the first bytes are held up, or lost.
    pub fn hinder(&self, route: usize, ways: &[Way], mode: &Mode) -> Receiver<()> {
        let (strikes, struck) = bounded(1);
        self.command(move |engine| engine.routes[route].hindered = Some(strikes));
        self.set(route, ways, mode);
        struck
    }

    /// Cuts every connection of a route, and tells how many there were.
    pub fn cut(&self, route: usize, cut: Cut) -> usize {
        self.command(move |engine| engine.cut(route, cut)).unwrap_or(0)
    }

    /// Begins to cut connections, on every route, until the total is reached: then the channel
    /// ends. It yields the number of cuts made so far.
    pub fn begin(&self, campaign: Campaign) -> Receiver<usize> {
        let (progress, made) = unbounded();
        self.command(move |engine| engine.begin(campaign, progress));
        made
    }

    /// Has the proxy's thread do something, and waits until it is done.
    fn command<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = bounded(1);
        let command: Command = Box::new(move |engine| {
            // Whoever asked is waiting for it.
            let _ = done.send(action(engine));
        });
        self.commands.send(command).ok()?;
        self.waker.wake().ok()?;
        result.recv().ok()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.commands = bounded(0).0;
        // A thread that cannot be woken has ended.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Route {
    listener: Listener,
    back: Address,
    lanes: [Lane; 2],
    /// Whom to tell of the next connection that is hindered.
    hindered: Option<Sender<()>>,
}

struct Connection {
    route: usize,
    client: Stream,
    server: Stream,
    forth: Pipe,
    back: Pipe,
}

struct Running {
    campaign: Campaign,
    made: usize,
    progress: Sender<usize>,
}

/// What the proxy's thread works on.
struct Engine {
    poll: Poll,
    routes: Vec<Route>,
    connections: BTreeMap<usize, Connection>,
    next: usize,
    random: fastrand::Rng,
    campaign: Option<Running>,
}

impl Engine {
    fn run(mut self, commands: &Receiver<Command>) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        let mut carried = Instant::now();
        loop {
            let due = self.due(carried);
            let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let touched: BTreeSet<_> = events.iter().map(Event::token).collect();
            if touched.contains(&WAKER) && self.obey(commands) == Orders::Over {
                return Ok(());
            }
            let now = Instant::now();
            if touched.contains(&WAKER) || due.is_some_and(|due| now >= due) {
                carried = now;
                self.carry_all();
            }
            touched.into_iter().try_for_each(|token| self.attend(token))?;
        }
    }

    fn obey(&mut self, commands: &Receiver<Command>) -> Orders {
        loop {
            match commands.try_recv() {
                Ok(command) => command(self),
                Err(TryRecvError::Empty) => return Orders::ToCome,
                Err(TryRecvError::Disconnected) => return Orders::Over,
            }
        }
    }

    fn attend(&mut self, token: Token) -> io::Result<()> {
        match (token.0.checked_sub(CONNECTIONS), token.0.checked_sub(1)) {
            (Some(offset), _) => self.carry(offset / 2),
            (None, Some(route)) => self.accept(route)?,
            (None, None) => {}
        }
        Ok(())
    }

    fn carry_all(&mut self) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.carry(id));
    }

    /// When something that was held is to be written: what was due before has been tried.
    fn due(&self, carried: Instant) -> Option<Instant> {
        let pipes = self.connections.values().flat_map(|c| [&c.forth, &c.back]);
        pipes.filter_map(Pipe::due).filter(|due| *due > carried).min()
    }

    /// Takes in whoever knocks. A back that cannot be reached closes the door again.
    fn accept(&mut self, route: usize) -> io::Result<()> {
        while let Ok(mut client) = self.routes[route].listener.accept() {
            let Ok(mut server) = Stream::connect(&self.routes[route].back) else { continue };
            let id = self.next;
            self.next += 1;
            let token = CONNECTIONS + 2 * id;
            client.register(self.poll.registry(), Token(token))?;
            server.register(self.poll.registry(), Token(token + 1))?;
            let forth = Pipe::new(self.draw());
            let connection = Connection { route, client, server, forth, back: Pipe::default() };
            self.connections.insert(id, connection);
            self.carry(id);
        }
        Ok(())
    }

    fn draw(&mut self) -> Option<u64> {
        let running = self.campaign.as_ref()?;
        Some(self.random.u64(running.campaign.bytes.clone()))
    }

    fn carry(&mut self, id: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let route = &mut self.routes[connection.route];
        let was_hindered = connection.is_hindered();
        let flow = connection.carry(&mut route.lanes, &mut self.random);
        if connection.is_hindered() && !was_hindered {
            // Whoever wanted to know may have stopped listening.
            let _ = route.hindered.take().map(|strikes| strikes.send(()));
        }
        match flow {
            Flow::Waiting => {}
            Flow::Ended => drop(self.connections.remove(&id)),
            Flow::Spent => self.cut_for_campaign(id),
        }
    }

    fn begin(&mut self, campaign: Campaign, progress: Sender<usize>) {
        self.campaign = Some(Running { campaign, made: 0, progress });
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            let budget = self.draw();
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.forth.budget = budget;
            }
        }
    }

    fn cut_for_campaign(&mut self, id: usize) {
        let Some(running) = &mut self.campaign else { return };
        running.made += 1;
        let close = self.random.usize(0..running.campaign.closes) == 0;
        // The one who wants to know may have stopped listening.
        let _ = running.progress.send(running.made);
        if running.made == running.campaign.total {
            self.campaign = None;
            self.connections.values_mut().for_each(|connection| connection.forth.budget = None);
        }
        if let Some(connection) = self.connections.remove(&id) {
            connection.end(if close { Cut::Close } else { Cut::Reset });
        }
    }

    fn cut(&mut self, route: usize, cut: Cut) -> usize {
        let on_route = |connection: &Connection| connection.route == route;
        let ids: Vec<_> =
            self.connections.iter().filter(|(_, c)| on_route(c)).map(|(id, _)| *id).collect();
        for id in &ids {
            if let Some(connection) = self.connections.remove(id) {
                connection.end(cut);
            }
        }
        ids.len()
    }
}

impl Connection {
    fn carry(&mut self, lanes: &mut [Lane; 2], random: &mut fastrand::Rng) -> Flow {
        let Self { client, server, forth, back, .. } = self;
        match forth.carry(client, server, &mut lanes[Way::Forth as usize], random) {
            Flow::Waiting => back.carry(server, client, &mut lanes[Way::Back as usize], random),
            over => over,
        }
    }

    fn is_hindered(&self) -> bool {
        self.forth.is_hindered() || self.back.is_hindered()
    }

    fn end(self, cut: Cut) {
        if cut == Cut::Reset {
            for stream in [&self.client, &self.server] {
                // One that is gone already needs no reset.
                let _ = stream.arm_reset();
            }
        }
    }
}

/// Whether the proxy is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orders {
    ToCome,
    Over,
}
