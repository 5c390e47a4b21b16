//! The random and wall-clock part of a bridge's beginning.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::media::bridge::Seed;

pub(super) fn seed() -> Seed {
    Seed {
        ssrc: rand::random(),
        ntp: ntp_now(),
        agent_sequence: rand::random(),
        agent_timestamp: rand::random(),
        visitor_sequence: rand::random(),
        visitor_timestamp: rand::random(),
    }
}

/// NTP time (RFC 3550 section 4): seconds since 1900, in 32.32 fixed point.
fn ntp_now() -> u64 {
    const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
    (unix.as_secs().wrapping_add(NTP_TO_UNIX_SECONDS) << 32) | fraction
}
