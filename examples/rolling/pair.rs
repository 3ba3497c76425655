//! What one process has sent to another, held against what came, and what came back.

use std::ops::Range;

use crate::load::Sent;
use crate::stream::Received;

/// What became of it.
pub(crate) struct Pair {
    /// How many messages were for the peer.
    pub(crate) sent: u64,
    /// How many came back, and had not come.
    pub(crate) returned: u64,
    /// What has neither come nor come back.
    pub(crate) lost: Vec<String>,
}

impl Pair {
    /// Of a sender that has sent so many broadcasts in all.
    pub(crate) fn compare(broadcasts: u64, sent: &Sent, received: &Received) -> Self {
        let broadcasts = broadcasts_for(broadcasts, sent, received);
        let count = sent.singles + broadcasts.end - broadcasts.start;
        let (singles_back, singles): (Vec<_>, Vec<_>) = received
            .singles
            .absent(0..sent.singles)
            .partition(|number| sent.returned_singles.contains(number));
        let (broadcasts_back, broadcasts): (Vec<_>, Vec<_>) = received
            .broadcasts
            .absent(broadcasts)
            .partition(|number| sent.returned_broadcasts.contains(number));
        let singles = singles.iter().map(|number| format!("single {number}"));
        let broadcasts = broadcasts.iter().map(|number| format!("broadcast {number}"));
        let mut lost: Vec<_> = singles.chain(broadcasts).collect();
        // However many of those at the edge were for the peer, what had been accepted was.
        let unknown = sent.accepted.unwrap_or(0).saturating_sub(count);
        lost.extend((0..unknown).map(|_| "one that was accepted".to_owned()));
        let returned = (singles_back.len() + broadcasts_back.len()) as u64;
        Self { sent: count, returned, lost }
    }
}

/// The broadcasts that were for a peer. Those that were in the outbox when the list changed may
/// have been or not: they begin with the first that came, and end with the last that came or came
/// back.
fn broadcasts_for(all: u64, sent: &Sent, received: &Received) -> Range<u64> {
    let came = received.broadcasts.range();
    let start = came.as_ref().map_or(sent.since, |came| came.start.min(sent.since));
    let came = came.map_or(start, |came| came.end);
    let came_back = sent.returned_broadcasts.last().map_or(start, |last| last + 1);
    let end = if sent.accepted.is_some() { came.max(came_back) } else { all };
    start..end.max(start)
}
