//! The open connections of each address.

use ipnet::IpNet;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use threadline_schema::head::network_of;

/// Counts the open connections of each address. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    proxies: Arc<[IpNet]>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One open connection of an address; `None` inside for a proxy. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct AddressSlot(Option<(Addresses, IpAddr)>);

impl Addresses {
    /// Allows each address up to `max` connections, and the proxies any number.
    pub(super) fn new(max: usize, proxies: Arc<[IpNet]>) -> Self {
        Self { shared: Arc::new(Shared { max, proxies, open: Mutex::default() }) }
    }

    /// Takes a slot for a connection; `None` if the address has the maximum already.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<AddressSlot> {
        let Shared { max, proxies, open } = &*self.shared;
        if proxies.iter().any(|net| net.contains(&peer)) {
            return Some(AddressSlot(None));
        }
        let network = network_of(peer);
        let mut open = open.lock();
        let count = open.entry(network).or_default();
        if *count >= *max {
            return None;
        }
        *count += 1;
        Some(AddressSlot(Some((self.clone(), network))))
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let Some((addresses, network)) = &self.0 else { return };
        let mut open = addresses.shared.open.lock();
        if let Some(count) = open.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                open.remove(network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_maximum_of_connections_and_a_proxy_has_none() {
        let addresses = Addresses::new(2, ["10.0.0.0/8".parse().unwrap()].into());
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let first = enter("2001:db8::1").unwrap();
        let _second = enter("2001:db8::2").unwrap();
        assert!(enter("2001:db8::3").is_none(), "the same network");
        assert!(enter("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(enter("2001:db8::3").is_some());
        let _many: Vec<_> = (0..9).map(|_| enter("10.0.0.1").unwrap()).collect();
        assert_eq!(addresses.shared.open.lock().len(), 1, "nothing is kept of who has left");
    }
}
