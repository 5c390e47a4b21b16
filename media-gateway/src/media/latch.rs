//! Symmetric RTP (RFC 4961) without the RTP bleed: which source address speaks for the far end, and where its audio goes.
//!
//! The rules, in order:
//! 1. The address in the far end's SDP is the far end by its own word: a valid packet from there latches at once, and
//!    from then on nobody else is listened to until a new SDP comes.
//! 2. While nobody has latched, another port on the SDP's IP address latches with its first valid packet (NAT on the same
//!    host), and another IP address with [`PROBATION`] packets in sequence from one SSRC (NAT, media relays).
//! 3. Who has latched from an IP address that is neither the SDP's nor the trunk's may be a stranger who came first: another port on the
//!    SDP's IP address takes its place with its first valid packet, and the address that the trunk's SIP comes from with [`PROBATION`]
//!    packets in sequence.
//! 4. Who has latched from elsewhere is followed to another port of the same IP address after [`REBIND_SILENCE`] (a NAT
//!    that has forgotten its mapping), and nowhere else. So nobody who finds the port during a call can take it over.
//!
//! A packet is valid when it parses as RTP and carries a negotiated payload type; that is checked before it comes here.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Packets in sequence that a foreign IP address needs. RFC 3550 appendix A.1 asks for 2 of any source; one more costs 20 ms
/// once and makes a blind guess harder.
const PROBATION: u8 = 3;

/// Sources on probation at the same time. One who floods the port with forged sources can keep a foreign address out, not the
/// signalled one.
const MAX_NEWCOMERS: usize = 4;

/// How long the latched source must be silent before another port of its address is believed. Longer than the 3 s after which
/// DTX senders speak up again, shorter than the patience of people.
const REBIND_SILENCE: Duration = Duration::from_secs(5);

/// Where the far end's audio comes from and goes to.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    signalled: Option<SocketAddr>,
    trunk: Option<IpAddr>,
    latched: Option<SocketAddr>,
    last_heard: Option<Instant>,
    newcomers: Vec<Newcomer>,
    rejected: u64,
}

#[derive(Clone, Copy, Debug)]
struct Newcomer {
    source: SocketAddr,
    ssrc: u32,
    next: u16,
    heard: u8,
}

impl Latch {
    /// A new SDP names the far end's address; the same address again changes nothing. `None` while it wants no media.
    pub(crate) fn signal(&mut self, address: Option<SocketAddr>, trunk: Option<IpAddr>) {
        if self.signalled != address {
            *self = Self { signalled: address, rejected: self.rejected, ..Self::default() };
        }
        self.trunk = trunk;
    }

    /// Whether a valid packet from `source` is the far end's.
    pub(crate) fn admits(&mut self, source: SocketAddr, ssrc: u32, sequence: u16, now: Instant) -> bool {
        let admitted = match self.latched {
            Some(latched) if latched == source => true,
            _ if self.signalled == Some(source) => true,
            Some(latched) if self.signalled == Some(latched) => false,
            Some(latched) if latched.ip() == source.ip() => self.is_silent(now),
            Some(latched) if self.is_signalled_host(latched) || self.trunk == Some(latched.ip()) => false,
            Some(_) if self.is_signalled_host(source) => true,
            Some(_) => self.trunk == Some(source.ip()) && self.proves_itself(source, ssrc, sequence),
            None if self.is_signalled_host(source) => true,
            None => self.signalled.is_some() && self.proves_itself(source, ssrc, sequence),
        };
        if admitted {
            self.latched = Some(source);
            self.last_heard = Some(now);
            self.newcomers.clear();
        } else {
            self.rejected += 1;
        }
        admitted
    }

    /// Where to send: the latched source, else the signalled address.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.signalled.and(self.latched.or(self.signalled))
    }

    /// Packets of others that were turned away.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    fn is_signalled_host(&self, source: SocketAddr) -> bool {
        self.signalled.is_some_and(|signalled| signalled.ip() == source.ip())
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.last_heard.is_none_or(|heard| now.saturating_duration_since(heard) >= REBIND_SILENCE)
    }

    fn proves_itself(&mut self, source: SocketAddr, ssrc: u32, sequence: u16) -> bool {
        let next = sequence.wrapping_add(1);
        if let Some(known) = self.newcomers.iter_mut().find(|known| known.source == source) {
            let follows = known.ssrc == ssrc && known.next == sequence;
            *known = Newcomer { source, ssrc, next, heard: if follows { known.heard + 1 } else { 1 } };
            return known.heard >= PROBATION;
        }
        if self.newcomers.len() == MAX_NEWCOMERS {
            self.newcomers.remove(0);
        }
        self.newcomers.push(Newcomer { source, ssrc, next, heard: 1 });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "192.0.2.1:4000";
    const NAT: &str = "198.51.100.7:61000";
    const TRUNK: &str = "192.0.2.9";
    const ATTACKER: &str = "203.0.113.66:9";

    struct Bench {
        latch: Latch,
        now: Instant,
        sequence: u16,
    }

    impl Bench {
        fn new() -> Self {
            let mut latch = Latch::default();
            latch.signal(SDP.parse().ok(), TRUNK.parse().ok());
            Self { latch, now: Instant::now(), sequence: 0 }
        }

        fn hear(&mut self, source: &str) -> bool {
            self.now += Duration::from_millis(20);
            self.sequence += 1;
            source.parse().is_ok_and(|source: SocketAddr| {
                self.latch.admits(source, u32::from(source.port()), self.sequence, self.now)
            })
        }

        fn sends_to(&self) -> Option<String> {
            self.latch.destination().map(|address| address.to_string())
        }
    }

    #[test]
    fn audio_goes_to_the_sdp_address_until_somebody_speaks() {
        assert_eq!(Bench::new().sends_to().as_deref(), Some(SDP));
    }

    #[test]
    fn a_far_end_behind_nat_is_latched_after_its_third_packet() {
        let mut bench = Bench::new();
        assert_eq!([bench.hear(NAT), bench.hear(NAT), bench.hear(NAT)], [false, false, true]);
        assert_eq!(bench.sends_to().as_deref(), Some(NAT));
    }

    #[test]
    fn an_attacker_never_takes_over_a_call_whose_far_end_speaks_from_its_sdp_address() {
        let mut bench = Bench::new();
        assert!(bench.hear(SDP));
        bench.now += Duration::from_secs(3600);
        assert!((0..100).all(|_| !bench.hear(ATTACKER)));
        assert_eq!(bench.sends_to().as_deref(), Some(SDP));
        assert_eq!(bench.latch.rejected(), 100);
    }

    #[test]
    fn an_attacker_never_takes_over_a_latched_call_even_after_silence() {
        let mut bench = Bench::new();
        assert!((0..3).any(|_| bench.hear(NAT)));
        bench.now += Duration::from_secs(60);
        assert!((0..100).all(|_| !bench.hear(ATTACKER)));
        assert_eq!(bench.sends_to().as_deref(), Some(NAT));
    }

    #[test]
    fn an_attacker_who_came_first_loses_the_call_to_the_sdp_address() {
        let mut bench = Bench::new();
        assert!((0..3).any(|_| bench.hear(ATTACKER)));
        assert!(bench.hear(SDP));
        assert!(!bench.hear(ATTACKER));
        assert_eq!(bench.sends_to().as_deref(), Some(SDP));
    }

    #[test]
    fn an_attacker_who_came_first_loses_the_call_to_the_trunks_host_and_never_regains_it() {
        for (host, packets) in [("192.0.2.9:7000", 3), ("192.0.2.1:7000", 1)] {
            let mut bench = Bench::new();
            assert!((0..3).any(|_| bench.hear(ATTACKER)));
            assert_eq!((0..packets).map(|_| bench.hear(host)).filter(|heard| *heard).count(), 1);
            assert!((0..100).all(|_| !bench.hear(ATTACKER)));
            assert_eq!(bench.sends_to().as_deref(), Some(host));
        }
    }

    #[test]
    fn a_far_end_behind_nat_is_not_lost_to_another_stranger() {
        let mut bench = Bench::new();
        assert!((0..3).any(|_| bench.hear(NAT)));
        assert!((0..100).all(|_| !bench.hear(ATTACKER) && bench.hear(NAT)));
    }

    #[test]
    fn packets_of_others_in_between_do_not_keep_the_far_end_out() {
        let mut bench = Bench::new();
        let admitted = (1..=3u16).map(|sequence| {
            bench.sequence = sequence * 1000;
            bench.hear(ATTACKER);
            bench.sequence = sequence;
            bench.hear(NAT)
        });
        assert_eq!(admitted.collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(bench.sends_to().as_deref(), Some(NAT));
    }

    #[test]
    fn a_nat_that_rebinds_is_followed_to_its_new_port_after_silence() {
        let mut bench = Bench::new();
        assert!((0..3).any(|_| bench.hear(NAT)));
        assert!(!bench.hear("198.51.100.7:61001"), "the old port spoke a moment ago");
        bench.now += REBIND_SILENCE;
        assert!(bench.hear("198.51.100.7:61001"));
    }

    #[test]
    fn a_new_sdp_starts_afresh() {
        let mut bench = Bench::new();
        assert!(bench.hear(SDP));
        bench.latch.signal("192.0.2.2:6000".parse().ok(), None);
        assert_eq!(bench.sends_to().as_deref(), Some("192.0.2.2:6000"));
        assert!(!bench.hear(SDP));
    }

    #[test]
    fn a_far_end_on_hold_is_sent_nothing() {
        let mut bench = Bench::new();
        assert!(bench.hear(SDP));
        bench.latch.signal(None, None);
        assert_eq!(bench.sends_to(), None);
        assert!(!bench.hear(SDP));
    }
}
