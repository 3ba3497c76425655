//! What becomes of the connections that the servers make to each other, as they are told of it.
//!
//! The kernel of a process that ends closes its connections, and refuses others until somebody
//! listens at the address again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::envelope::Pid;
use crate::sim::audit::ProcessId;
use crate::sim::network::Route;
use crate::sim::plan::RECONNECT_GRACE;

/// How soon a connection is tried, how soon again when it was refused, and how long an attempt
/// takes that gets no answer.
const AT_ONCE: Duration = Duration::from_millis(10);
const AGAIN: Duration = Duration::from_millis(200);
const UNANSWERED: Duration = Duration::from_secs(1);

/// Who connects, and to whom.
pub(super) type End = (ProcessId, Pid);

#[derive(Default)]
pub(super) struct Connections {
    /// When each is tried next; none while there is one.
    attempts: BTreeMap<End, Option<Duration>>,
    /// Those of which the attempt before gets no answer.
    unanswered: BTreeSet<End>,
    /// Since when nobody listened at an address, and until when.
    vacancies: BTreeMap<Pid, (Duration, Option<Duration>)>,
    /// Where a firewall refuses what a server that listens would take.
    pub(super) firewalls: BTreeSet<Route>,
}

/// What an attempt comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Made,
    Refused,
    Nothing,
}

impl Connections {
    /// A socket is there that connects, instead of another if there was one.
    pub(super) fn open(&mut self, end: End, now: Duration) {
        self.attempts.insert(end, Some(now + AT_ONCE));
        self.unanswered.remove(&end);
    }

    /// A connection breaks. Returns whether there was one.
    pub(super) fn close(&mut self, end: End, now: Duration) -> bool {
        let attempt = self.attempts.get_mut(&end).filter(|attempt| attempt.is_none());
        attempt.is_some_and(|attempt| attempt.replace(now + AT_ONCE).is_none())
    }

    /// Those that are to be tried by now.
    pub(super) fn due(&self, now: Duration) -> Vec<End> {
        let due = self.attempts.iter().filter(|(_, at)| at.is_some_and(|at| at <= now));
        due.map(|(end, _)| *end).collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.attempts.values().flatten().min().copied()
    }

    /// An attempt was answered now.
    pub(super) fn note_answer(&mut self, end: End, answer: Answer, now: Duration) {
        let next = match answer {
            Answer::Made => None,
            Answer::Refused => Some(now + AGAIN),
            Answer::Nothing => Some(now + UNANSWERED),
        };
        self.attempts.insert(end, next);
        if answer == Answer::Nothing {
            self.unanswered.insert(end);
        }
    }

    /// Whether an attempt has ended without an answer since this was asked last.
    pub(super) fn take_failure(&mut self, end: End) -> bool {
        self.unanswered.remove(&end)
    }

    /// The process that would connect does not run.
    pub(super) fn postpone(&mut self, end: End, until: Duration) {
        self.attempts.insert(end, Some(until));
    }

    /// All that run again try at once.
    pub(super) fn hasten(&mut self, now: Duration) {
        self.attempts.values_mut().flatten().for_each(|at| *at = now.min(*at));
    }

    pub(super) fn forget(&mut self, process: ProcessId) {
        self.attempts.retain(|(own, _), _| *own != process);
        self.unanswered.retain(|(own, _)| *own != process);
    }

    /// Nobody listens at this address any more. Who did so for less than it takes to try again may
    /// have been seen by nobody.
    pub(super) fn vacate(&mut self, pid: Pid, now: Duration) {
        let before = self.vacancies.get(&pid).copied();
        let unseen = before.filter(|(_, until)| until.is_some_and(|until| now - until <= AGAIN));
        self.vacancies.insert(pid, (unseen.map_or(now, |(since, _)| since), None));
    }

    /// Somebody listens at this address.
    pub(super) fn occupy(&mut self, pid: Pid, now: Duration) {
        if let Some((_, until @ None)) = self.vacancies.get_mut(&pid) {
            *until = Some(now);
        }
    }

    /// Whether nobody has listened at this address for the grace, now or when it was vacant last;
    /// or so it looks from behind a firewall.
    pub(super) fn is_deserted(&self, pid: Pid, now: Duration) -> bool {
        if self.firewalls.iter().any(|(_, to)| *to == pid) {
            return true;
        }
        let vacancy = self.vacancies.get(&pid);
        vacancy.is_some_and(|(since, until)| until.unwrap_or(now) - *since >= RECONNECT_GRACE)
    }
}
