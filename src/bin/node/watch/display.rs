//! The thread that has the screen.

use std::convert::Infallible;
use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select, tick};
use raft_cluster::{Monitor, Pid};

use super::keys::{self, Key};
use super::model::Model;
use super::rows::{self, Details, Row};
use super::screen::Screen;
use super::snapshot::Snapshot;
use super::tester::Kick;
use super::verdict::Verdict;
use super::view::{self, Palette, Scene};
use crate::signals;

/// How often what goes on by itself is shown anew.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// How soon after a drawing the next one may come.
const FRAME: Duration = Duration::from_millis(100);

/// How many notes wait to be taken in.
const MAX_NOTES: usize = 1_024;

/// What somebody has to show.
#[derive(Debug)]
pub(crate) enum Note {
    /// What a server counts.
    Counted(Snapshot),
    /// Something has happened.
    Event(String),
    /// The process of a server has ended.
    Ended(Pid, Verdict),
    /// The program is leaving.
    Leaving,
}

/// What is watched.
pub(crate) struct Setup {
    /// Who it is, in a few words.
    pub(crate) title: String,
    /// The servers that will tell what they count.
    pub(crate) servers: Vec<Pid>,
    pub(crate) source: Source,
    pub(crate) kick: Kick,
}

/// Where the counts come from.
pub(crate) enum Source {
    /// From the one server of this process. The table has its peers.
    Server(Monitor),
    /// From others, as notes. The table has these servers.
    Notes,
}

/// The screen, for those who have something to show. Dropped, it gives the terminal back.
pub(crate) struct Display {
    notes: Sender<Note>,
    messages: Sender<String>,
    unshown: Arc<AtomicU64>,
    /// Dropped to end the thread.
    running: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Display {
    /// Takes the terminal.
    pub(crate) fn start(setup: Setup) -> io::Result<Self> {
        let (tell, notes) = bounded(MAX_NOTES);
        let (show, messages) = bounded(1);
        let (running, ended) = bounded(0);
        let unshown = Arc::new(AtomicU64::new(0));
        let (keys, resizes) = (keys::read()?, keys::resizes()?);
        let watch = Watch {
            screen: Screen::enter(tell.clone())?,
            started: Instant::now(),
            model: Model::of(&setup.servers),
            unshown: Arc::clone(&unshown),
            frozen: None,
            first: 0,
            details: Details::Hidden,
            palette: Palette::of_environment(),
            setup,
            due: None,
            drawn: None,
        };
        let run = move || watch.run(&Inputs { notes, messages, keys, resizes, ended });
        let thread = thread::Builder::new().name("display".into()).spawn(run)?;
        Ok(Self {
            notes: tell,
            messages: show,
            unshown,
            running: Some(running),
            thread: Some(thread),
        })
    }

    pub(crate) fn tell(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            self.unshown.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows this message, unless there is one already that has come just now.
    pub(crate) fn message(&self, text: impl FnOnce() -> String) {
        if self.messages.is_empty() {
            let _ = self.messages.try_send(text());
        }
    }

    /// Gives the terminal back. It fails if that could not be drawn on.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.running = None;
        let ended = self.thread.take().map(JoinHandle::join);
        ended.map_or(Ok(()), |ended| ended.unwrap_or_else(|panic| panic::resume_unwind(panic)))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.running = None;
        // Whoever did not ask how it ended does not want to know.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// All that the thread waits for, beside the time.
struct Inputs {
    notes: Receiver<Note>,
    messages: Receiver<String>,
    keys: Receiver<Key>,
    resizes: Receiver<()>,
    ended: Receiver<Infallible>,
}

struct Watch {
    screen: Screen,
    started: Instant,
    setup: Setup,
    model: Model,
    unshown: Arc<AtomicU64>,
    /// What was known when the display was paused, and when that was.
    frozen: Option<(Model, Duration)>,
    /// How many rows are above the first one that shows.
    first: usize,
    details: Details,
    palette: Palette,
    /// When to draw, if there is something new.
    due: Option<Instant>,
    drawn: Option<Instant>,
}

impl Watch {
    fn run(mut self, inputs: &Inputs) -> io::Result<()> {
        self.count();
        let ended = self.watch(inputs);
        if ended.is_err() {
            // Nobody can see anything any more, nor press a key.
            signals::leave();
        }
        ended
    }

    fn watch(&mut self, inputs: &Inputs) -> io::Result<()> {
        let ticks = tick(TICK);
        loop {
            let due = self.due.map_or_else(never, at);
            select! {
                recv(inputs.ended) -> _ => return Ok(()),
                recv(inputs.keys) -> key => key.into_iter().for_each(|key| self.press(key)),
                recv(inputs.resizes) -> _ => self.screen.resize()?,
                recv(inputs.notes) -> note => note.into_iter().for_each(|note| self.note(note)),
                recv(inputs.messages) -> text => self.model.message = text.ok(),
                recv(ticks) -> _ => self.count(),
                recv(due) -> _ => {
                    self.draw()?;
                    continue;
                }
            }
            // At once, or as soon as the last drawing has been seen.
            self.due = self.due.or_else(|| {
                let now = Instant::now();
                Some(self.drawn.map_or(now, |drawn| now.max(drawn + FRAME)))
            });
        }
    }

    /// Asks the server what it counts, if that is in this process.
    fn count(&mut self) {
        if let Source::Server(monitor) = &self.setup.source {
            let snapshot = Snapshot::of(monitor.pid(), &monitor.stats());
            self.model.counted(snapshot, self.started.elapsed());
        }
    }

    fn note(&mut self, note: Note) {
        let now = self.started.elapsed();
        match note {
            Note::Counted(snapshot) => self.model.counted(snapshot, now),
            Note::Ended(pid, verdict) => self.model.ended(pid, verdict),
            Note::Leaving => self.model.leaving = true,
            Note::Event(text) => {
                self.model.event(text, now);
                // The event may be that a peer stands otherwise than before.
                self.count();
            }
        }
    }

    fn press(&mut self, key: Key) {
        match key {
            Key::Pause => {
                let now = self.started.elapsed();
                self.frozen = match self.frozen.take() {
                    None => Some((self.model.clone(), now)),
                    Some(_) => None,
                };
            }
            Key::Test => {
                let outcome = self.setup.kick.kick();
                self.model.event(outcome, self.started.elapsed());
            }
            Key::Details => self.details.toggle(),
            Key::Scroll(rows) => self.first = self.first.saturating_add_signed(rows),
            Key::First => self.first = 0,
            Key::Last => self.first = usize::MAX,
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        self.model.unshown = self.unshown.load(Ordering::Relaxed);
        let (model, now) = match &self.frozen {
            Some((model, then)) => (model, *then),
            None => (&self.model, self.started.elapsed()),
        };
        let rows = self.rows(model, now);
        let scene = Scene {
            title: &self.setup.title,
            model,
            rows: &rows,
            first: self.first,
            is_paused: self.frozen.is_some(),
            is_leaving: self.model.leaving,
            help: self.setup.source.help(),
            palette: self.palette,
            now,
        };
        let mut first = self.first;
        self.screen.draw(|frame| first = view::draw(frame, &scene))?;
        (self.first, self.due, self.drawn) = (first, None, Some(Instant::now()));
        Ok(())
    }

    fn rows(&self, model: &Model, now: Duration) -> Vec<Row> {
        match self.setup.source {
            Source::Server(_) => {
                model.servers.iter().flat_map(|server| rows::of_peers(server, now)).collect()
            }
            Source::Notes => rows::of_servers(model, self.details, now),
        }
    }
}

impl Source {
    fn help(&self) -> &'static str {
        match self {
            Self::Server(_) => " q leave  p pause  t test message  arrows scroll",
            Self::Notes => {
                " q leave  d each pair  p pause  t test message  arrows scroll  \
                 | a row is what the others see of a server; sent and received is its own"
            }
        }
    }
}
