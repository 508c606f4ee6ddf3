//! Who counts as one, where callers are known by their address alone.
//!
//! A household, and so an attacker, is given at least a whole /64 of IPv6 (RFC 6177): 2^64 addresses, of which each could be another
//! guest, with a limit and free guesses of its own. So an address of IPv6 counts as its first 64 bits. An address of IPv4 that is written
//! as one of IPv6 (`::ffff:192.0.2.1`; RFC 4291, section 2.5.5.2) counts as that address of IPv4.

use core::net::{IpAddr, Ipv6Addr};

/// What an address counts as: itself, or for IPv6 its network. Text that is no address counts as itself.
pub fn counted_address(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_and_an_address_of_ipv4_is_itself() {
        assert_eq!(counted_address("192.0.2.1"), "192.0.2.1");
        assert_eq!(counted_address("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(counted_address("2001:db8:1:2::9"), counted_address("2001:db8:1:2:ffff::"));
        assert_ne!(counted_address("2001:db8:1:2::9"), counted_address("2001:db8:1:3::9"));
    }

    #[test]
    fn ipv4_is_the_same_however_it_is_written() {
        assert_eq!(counted_address("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(counted_address("::ffff:c000:201"), "192.0.2.1");
        assert_ne!(counted_address("::ffff:192.0.2.1"), counted_address("::ffff:192.0.2.2"));
    }

    #[test]
    fn what_is_no_address_counts_as_it_is() {
        assert_eq!(counted_address("unknown"), "unknown");
        assert_eq!(counted_address(""), "");
    }

    proptest! {
        #[test]
        fn the_last_64_bits_of_ipv6_change_nothing_and_the_first_do(network: u64, other: u64, hosts: (u64, u64)) {
            let counted = |network: u64, host: u64| {
                counted_address(&Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host)).to_string())
            };
            // The network of all zeros holds the addresses of IPv4.
            prop_assume!(network != 0 && other != 0);
            prop_assert_eq!(counted(network, hosts.0), counted(network, hosts.1));
            prop_assert_eq!(counted(network, hosts.0) == counted(other, hosts.0), network == other);
        }

        #[test]
        fn any_text_counts_as_something(text in "\\PC{0,60}") {
            let _ = counted_address(&text);
        }
    }
}
