//! Which worker an address belongs to. Only the owner's word, given after an authenticated check, makes
//! an entry; both tables are bounded.

use std::collections::HashMap;
use std::net::SocketAddr;

/// Addresses in each table; above the number of peers a worker can serve. About 50 bytes each.
const MAX_ADDRESSES: usize = 1 << 16;

/// The addresses that this worker owns, and those it knows to be owned by others.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// With the workers that were told, as bits.
    own: HashMap<SocketAddr, u32>,
    others: HashMap<SocketAddr, u8>,
}

/// The table of own addresses is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Routes {
    /// Whether an address belongs to this worker.
    pub(super) fn owns(&self, address: &SocketAddr) -> bool {
        self.own.contains_key(address)
    }

    /// The other worker that an address belongs to.
    pub(super) fn other(&self, address: &SocketAddr) -> Option<u8> {
        self.others.get(address).copied()
    }

    /// The core says that an address is its own.
    pub(super) fn claim(&mut self, address: SocketAddr) -> Result<(), Full> {
        self.others.remove(&address);
        if self.own.len() >= MAX_ADDRESSES && !self.own.contains_key(&address) {
            return Err(Full);
        }
        self.own.entry(address).or_insert(0);
        Ok(())
    }

    /// The worker was told that the address is ours.
    pub(super) fn told(&mut self, address: &SocketAddr, worker: u8) {
        if let Some(told) = self.own.get_mut(address) {
            *told |= 1_u32.checked_shl(worker.into()).unwrap_or(0);
        }
    }

    /// The core gives an address up; returns the workers that have to know.
    pub(super) fn release(&mut self, address: &SocketAddr) -> impl Iterator<Item = u8> + use<> {
        let told = self.own.remove(address).unwrap_or(0);
        (0..32).filter(move |worker| told & (1 << worker) != 0)
    }

    /// Gives up every address; returns them with the workers that have to know.
    pub(super) fn release_all(&mut self) -> Vec<(SocketAddr, u8)> {
        let own: Vec<SocketAddr> = self.own.keys().copied().collect();
        own.iter()
            .flat_map(|address| self.release(address).map(|worker| (*address, worker)).collect::<Vec<_>>())
            .collect()
    }

    /// Another worker says that an address is its own, so it is no longer ours; returns the workers that
    /// have to know. When the table is full another address makes room: the next check that comes from there
    /// brings word of it again.
    pub(super) fn learn(&mut self, address: SocketAddr, worker: u8) -> impl Iterator<Item = u8> + use<> {
        if self.others.len() >= MAX_ADDRESSES
            && !self.others.contains_key(&address)
            && let Some(evicted) = self.others.keys().next().copied()
        {
            self.others.remove(&evicted);
        }
        self.others.insert(address, worker);
        self.release(&address)
    }

    /// Another worker says that an address is no longer its own.
    pub(super) fn unlearn(&mut self, address: &SocketAddr, worker: u8) {
        if self.others.get(address) == Some(&worker) {
            self.others.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from((std::net::Ipv4Addr::from(n), 9))
    }

    #[test]
    fn those_who_were_told_of_an_address_hear_of_its_end() {
        let mut routes = Routes::default();
        assert_eq!(routes.claim(address(1)), Ok(()));
        routes.told(&address(1), 3);
        routes.told(&address(1), 31);
        assert!(routes.owns(&address(1)));
        assert_eq!(routes.release(&address(1)).collect::<Vec<_>>(), [3, 31]);
        assert!(!routes.owns(&address(1)));
        assert_eq!(routes.release(&address(1)).count(), 0);
    }

    #[test]
    fn an_address_that_moved_on_is_not_forgotten_by_its_former_owner_s_word() {
        let mut routes = Routes::default();
        assert_eq!(routes.learn(address(1), 2).count(), 0);
        assert_eq!(routes.learn(address(1), 5).count(), 0);
        routes.unlearn(&address(1), 2);
        assert_eq!(routes.other(&address(1)), Some(5));
        routes.unlearn(&address(1), 5);
        assert_eq!(routes.other(&address(1)), None);
    }

    #[test]
    fn an_address_that_another_worker_has_proved_is_no_longer_ours() {
        let mut routes = Routes::default();
        assert_eq!(routes.claim(address(1)), Ok(()));
        routes.told(&address(1), 7);
        assert_eq!(
            routes.learn(address(1), 2).collect::<Vec<_>>(),
            [7],
            "who believed it was ours hears of it"
        );
        assert!(!routes.owns(&address(1)));
        assert_eq!(routes.other(&address(1)), Some(2));
        assert_eq!(routes.claim(address(1)), Ok(()));
        assert!(
            routes.owns(&address(1)) && routes.other(&address(1)).is_none(),
            "until it is proved here again"
        );
    }

    #[test]
    fn the_tables_are_bounded() {
        let mut routes = Routes::default();
        for n in 0..MAX_ADDRESSES as u32 {
            assert_eq!(routes.claim(address(n)), Ok(()));
        }
        assert_eq!(routes.claim(address(u32::MAX)), Err(Full));
        assert_eq!(routes.claim(address(0)), Ok(()), "a known address stays");
        for n in 0..2 * MAX_ADDRESSES as u32 {
            let _ = routes.learn(address(n), 1);
            assert_eq!(routes.other(&address(n)), Some(1), "what was heard last is known");
        }
        assert_eq!(routes.others.len(), MAX_ADDRESSES);
    }
}
