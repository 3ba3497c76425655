//! The peers, as the output thread addresses them.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::envelope::{Pid, Recipient};
use crate::event::EventSink;
use crate::link::Outgoing;
use crate::output::packer::Addressee;
use crate::output::peer_sender::PeerSender;

/// All peers, in the order in which they were added.
pub(crate) struct Peers {
    senders: Vec<PeerSender>,
    /// Where each is, in the order of the pids.
    places: Vec<(Pid, usize)>,
    /// The links of those that are none any more. They are needed if one of them is a peer again: to its
    /// process this one is still the same, and goes on where it was.
    former: BTreeMap<Pid, Outgoing>,
}

impl Peers {
    pub(crate) fn new(senders: Vec<PeerSender>) -> Self {
        let mut peers = Self { senders, places: Vec::new(), former: BTreeMap::new() };
        peers.find_places();
        peers
    }

    fn find_places(&mut self) {
        let place = |(at, peer): (usize, &PeerSender)| (peer.pid(), at);
        self.places = self.senders.iter().enumerate().map(place).collect();
        self.places.sort_unstable();
    }

    /// Adds a peer.
    pub(super) fn add(&mut self, mut sender: PeerSender, now: Duration) {
        if let Some(mut link) = self.former.remove(&sender.pid()) {
            link.revive(now);
            sender.link = link;
        }
        self.senders.push(sender);
        self.find_places();
    }

    /// Takes a peer out, and keeps its link.
    pub(super) fn remove(&mut self, pid: Pid, now: Duration, events: &mut EventSink) {
        let Some(at) = self.place(pid) else { return };
        let link = self.senders.remove(at).retire(now, events);
        self.former.insert(pid, link);
        self.find_places();
    }

    /// Whether it was a peer, and is none any more.
    pub(super) fn were(&self, pid: Pid) -> bool {
        self.former.contains_key(&pid)
    }

    /// Where a peer is.
    #[inline]
    pub(super) fn place(&self, pid: Pid) -> Option<usize> {
        let found = self.places.binary_search_by_key(&pid, |(pid, _)| *pid).ok()?;
        Some(self.places[found].1)
    }

    /// One of them.
    pub(super) fn get_mut(&mut self, pid: Pid) -> Option<&mut PeerSender> {
        let at = self.place(pid)?;
        self.senders.get_mut(at)
    }

    /// Where the recipient is among the peers, if it is one. Each envelope is looked up: with a few
    /// peers this takes less than a hash does.
    #[inline]
    pub(super) fn addressee(&self, to: Recipient) -> Option<Addressee> {
        match to {
            Recipient::Broadcast => Some(Addressee::All),
            Recipient::Peer(pid) => self.place(pid).map(Addressee::One),
        }
    }

    /// Those that an envelope goes to.
    pub(super) fn all_of(&self, addressee: Addressee) -> &[PeerSender] {
        match addressee {
            Addressee::All => &self.senders,
            Addressee::One(at) => std::slice::from_ref(&self.senders[at]),
        }
    }

    /// The same.
    pub(super) fn all_of_mut(&mut self, addressee: Addressee) -> &mut [PeerSender] {
        match addressee {
            Addressee::All => &mut self.senders,
            Addressee::One(at) => std::slice::from_mut(&mut self.senders[at]),
        }
    }

    /// Takes them all away.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = PeerSender> {
        std::mem::take(&mut self.senders).into_iter()
    }
}

impl Deref for Peers {
    type Target = [PeerSender];

    fn deref(&self) -> &[PeerSender] {
        &self.senders
    }
}

impl DerefMut for Peers {
    fn deref_mut(&mut self) -> &mut [PeerSender] {
        &mut self.senders
    }
}
