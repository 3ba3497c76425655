//! The keys. A thread of its own reads them, and sits in its read until the program has ended.
//!
//! Bytes are read here and taken apart by the parser that terminals have. The events of crossterm
//! would be nearer, but it goes on reading without end, on a whole core, once the terminal is gone.

use std::io::{self, Read};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::SIGWINCH;
use signal_hook::iterator::Signals;
use vte::{Params, Parser, Perform};

use crate::signals;

/// How many keys wait for the display. Those that come faster than it draws mean nothing any more.
const MAX_KEYS: usize = 64;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// What a key asks the display for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Pause,
    Test,
    Details,
    /// So many rows down, or up.
    Scroll(isize),
    First,
    Last,
}

/// How far a page scrolls.
const PAGE: isize = 10;

/// Starts to read them. Those that end the program go to its signals, so that they work even where
/// the display is stuck; so does the end of the terminal.
pub(crate) fn read() -> io::Result<Receiver<Key>> {
    let (pressed, keys) = bounded(MAX_KEYS);
    thread::Builder::new().name("keys".into()).spawn(move || {
        let (mut parser, mut reader) = (Parser::new(), Reader { pressed });
        let (mut stdin, mut bytes) = (io::stdin().lock(), [0; 256]);
        while let Ok(count @ 1..) = stdin.read(&mut bytes) {
            parser.advance(&mut reader, &bytes[..count]);
        }
        signals::leave();
    })?;
    Ok(keys)
}

/// Starts to wait for other sizes of the terminal.
pub(crate) fn resizes() -> io::Result<Receiver<()>> {
    let (tell, resized) = bounded(1);
    let mut signals = Signals::new([SIGWINCH])?;
    thread::Builder::new().name("resizes".into()).spawn(move || {
        for _ in signals.forever() {
            // Where one waits already, that says the same.
            let _ = tell.try_send(());
        }
    })?;
    Ok(resized)
}

struct Reader {
    pressed: Sender<Key>,
}

impl Reader {
    fn press(&self, key: Key) {
        let _ = self.pressed.try_send(key);
    }
}

impl Perform for Reader {
    fn print(&mut self, letter: char) {
        match letter {
            'q' | 'Q' => signals::leave(),
            'p' | 'P' | ' ' => self.press(Key::Pause),
            't' | 'T' => self.press(Key::Test),
            'd' | 'D' => self.press(Key::Details),
            'j' => self.press(Key::Scroll(1)),
            'k' => self.press(Key::Scroll(-1)),
            _ => {}
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            // The terminal would have made a signal of it if it were not raw.
            CTRL_C => signals::interrupt(),
            CTRL_D => signals::leave(),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: char) {
        let number = params.iter().flatten().next();
        match (action, number) {
            ('A', _) => self.press(Key::Scroll(-1)),
            ('B', _) => self.press(Key::Scroll(1)),
            ('H', _) | ('~', Some(1)) => self.press(Key::First),
            ('F', _) | ('~', Some(4)) => self.press(Key::Last),
            ('~', Some(5)) => self.press(Key::Scroll(-PAGE)),
            ('~', Some(6)) => self.press(Key::Scroll(PAGE)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_arrows_are_keys_however_their_bytes_come() {
        let (pressed, keys) = bounded(MAX_KEYS);
        let (mut parser, mut reader) = (Parser::new(), Reader { pressed });
        for bytes in [&b"p x\x1b["[..], b"A\x1b[B", b"\x1b[6~\x1b[1;5H", b"\x1b", b"[Ft"] {
            parser.advance(&mut reader, bytes);
        }
        let expected = [
            Key::Pause,
            Key::Pause,
            Key::Scroll(-1),
            Key::Scroll(1),
            Key::Scroll(PAGE),
            Key::First,
            Key::Last,
            Key::Test,
        ];
        assert_eq!(keys.try_iter().collect::<Vec<_>>(), expected);
    }
}
