//! What is the matter with a peer, in words, the worst of it first. The words are all that tells it
//! where there are no colours.

use std::time::Duration;

use super::format;
use super::model::Link;
use super::snapshot::State;

/// A peer that is up is heard every heartbeat, which is a second; this is more than two.
const SILENCE: Duration = Duration::from_millis(2_500);

/// An acknowledgement that takes longer waits for something: the peer's application, or the line.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// A round trip that is shorter troubles nobody, and this many times that of the others is slow.
const QUICK: Duration = Duration::from_millis(50);
const SLOWER: u32 = 4;

/// How much somebody should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// All is well.
    Good,
    /// Nothing is wrong, and nothing happens.
    Idle,
    Warning,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) grade: Grade,
    pub(crate) words: String,
}

impl Verdict {
    pub(crate) fn new(grade: Grade, words: impl Into<String>) -> Self {
        Self { grade, words: words.into() }
    }

    /// On a peer, beside the round trips of the others.
    pub(crate) fn on(link: &Link, others: &[Duration]) -> Self {
        of_state(link)
            .or_else(|| of_what_waits(link))
            .or_else(|| of_the_line(link, others))
            .unwrap_or_else(|| Self::new(Grade::Good, "ok"))
    }
}

fn of_state(link: &Link) -> Option<Verdict> {
    Some(match link.now.state {
        State::Up => return None,
        State::Left => Verdict::new(Grade::Idle, "has left"),
        State::Awaited => Verdict::new(Grade::Idle, "not heard yet"),
        State::OneWay => Verdict::new(Grade::Bad, "hears nothing"),
        State::Down if link.rates.dropped > 0.0 => Verdict::new(Grade::Bad, "down, returns"),
        State::Down => Verdict::new(Grade::Bad, "down"),
    })
}

/// What holds outboxes up, or is going to.
fn of_what_waits(link: &Link) -> Option<Verdict> {
    let (peer, rates) = (&link.now, &link.rates);
    let silent = peer.last_heard.filter(|heard| *heard >= SILENCE);
    let late = peer.oldest_unacknowledged.filter(|age| *age >= UNACKNOWLEDGED);
    let holds_up = rates.blocked >= 0.5;
    let is_full = peer.waiting() > 0 && peer.window_bytes * 10 >= peer.window_limit * 9;
    Some(if let Some(silent) = silent {
        Verdict::new(Grade::Bad, format!("silent {}", format::age(silent)))
    } else if holds_up && rates.acknowledged == 0.0 {
        Verdict::new(Grade::Bad, "stalled")
    } else if let Some(late) = late {
        Verdict::new(Grade::Bad, format!("no ack for {}", format::age(late)))
    } else if holds_up {
        Verdict::new(Grade::Warning, "holds us up")
    } else if is_full {
        Verdict::new(Grade::Warning, "window full")
    } else {
        return None;
    })
}

fn of_the_line(link: &Link, others: &[Duration]) -> Option<Verdict> {
    if link.rates.dropped > 0.0 {
        return Some(Verdict::new(Grade::Warning, "returns some"));
    }
    if link.rates.resent > 0.0 {
        return Some(Verdict::new(Grade::Warning, "resends"));
    }
    let (rtt, usual) = (link.now.rtt?, median(others)?);
    let is_slow = rtt > QUICK && rtt > usual * SLOWER;
    is_slow.then(|| Verdict::new(Grade::Warning, "slow line"))
}

/// None of fewer than two: of two, nobody can tell which is unusual.
fn median(durations: &[Duration]) -> Option<Duration> {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() >= 2)
}

#[cfg(test)]
mod tests {
    use raft_cluster::Pid;

    use super::*;
    use crate::watch::model::Model;
    use crate::watch::snapshot::{Peer, Snapshot};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A peer that is up, has been heard, and has a window with room.
    fn fine() -> Peer {
        Peer {
            pid: Pid::new(2),
            state: State::Up,
            last_heard: Some(Duration::ZERO),
            rtt: Some(Duration::from_millis(1)),
            window_limit: 1_000,
            ..Peer::default()
        }
    }

    /// What is said of a peer that changes like this within a second.
    fn verdict(before: Peer, after: Peer) -> Verdict {
        let mut model = Model::of(&[Pid::new(1)]);
        for (time, peer) in [(0, before), (1, after)] {
            model.counted(Snapshot { pid: Pid::new(1), peers: vec![peer] }, seconds(time));
        }
        let others = [Duration::from_millis(2); 3];
        Verdict::on(&model.servers[0].peers[0], &others)
    }

    #[test]
    fn each_trouble_has_its_words() {
        let full = Peer { window_bytes: 950, queued: 1, in_flight: 4, ..fine() };
        let blocked = Peer { blocked: Duration::from_millis(800), ..full.clone() };
        let table = [
            (fine(), Grade::Good, "ok"),
            (Peer { state: State::Awaited, ..fine() }, Grade::Idle, "not heard yet"),
            (Peer { state: State::Left, ..fine() }, Grade::Idle, "has left"),
            (Peer { state: State::Down, ..fine() }, Grade::Bad, "down"),
            (Peer { state: State::Down, dropped: 1, ..fine() }, Grade::Bad, "down, returns"),
            (Peer { state: State::OneWay, ..fine() }, Grade::Bad, "hears nothing"),
            (Peer { last_heard: Some(seconds(4)), ..fine() }, Grade::Bad, "silent 4 s"),
            (blocked.clone(), Grade::Bad, "stalled"),
            (Peer { acknowledged: 1, ..blocked }, Grade::Warning, "holds us up"),
            (
                Peer { oldest_unacknowledged: Some(seconds(70)), queued: 1, ..fine() },
                Grade::Bad,
                "no ack for 1:10",
            ),
            (full, Grade::Warning, "window full"),
            (Peer { dropped: 1, ..fine() }, Grade::Warning, "returns some"),
            (Peer { resent: 1, ..fine() }, Grade::Warning, "resends"),
            (Peer { rtt: Some(seconds(1)), ..fine() }, Grade::Warning, "slow line"),
            (Peer { rtt: None, ..fine() }, Grade::Good, "ok"),
        ];
        for (after, grade, words) in table {
            assert_eq!(verdict(fine(), after), Verdict::new(grade, words));
        }
    }

    #[test]
    fn a_round_trip_is_slow_only_beside_others() {
        let rtt = Some(seconds(1));
        let mut model = Model::of(&[Pid::new(1)]);
        let peers = vec![Peer { rtt, ..fine() }];
        model.counted(Snapshot { pid: Pid::new(1), peers }, seconds(0));
        let link = &model.servers[0].peers[0];
        for others in [&[][..], &[seconds(0)], &[seconds(1), seconds(1)]] {
            assert_eq!(Verdict::on(link, others).words, "ok", "{others:?}");
        }
        assert_eq!(Verdict::on(link, &[seconds(0); 2]).words, "slow line");
    }
}
