//! The peers, as the output thread addresses them.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use crate::envelope::{Pid, Recipient};
use crate::output::packer::Addressee;
use crate::output::peer_sender::PeerSender;

/// All peers, in the order of the configuration.
pub(crate) struct Peers {
    senders: Vec<PeerSender>,
    by_pid: HashMap<Pid, usize>,
}

impl Peers {
    pub(crate) fn new(senders: Vec<PeerSender>) -> Self {
        let by_pid = senders.iter().enumerate().map(|(at, peer)| (peer.pid(), at)).collect();
        Self { senders, by_pid }
    }

    /// Where the recipient is among the peers, if it is one.
    pub(super) fn addressee(&self, to: Recipient) -> Option<Addressee> {
        match to {
            Recipient::Broadcast => Some(Addressee::All),
            Recipient::Peer(pid) => self.by_pid.get(&pid).copied().map(Addressee::One),
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
