//! Who counts as one where connections and requests of strangers are limited, to server and gateway alike.

use core::net::{IpAddr, Ipv6Addr};

/// What a stranger is counted by: one who has IPv6 has at least a whole /64 (RFC 6177) to choose addresses from.
pub fn of_stranger(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        canonical @ IpAddr::V4(_) => canonical,
    }
}
