//! The peers, as the output thread addresses them.

use std::ops::{Deref, DerefMut};

use crate::envelope::{Pid, Recipient};
use crate::output::packer::Addressee;
use crate::output::peer_sender::PeerSender;

/// All peers, in the order of the configuration.
pub(crate) struct Peers {
    senders: Vec<PeerSender>,
    /// Where each is, in the order of the pids.
    places: Vec<(Pid, usize)>,
}

impl Peers {
    pub(crate) fn new(senders: Vec<PeerSender>) -> Self {
        let place = |(at, peer): (usize, &PeerSender)| (peer.pid(), at);
        let mut places: Vec<_> = senders.iter().enumerate().map(place).collect();
        places.sort_unstable();
        Self { senders, places }
    }

    /// Where the recipient is among the peers, if it is one. Each envelope is looked up: with a few
    /// peers this takes less than a hash does.
    #[inline]
    pub(super) fn addressee(&self, to: Recipient) -> Option<Addressee> {
        match to {
            Recipient::Broadcast => Some(Addressee::All),
            Recipient::Peer(pid) => {
                let found = self.places.binary_search_by_key(&pid, |(pid, _)| *pid).ok()?;
                Some(Addressee::One(self.places[found].1))
            }
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
