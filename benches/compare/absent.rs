//! The library in a cluster one server of which is not there.

use std::time::Duration;

use crate::support::library::{Incoming, Library, Outgoing, cluster, connect};
use crate::support::traffic::flood;
use crate::support::{Contender, Layout, Result, StationOf, Stations};

/// How many messages are sent before it is asked again whether the sender has given up on the
/// absent one.
const ROUND: u64 = 10_000;

/// Servers of this library that broadcast to one more than there are. It was waited for, for as
/// long as the peer timeout says: what goes there now comes back.
#[derive(Clone, Copy, Debug)]
pub struct OneAbsent;

impl Contender for OneAbsent {
    type Transmitter = Outgoing;
    type Receiver = Incoming;

    fn connect(&self, layout: &Layout) -> Result<Stations<Self>> {
        // Nobody is going to wait for the absent one to take the last messages.
        let config = cluster(layout.servers + 1, &[])?;
        let mut stations = connect(layout, &config, |_, server| server.linger(Duration::ZERO))?;
        while !stations[..layout.senders].iter().all(has_given_up) {
            flood(&mut stations, layout, ROUND);
        }
        Ok(stations)
    }
}

fn has_given_up(station: &StationOf<Library>) -> bool {
    station.receiver.server.stats().peers.iter().any(|peer| peer.dropped.peer_down > 0)
}
