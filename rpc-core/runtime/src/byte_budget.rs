//! A budget of bytes in memory that many peers share.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One peer may have this part of a budget: the others still have the rest.
const PEER_DIVISOR: usize = 8;

/// Bytes that peers may have in memory together. Clones share it.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_peers: HashMap<IpAddr, usize>,
}

/// A part of a budget. It is given back when this is dropped.
#[derive(Debug)]
pub struct ByteHold {
    budget: ByteBudget,
    peer: Option<IpAddr>,
    bytes: usize,
}

impl ByteBudget {
    /// Creates a budget of `max` bytes. One peer may have an eighth of it.
    pub fn new(max: usize) -> Self {
        Self { shared: Arc::new(Shared { max, taken: Mutex::default() }) }
    }

    /// Takes a part of the budget; `None` if less is left, or if the peer would have too much. Without a peer only the
    /// budget counts: for a gateway, which has many users.
    pub fn take(&self, peer: Option<IpAddr>, bytes: usize) -> Option<ByteHold> {
        let mut hold = ByteHold { budget: self.clone(), peer, bytes: 0 };
        hold.grow(bytes).then_some(hold)
    }

    /// Returns how many bytes are taken.
    pub fn used(&self) -> usize {
        self.shared.taken.lock().all
    }
}

impl ByteHold {
    /// Takes more of the same budget. Returns whether it was left; if not, nothing changes.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Shared { max, taken } = &*self.budget.shared;
        let mut taken = taken.lock();
        let Some(all) = taken.all.checked_add(bytes).filter(|sum| sum <= max) else { return false };
        if let Some(peer) = self.peer {
            let of_peer = taken.of_peers.get(&peer).copied().unwrap_or_default();
            let Some(sum) = of_peer.checked_add(bytes).filter(|sum| *sum <= max / PEER_DIVISOR) else { return false };
            taken.of_peers.insert(peer, sum);
        }
        taken.all = all;
        self.bytes += bytes;
        true
    }

    /// Takes as much more that this has at least `bytes`. Returns whether it was left; if not, nothing changes.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        self.grow(bytes.saturating_sub(self.bytes))
    }
}

impl Drop for ByteHold {
    fn drop(&mut self) {
        let mut taken = self.budget.shared.taken.lock();
        taken.all = taken.all.saturating_sub(self.bytes);
        let Some(peer) = self.peer else { return };
        let Some(of_peer) = taken.of_peers.get_mut(&peer) else { return };
        *of_peer = of_peer.saturating_sub(self.bytes);
        if *of_peer == 0 {
            taken.of_peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_comes_back() {
        let budget = ByteBudget::new(10);
        let mut first = budget.take(None, 6).unwrap();
        assert!(budget.take(None, 5).is_none() && !first.grow(usize::MAX));
        assert!(first.grow(4) && first.grow_to(3) && !first.grow_to(11));
        assert_eq!(budget.used(), 10);
        assert!(budget.take(None, 0).is_some());
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(budget.take(None, 10).is_some());
    }

    #[test]
    fn one_peer_has_an_eighth() {
        let budget = ByteBudget::new(80);
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let (first, mut second) = (budget.take(one, 6).unwrap(), budget.take(one, 4).unwrap());
        assert!(budget.take(one, 1).is_none() && !second.grow(1));
        assert_eq!(budget.used(), 10);
        assert!(budget.take(other, 10).is_some() && budget.take(None, 70).is_some());
        drop(first);
        assert!(second.grow(6) && !second.grow(1));
        drop(second);
        assert!(budget.shared.taken.lock().of_peers.is_empty());
    }
}
