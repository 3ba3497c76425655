//! The addresses that the name of a peer has, and which of them is in use.

use std::net::SocketAddr;

/// The addresses of a peer, to be tried in turn.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    listed: Vec<SocketAddr>,
    current: Option<SocketAddr>,
}

impl Candidates {
    /// Takes what a lookup has found. Addresses that are known keep their order, whatever order DNS
    /// gives them this time, so that each has its turn.
    pub(super) fn update(&mut self, found: &[SocketAddr]) {
        self.listed.retain(|known| found.contains(known));
        for address in found {
            if !self.listed.contains(address) {
                self.listed.push(*address);
            }
        }
    }

    /// Whether no address is known.
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The address in use.
    pub(super) fn current(&self) -> Option<SocketAddr> {
        self.current
    }

    /// Whether the address in use is none of the peer's any more.
    pub(super) fn is_stale(&self) -> bool {
        self.current.is_some_and(|current| !self.listed.contains(&current))
    }

    /// Goes on to the next address, which is the same if there is only one.
    pub(super) fn advance(&mut self) -> Option<SocketAddr> {
        let is_current = |address: &SocketAddr| Some(*address) == self.current;
        let next = self.listed.iter().position(is_current).map_or(0, |at| at + 1);
        self.current = self.listed.get(next).or(self.listed.first()).copied();
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hosts: &[u8]) -> Vec<SocketAddr> {
        hosts.iter().map(|host| ([10, 0, 0, *host], 80).into()).collect()
    }

    fn advance(candidates: &mut Candidates, times: usize) -> Vec<SocketAddr> {
        (0..times).filter_map(|_| candidates.advance()).collect()
    }

    #[test]
    fn each_address_has_its_turn() {
        let mut candidates = Candidates::default();
        assert!(candidates.is_empty());
        assert_eq!(candidates.advance(), None);
        candidates.update(&at(&[1]));
        assert_eq!(advance(&mut candidates, 2), at(&[1, 1]));
        candidates.update(&at(&[1, 2, 2, 3]));
        assert_eq!(advance(&mut candidates, 4), at(&[2, 3, 1, 2]));
    }

    #[test]
    fn the_order_of_later_answers_takes_nobodys_turn() {
        let mut candidates = Candidates::default();
        for (answer, next) in [([1, 2, 3], 1), ([2, 3, 1], 2), ([3, 1, 2], 3), ([3, 2, 1], 1)] {
            candidates.update(&at(&answer));
            assert_eq!(advance(&mut candidates, 1), at(&[next]));
        }
    }

    #[test]
    fn an_address_that_is_gone_is_left_for_the_first_of_those_there_are() {
        let mut candidates = Candidates::default();
        assert!(!candidates.is_stale());
        candidates.update(&at(&[1, 2, 3]));
        assert_eq!(advance(&mut candidates, 2), at(&[1, 2]));
        candidates.update(&at(&[2, 1]));
        assert!(!candidates.is_stale());
        candidates.update(&at(&[4, 5]));
        assert!(candidates.is_stale());
        assert_eq!(advance(&mut candidates, 1), at(&[4]));
        assert!(!candidates.is_stale());
    }
}
