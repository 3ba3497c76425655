//! What all processes have counted, held against each other.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::crew::{Crew, Member};
use crate::pair::Pair;
use crate::speech::Tally;
use crate::stream::Received;

/// How long two servers that run and list each other may hear nothing of each other.
const APART: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Default)]
pub(crate) struct Verdict {
    rows: Vec<Row>,
    total: Counts,
    /// What must not be, in words.
    faults: Vec<String>,
    /// What was refused, by reason.
    refused: BTreeMap<String, u64>,
}

/// One process.
struct Row {
    pid: u32,
    id: u32,
    began: Duration,
    ended: Duration,
    counts: Counts,
}

/// What became of the messages that a process sent, and how others came to it.
#[derive(Clone, Copy, Default)]
struct Counts {
    sent: u64,
    returned: u64,
    lost: u64,
    received: u64,
    repeated: u64,
    reordered: u64,
    silence: Duration,
}

impl Verdict {
    pub(crate) fn of(crew: &Crew) -> Self {
        let tally =
            |(pid, member): (&u32, &Member)| (*pid, member.tally.clone().unwrap_or_default());
        let tallies: BTreeMap<_, _> = crew.members.iter().map(tally).collect();
        let mut verdict = Self::default();
        for (pid, member) in &crew.members {
            let mut counts = Counts::default();
            let own = &tallies[pid];
            verdict.compare(*pid, own, &tallies, &mut counts);
            for (peer, received) in &own.received {
                verdict.look_at(*pid, *peer, received, &mut counts);
            }
            verdict.note_silence(*pid, "the last peer", member.joined_in, &mut counts);
            verdict.note_events(*pid, own);
            verdict.total.add(&counts);
            let (id, began, ended) = (member.id, member.began, member.ended.unwrap_or_default());
            verdict.rows.push(Row { pid: *pid, id, began, ended, counts });
        }
        verdict
    }

    /// What a process has sent, as the others have heard it.
    fn compare(
        &mut self,
        pid: u32,
        own: &Tally,
        tallies: &BTreeMap<u32, Tally>,
        counts: &mut Counts,
    ) {
        let nothing = Received::default();
        for (peer, sent) in &own.sent {
            let received = tallies.get(peer).and_then(|tally| tally.received.get(&pid));
            let pair = Pair::compare(own.broadcasts, sent, received.unwrap_or(&nothing));
            counts.sent += pair.sent;
            counts.returned += pair.returned;
            counts.lost += pair.lost.len() as u64;
            if let [first, others @ ..] = &pair.lost[..] {
                let others = others.len();
                self.faults.push(format!("{pid} to {peer}: lost {first} and {others} others"));
            }
        }
    }

    /// What a process has heard from one peer.
    fn look_at(&mut self, pid: u32, peer: u32, received: &Received, counts: &mut Counts) {
        let Received { singles, broadcasts, damaged, silence, .. } = received;
        let repeated = singles.repeated + broadcasts.repeated;
        let reordered = singles.reordered + broadcasts.reordered;
        counts.received += singles.came + broadcasts.came;
        counts.repeated += repeated;
        counts.reordered += reordered;
        for (what, count) in
            [("repeated", repeated), ("reordered", reordered), ("damaged", *damaged)]
        {
            if count > 0 {
                self.faults.push(format!("{peer} to {pid}: {what} {count}"));
            }
        }
        self.note_silence(pid, &format!("server {peer}"), Some(*silence), counts);
    }

    fn note_silence(&mut self, pid: u32, of: &str, silence: Option<Duration>, counts: &mut Counts) {
        let silence = silence.unwrap_or_default();
        counts.silence = counts.silence.max(silence);
        if silence > APART {
            self.faults.push(format!("server {pid} and {of} were apart for {silence:.1?}"));
        }
    }

    fn note_events(&mut self, pid: u32, own: &Tally) {
        self.faults.extend(own.troubles.iter().map(|what| format!("at server {pid}: {what}")));
        if own.events_missed > 0 {
            self.faults.push(format!("server {pid} missed {} events", own.events_missed));
        }
        for (reason, count) in &own.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.returned += other.returned;
        self.lost += other.lost;
        self.received += other.received;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.silence = self.silence.max(other.silence);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nserver  process    from      to     sent  returned  lost  received  repeated  \
             reordered    apart"
        )?;
        for Row { pid, id, began, ended, counts } in &self.rows {
            let (began, ended) = (began.as_secs_f64(), ended.as_secs_f64());
            writeln!(f, "{pid:>6}  {id:>7}  {began:>4.1} s  {ended:>4.1} s  {counts}")?;
        }
        writeln!(f, "{:>6}  {:>7}  {:>6}  {:>6}  {}\n", "all", "", "", "", self.total)?;
        for (reason, count) in &self.refused {
            writeln!(f, "refused, {count} times: {reason}")?;
        }
        self.faults.iter().try_for_each(|fault| writeln!(f, "FAULT: {fault}"))?;
        let Counts { lost, repeated, reordered, silence, .. } = self.total;
        write!(f, "{lost} lost, {repeated} repeated, {reordered} reordered, ")?;
        write!(f, "nobody apart for more than {} ms: ", silence.as_millis())?;
        f.write_str(if self.is_clean() { "clean" } else { "NOT CLEAN" })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, returned, lost, received, repeated, reordered, silence } = self;
        write!(
            f,
            "{sent:>8}  {returned:>8}  {lost:>4}  {received:>8}  {repeated:>8}  {reordered:>9}  \
             {:>4} ms",
            silence.as_millis()
        )
    }
}
