//! Ports for one test alone.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::webrtc::browser::TestResult;

/// What a gateway is given: two calls' worth.
const SIZE: u16 = 4;
/// Below what systems give out by themselves (32,768 and above on Linux), and above where the peers of other tests are.
const RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// A range for RTP that no other test has, in whichever process it runs: of its first port, TCP is held as the claim.
#[derive(Clone)]
pub(crate) struct OwnPorts {
    first: u16,
    _claim: Arc<TcpListener>,
}

impl OwnPorts {
    pub(crate) fn claim() -> TestResult<Self> {
        let ranges = RANGE.step_by(SIZE.into());
        // Where to begin differs by process, so that few are asked for in vain.
        let begin = std::process::id() as usize % ranges.len();
        let mut in_turn = ranges.clone().cycle().skip(begin).take(ranges.len());
        Ok(in_turn.find_map(Self::of).ok_or("all ranges of ports are held")?)
    }

    fn of(first: u16) -> Option<Self> {
        let claim = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
        Some(Self { first, _claim: Arc::new(claim) }).filter(Self::are_free)
    }

    pub(crate) fn range(&self) -> RangeInclusive<u16> {
        self.first..=self.first + SIZE - 1
    }

    /// Whether nothing is bound to any of them.
    pub(crate) fn are_free(&self) -> bool {
        self.range().all(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    }
}
