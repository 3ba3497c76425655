//! The audit: what one receiver got of the numbered messages of one sender.

use std::fmt;
use std::ops::AddAssign;

/// Takes note of every message, and tells which were lost, repeated or out of order.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    seen: Vec<bool>,
    distinct: u64,
    repeated: u64,
    reordered: u64,
}

/// What went wrong between one sender and one receiver, or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub received: u64,
    pub lost: u64,
    pub repeated: u64,
    /// Came after one that was sent later.
    pub reordered: u64,
}

impl Audit {
    /// The message with this number, from 0 on, has come in.
    pub fn note(&mut self, place: usize) {
        if self.seen.get(place).copied().unwrap_or(false) {
            self.repeated += 1;
            return;
        }
        if place < self.seen.len() {
            self.reordered += 1;
        } else {
            self.seen.resize(place + 1, false);
        }
        self.seen[place] = true;
        self.distinct += 1;
    }

    /// How many of those before the last that came in are missing.
    pub fn gaps(&self) -> u64 {
        self.seen.len() as u64 - self.distinct
    }

    /// The verdict, if so many were sent.
    pub fn verdict(&self, sent: u64) -> Verdict {
        let Self { distinct, repeated, reordered, .. } = *self;
        Verdict { received: distinct, lost: sent.saturating_sub(distinct), repeated, reordered }
    }
}

impl Verdict {
    /// Whether all came in once and in order.
    pub fn is_clean(&self) -> bool {
        self.lost + self.repeated + self.reordered == 0
    }
}

/// Shows a row of the README's tables of faults: `cargo test -- --nocapture`.
pub fn show_row(fault: &str, times: usize, found: impl fmt::Display, of: u64) {
    println!("| {fault} | {times} | {found} | {of} |");
}

impl Verdict {
    pub fn show(&self, fault: &str, times: usize) {
        show_row(fault, times, self, self.lost + self.received);
    }
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} / {}", self.lost, self.repeated, self.reordered)
    }
}
