//! The terminal while the watch has it: raw, and on its other screen.
//!
//! There is one, whoever draws on it. So what gives it back is for all: the end of the watch, a
//! panic of any thread, and a second interrupt. Until then nothing else may be written there, and
//! complaints are kept.

use std::io::{self, Stdout, Write};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crossbeam_channel::Sender;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use rustix::termios::tcgetwinsize;

use super::display::Note;

/// How many complaints are kept. The first ones tell what began it.
const MAX_COMPLAINTS: usize = 1_000;

/// What a terminal is taken for that does not tell its size.
const USUAL: Rect = Rect { x: 0, y: 0, width: 80, height: 24 };

/// Present while the screen is on.
static ON: Mutex<Option<Kept>> = Mutex::new(None);

static HOOK: Once = Once::new();

struct Kept {
    notes: Sender<Note>,
    complaints: Vec<String>,
}

/// The screen. Dropped, it gives the terminal back.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal. What others want to show there becomes notes.
    pub(crate) fn enter(notes: Sender<Note>) -> io::Result<Self> {
        HOOK.call_once(restore_before_panics_are_told);
        enable_raw_mode()?;
        *on() = Some(Kept { notes, complaints: Vec::new() });
        execute!(io::stdout(), EnterAlternateScreen, Hide)
            .and_then(|()| Ok(Self { terminal: terminal()? }))
            .inspect_err(|_| restore())
    }

    /// Draws, unless the terminal has been given back meanwhile.
    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut Frame)) -> io::Result<()> {
        // Who restores waits for this lock, and draws after that see that it was done.
        let _stdout = io::stdout().lock();
        match is_on() {
            true => self.terminal.draw(view).map(drop),
            false => Ok(()),
        }
    }

    /// Goes by the size that the terminal has now.
    pub(crate) fn resize(&mut self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if is_on() {
            execute!(stdout, Clear(ClearType::All))?;
            self.terminal = terminal()?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// The size is asked of stdout itself: crossterm would ask the terminal that the process was started
/// from, which may be another one.
fn terminal() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    let area = match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Rect::new(0, 0, size.ws_col, size.ws_row),
        _ => USUAL,
    };
    let options = TerminalOptions { viewport: Viewport::Fixed(area) };
    Terminal::with_options(CrosstermBackend::new(io::stdout()), options)
}

fn on() -> MutexGuard<'static, Option<Kept>> {
    ON.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_on() -> bool {
    on().is_some()
}

/// Shows this on the screen, if that is on.
pub(crate) fn tell(note: Note) -> bool {
    // A display that has too many notes misses one.
    on().as_ref().map(|kept| kept.notes.try_send(note)).is_some()
}

/// Keeps a complaint for when the terminal has been given back, and shows it on the screen, if that
/// is on. It ends in a newline.
pub(crate) fn keep(complaint: &str) -> bool {
    let mut on = on();
    let Some(kept) = on.as_mut() else { return false };
    let _ = kept.notes.try_send(Note::Event(complaint.trim_end().to_owned()));
    if kept.complaints.len() < MAX_COMPLAINTS {
        kept.complaints.push(complaint.to_owned());
    }
    true
}

/// Gives the terminal back, and says on stderr what was kept. It does so once; there is nowhere to
/// say that it failed.
pub(crate) fn restore() {
    let Some(kept) = on().take() else { return };
    // This waits for nobody, so it is done even where the terminal takes nothing.
    let _ = disable_raw_mode();
    let _ = leave(&mut io::stdout().lock());
    for complaint in kept.complaints {
        let _ = io::stderr().write_all(complaint.as_bytes());
    }
}

fn leave(out: &mut impl Write) -> io::Result<()> {
    execute!(out, LeaveAlternateScreen, Show)
}

/// On the other screen nobody would ever read what a panic has to say.
fn restore_before_panics_are_told() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        restore();
        tell(panic);
    }));
}

#[cfg(test)]
mod tests;
