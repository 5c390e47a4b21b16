//! Who may send how much to a far end's sockets. A stranger who finds them spends what strangers have, and never the far end's share.
//! Not here: who is believed ([`super::super::latch`] decides that); a packet of whom it believes tells where the far end is.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Budget;

/// The shares of a far end's sockets.
#[derive(Debug)]
pub(super) struct Gate {
    /// The address of the far end's SDP.
    signalled: Option<SocketAddr>,
    /// The trunk's.
    trunk: Option<IpAddr>,
    /// Where its audio was last taken from.
    heard: Option<SocketAddr>,
    /// What is signalled has a share of its own: who came first may be a stranger.
    from_signalled: Budget,
    from_heard: Budget,
    /// Other ports of the hosts that are signalled.
    from_hosts: Budget,
    reports: Budget,
    strangers: Budget,
}

impl Gate {
    /// Full shares, and nobody is known.
    pub(super) fn new() -> Self {
        Self {
            signalled: None,
            trunk: None,
            heard: None,
            from_signalled: Budget::new("sip"),
            from_heard: Budget::new("sip"),
            from_hosts: Budget::new("sip"),
            reports: Budget::new("sip"),
            strangers: Budget::new("stranger"),
        }
    }

    /// The far end's SDP names its address; another one than before starts afresh.
    pub(super) fn signal(&mut self, address: Option<SocketAddr>, trunk: Option<IpAddr>) {
        self.trunk = trunk;
        if self.signalled != address {
            (self.signalled, self.heard) = (address, None);
        }
    }

    /// Audio from there was the far end's.
    pub(super) fn hear(&mut self, source: SocketAddr) {
        self.heard = Some(source);
    }

    /// Whether there is time for one more datagram on the RTP socket.
    pub(super) fn admits(&mut self, source: SocketAddr, now: Instant) -> bool {
        if self.signalled == Some(source) {
            self.from_signalled.take(now)
        } else if self.heard == Some(source) {
            self.from_heard.take(now)
        } else if self.trunk == Some(source.ip()) || self.signalled.is_some_and(|known| known.ip() == source.ip()) {
            self.from_hosts.take(now)
        } else {
            self.strangers.take(now)
        }
    }

    /// Whether there is time for one more on the RTCP socket, where a host is believed on any port.
    pub(super) fn admits_report(&mut self, source: SocketAddr, now: Instant) -> bool {
        let is_known = [self.signalled, self.heard].into_iter().flatten().any(|known| known.ip() == source.ip());
        if is_known { self.reports.take(now) } else { self.strangers.take(now) }
    }
}

#[cfg(test)]
#[expect(clippy::panic, reason = "a test may panic: that is how it fails")]
mod tests {
    use std::time::Duration;

    use super::*;

    const FAR_END: &str = "192.0.2.1:4000";
    const BEHIND_NAT: &str = "198.51.100.7:61000";
    const TRUNK: &str = "192.0.2.9:5060";
    const STRANGER: &str = "203.0.113.66:9";

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// How many of 200 packets of 20 ms pass from there while a stranger sends 2,000 datagrams a second to each socket.
    fn passed(gate: &mut Gate, source: &str, admits: fn(&mut Gate, SocketAddr, Instant) -> bool) -> usize {
        let start = Instant::now();
        let passes = |nth: u32| {
            for part in 0..40 {
                let now = start + Duration::from_millis(20) * nth + Duration::from_micros(500) * part;
                gate.admits(at(STRANGER), now);
                gate.admits_report(at(STRANGER), now);
            }
            admits(gate, at(source), start + Duration::from_millis(20) * (nth + 1))
        };
        (0..200).map(passes).filter(|passes| *passes).count()
    }

    #[test]
    fn a_flood_of_strangers_takes_nothing_from_the_far_end() {
        let mut gate = Gate::new();
        gate.signal(Some(at(FAR_END)), Some(at(TRUNK).ip()));
        assert_eq!(passed(&mut gate, FAR_END, Gate::admits), 200);
        assert_eq!(passed(&mut gate, "192.0.2.1:4001", Gate::admits_report), 200);
        assert_eq!(passed(&mut gate, "192.0.2.9:6000", Gate::admits), 200);
        gate.hear(at(BEHIND_NAT));
        assert_eq!(passed(&mut gate, BEHIND_NAT, Gate::admits), 200);
        assert!(passed(&mut gate, STRANGER, Gate::admits) < 100);
    }

    #[test]
    fn a_stranger_who_was_taken_for_the_far_end_takes_nothing_from_the_signalled_address() {
        let mut gate = Gate::new();
        gate.signal(Some(at(FAR_END)), Some(at(TRUNK).ip()));
        gate.hear(at(STRANGER));
        assert_eq!(passed(&mut gate, FAR_END, Gate::admits), 200);
    }
}
