//! Which of the machine's addresses clients can be told to send media to.

use std::io;
use std::net::IpAddr;

/// Addresses of every interface that is up: IPv4 first (it needs no working IPv6 path), then global and
/// unique local IPv6, loopback last. Link-local addresses are left out: they need a zone that the other
/// side does not know.
///
/// # Errors
/// Those of the system's interface list.
pub fn candidate_addresses() -> io::Result<Vec<IpAddr>> {
    let addresses = if_addrs::get_if_addrs()?
        .into_iter()
        .filter(|interface| interface.is_oper_up() && !interface.is_link_local())
        .map(|interface| interface.ip());
    Ok(ordered(addresses))
}

fn ordered(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !address.is_unspecified() && !address.is_multicast() && !all.contains(&address) {
            all.push(address);
        }
    }
    all.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_comes_last_and_ipv4_first() {
        let list = ["::1", "127.0.0.1", "fd00::7", "192.0.2.7", "2001:db8::1", "192.0.2.7", "0.0.0.0"];
        let ordered = ordered(list.iter().map(|text| text.parse().expect("an address")));
        let texts: Vec<_> = ordered.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.0.2.7", "fd00::7", "2001:db8::1", "127.0.0.1", "::1"]);
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        let addresses = candidate_addresses().expect("the system lists its interfaces");
        assert!(addresses.iter().any(IpAddr::is_loopback), "{} addresses", addresses.len());
    }
}
