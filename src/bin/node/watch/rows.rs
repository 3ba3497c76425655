//! What the table shows: a row for each peer of one server; or for each of all servers, by what the
//! others see of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::model::{Link, Model, Rates, Server};
use super::snapshot::{Peer, State};
use super::verdict::{Grade, Verdict};

/// A child tells what it counts every second. One that has not for so long is stopped, or has no
/// time.
const SILENCE: Duration = Duration::from_millis(3_500);

/// Whether there is a row, below that of a server, for each of its peers as it sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Details {
    Shown,
    Hidden,
}

impl Details {
    pub(crate) fn toggle(&mut self) {
        *self = match self {
            Self::Shown => Self::Hidden,
            Self::Hidden => Self::Shown,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    /// For how long.
    pub(crate) since: Option<Duration>,
    pub(crate) verdict: Verdict,
    pub(crate) rtt: Option<Duration>,
    pub(crate) rates: Rates,
    /// Bytes in use, and the limit.
    pub(crate) window: (u64, u64),
    pub(crate) waiting: u64,
    pub(crate) oldest: Option<Duration>,
    pub(crate) resent: u64,
    pub(crate) history: VecDeque<u64>,
}

impl Row {
    /// Whether somebody should look at it.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.verdict.grade >= Grade::Warning
    }

    fn of(link: &Link, name: String, verdict: Verdict, now: Duration) -> Self {
        Self {
            name,
            state: link.now.state.name(),
            since: Some(now.saturating_sub(link.since)),
            verdict,
            rtt: link.now.rtt,
            rates: link.rates,
            window: window(&link.now),
            waiting: link.now.waiting(),
            oldest: link.now.oldest_unacknowledged,
            resent: link.now.resent,
            history: link.history.clone(),
        }
    }
}

/// The peers of a server.
pub(crate) fn of_peers(server: &Server, now: Duration) -> Vec<Row> {
    let row = |link: &Link| Row::of(link, link.now.pid.to_string(), verdict(server, link), now);
    server.peers.iter().map(row).collect()
}

/// All servers.
pub(crate) fn of_servers(model: &Model, details: Details, now: Duration) -> Vec<Row> {
    let mut rows = Vec::new();
    for server in &model.servers {
        rows.push(of_server(model, server, now));
        if details == Details::Shown && server.ended.is_none() {
            rows.extend(server.peers.iter().map(|link| {
                let name = format!("{}>{}", server.pid, link.now.pid);
                Row::of(link, name, verdict(server, link), now)
            }));
        }
    }
    rows
}

fn verdict(server: &Server, link: &Link) -> Verdict {
    let others = server.peers.iter().filter(|other| other.now.pid != link.now.pid);
    let others: Vec<_> = others.filter_map(|other| other.now.rtt).collect();
    Verdict::on(link, &others)
}

/// A server as the others see it: its worst state, and all that waits for it. Its traffic is what
/// it tells itself.
fn of_server(model: &Model, server: &Server, now: Duration) -> Row {
    let seen: Vec<(&Link, Verdict)> = model
        .servers
        .iter()
        .filter(|other| other.ended.is_none())
        .filter_map(|other| other.peer(server.pid).map(|link| (link, verdict(other, link))))
        .collect();
    let links = || seen.iter().map(|(link, _)| *link);
    let state = links().map(|link| link.now.state).max().unwrap_or_default();
    let since = links().filter(|link| link.is(state)).map(|link| link.since).max();
    Row {
        name: server.pid.to_string(),
        state: state_of(server, state),
        since: since.map(|since| now.saturating_sub(since)),
        verdict: verdict_on(server, &seen, now),
        rtt: median(links().filter_map(|link| link.now.rtt).collect()),
        rates: traffic(server),
        window: links().map(|link| window(&link.now)).max_by(by_share).unwrap_or_default(),
        waiting: links().map(|link| link.now.waiting()).sum(),
        oldest: links().filter_map(|link| link.now.oldest_unacknowledged).max(),
        resent: links().map(|link| link.now.resent).sum(),
        history: sum_of_histories(server),
    }
}

fn state_of(server: &Server, seen: State) -> &'static str {
    match server.ended {
        Some(_) => "ended",
        None => seen.name(),
    }
}

/// What its process has come to; or else the worst that the others say, and how many of them.
fn verdict_on(server: &Server, seen: &[(&Link, Verdict)], now: Duration) -> Verdict {
    if let Some(ended) = &server.ended {
        return ended.clone();
    }
    let silent = now.saturating_sub(server.told);
    if silent >= SILENCE {
        return Verdict::new(Grade::Bad, format!("no report {}", super::format::age(silent)));
    }
    let verdicts = || seen.iter().map(|(_, verdict)| verdict);
    let Some(worst) = verdicts().max_by_key(|verdict| verdict.grade) else {
        return Verdict::new(Grade::Idle, "nobody hears it");
    };
    if worst.grade < Grade::Warning || seen.len() < 2 {
        return worst.clone();
    }
    let as_bad = verdicts().filter(|verdict| verdict.grade == worst.grade).count();
    Verdict::new(worst.grade, format!("{} {as_bad}/{}", worst.words, seen.len()))
}

fn traffic(server: &Server) -> Rates {
    let sum = |rate: fn(&Rates) -> f64| server.peers.iter().map(|link| rate(&link.rates)).sum();
    Rates {
        sent: sum(|rates| rates.sent),
        received: sum(|rates| rates.received),
        bytes_sent: sum(|rates| rates.bytes_sent),
        bytes_received: sum(|rates| rates.bytes_received),
        ..Rates::default()
    }
}

/// They end at the same time, and need not have begun at one.
fn sum_of_histories(server: &Server) -> VecDeque<u64> {
    let longest = server.peers.iter().map(|link| link.history.len()).max().unwrap_or(0);
    let mut sums = VecDeque::from(vec![0; longest]);
    for link in &server.peers {
        for (sum, number) in sums.iter_mut().rev().zip(link.history.iter().rev()) {
            *sum += number;
        }
    }
    sums
}

fn window(peer: &Peer) -> (u64, u64) {
    (peer.window_bytes, peer.window_limit)
}

fn by_share(one: &(u64, u64), other: &(u64, u64)) -> std::cmp::Ordering {
    let share = |(part, whole): &(u64, u64)| *part as f64 / (*whole).max(1) as f64;
    share(one).total_cmp(&share(other))
}

fn median(mut durations: Vec<Duration>) -> Option<Duration> {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}

#[cfg(test)]
pub(crate) mod tests {
    use raft_cluster::Pid;

    use super::*;
    use crate::watch::snapshot::Snapshot;

    /// Three servers that have told twice, and of which the third takes nothing.
    pub(crate) fn third_is_stalled() -> Model {
        let pids = [1, 2, 3].map(Pid::new);
        let mut model = Model::of(&pids);
        for second in [0, 1] {
            for server in pids {
                let others = pids.into_iter().filter(|&pid| pid != server);
                let peers = others.map(|pid| peer(pid, second)).collect();
                model.counted(Snapshot { pid: server, peers }, Duration::from_secs(second));
            }
        }
        model
    }

    fn peer(pid: Pid, second: u64) -> Peer {
        let fine = Peer {
            pid,
            state: State::Up,
            rtt: Some(Duration::from_millis(1)),
            sent: 100 * second,
            acknowledged: 100 * second,
            received: 20 * second,
            window_limit: 1_000,
            ..Peer::default()
        };
        match pid == Pid::new(3) {
            false => fine,
            true => Peer {
                sent: 0,
                acknowledged: 0,
                queued: 70,
                in_flight: 30,
                window_bytes: 1_000,
                oldest_unacknowledged: Some(Duration::from_secs(second)),
                blocked: Duration::from_secs(second),
                ..fine
            },
        }
    }

    #[test]
    fn a_server_shows_what_the_others_see_of_it() {
        let model = third_is_stalled();
        let rows = of_servers(&model, Details::Hidden, Duration::from_secs(1));
        let words: Vec<_> = rows.iter().map(|row| &*row.verdict.words).collect();
        assert_eq!(words, ["ok", "ok", "stalled 2/2"]);
        let third = &rows[2];
        assert_eq!((third.waiting, third.window), (200, (1_000, 1_000)));
        assert_eq!(third.oldest, Some(Duration::from_secs(1)));
        // Its own traffic: 100 a second to each of the others, and 20 from each.
        assert_eq!((third.rates.sent, third.rates.received), (200.0, 40.0));
        assert_eq!(third.history, [240]);
    }

    #[test]
    fn details_are_a_row_for_each_peer_of_each_server() {
        let model = third_is_stalled();
        let rows = of_servers(&model, Details::Shown, Duration::from_secs(1));
        let names: Vec<_> = rows.iter().map(|row| &*row.name).collect();
        assert_eq!(names, ["1", "1>2", "1>3", "2", "2>1", "2>3", "3", "3>1", "3>2"]);
        let troubled = rows.iter().filter(|row| row.is_in_trouble()).map(|row| &*row.name);
        assert_eq!(troubled.collect::<Vec<_>>(), ["1>3", "2>3", "3"]);
    }

    #[test]
    fn a_process_that_is_gone_or_mute_is_told_by_its_own_row() {
        let mut model = third_is_stalled();
        model.ended(Pid::new(2), Verdict::new(Grade::Bad, "died"));
        let rows = of_servers(&model, Details::Hidden, Duration::from_secs(6));
        let words: Vec<_> = rows.iter().map(|row| (row.state, &*row.verdict.words)).collect();
        assert_eq!(words, [("up", "no report 5 s"), ("ended", "died"), ("up", "no report 5 s")]);
    }
}
