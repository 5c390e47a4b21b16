//! What a bridge wants sent, in order, without an allocation for each packet: the bytes lie in one buffer that is emptied
//! when all of them have been taken.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

use super::transcode::{Coded, Coding};
use crate::once::Way;
use protocol::gateway::Side;

/// Outputs that wait. One input makes at most a burst of 120 ms: 12 packets, a few keys beside. What exceeds this is dropped.
const MAX_WAITING: usize = 64;

/// What a bridge wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BridgeOutput<'a> {
    /// Audio for the visitor.
    ToVisitor(Coded<'a>),
    /// An RTP packet for the far end.
    ToAgent {
        /// The far end's address.
        destination: SocketAddr,
        /// The whole datagram.
        datagram: &'a [u8],
    },
    /// An RTCP packet for the far end.
    Report {
        /// The far end's address for RTCP.
        destination: SocketAddr,
        /// The whole datagram.
        datagram: &'a [u8],
    },
    /// A key of the far end that was told is up again.
    Up {
        /// How it came.
        way: Way,
        /// Which.
        digit: char,
        /// How long it was held, in milliseconds.
        duration_ms: u32,
    },
    /// Somebody pressed a key.
    Digit {
        /// Who.
        from: Side,
        /// How it came.
        way: Way,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long it was held, as far as is known, in milliseconds.
        duration_ms: u32,
    },
}

/// The outputs of one bridge.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    ToVisitor { coding: Coding, sequence: u64, timestamp: u32, marker: bool, payload: Range<usize> },
    ToAgent { destination: SocketAddr, datagram: Range<usize> },
    Report { destination: SocketAddr, datagram: Range<usize> },
    Digit { from: Side, way: Way, digit: char, duration_ms: u32 },
    Up { way: Way, digit: char, duration_ms: u32 },
}

impl Outbox {
    /// Audio for the visitor.
    pub(crate) fn send_visitor(&mut self, packet: Coded<'_>) {
        let Coded { coding, sequence, timestamp, marker, payload } = packet;
        let payload = self.keep(payload);
        self.push(Waiting::ToVisitor { coding, sequence, timestamp, marker, payload });
    }

    /// RTP for the far end.
    pub(crate) fn send_agent(&mut self, destination: SocketAddr, datagram: &[u8]) {
        let datagram = self.keep(datagram);
        self.push(Waiting::ToAgent { destination, datagram });
    }

    /// RTCP for the far end.
    pub(crate) fn send_report(&mut self, destination: SocketAddr, datagram: &[u8]) {
        let datagram = self.keep(datagram);
        self.push(Waiting::Report { destination, datagram });
    }

    /// A key.
    pub(crate) fn digit(&mut self, from: Side, way: Way, digit: char, duration_ms: u32) {
        self.push(Waiting::Digit { from, way, digit, duration_ms });
    }

    /// A key of the far end is up.
    pub(crate) fn up(&mut self, way: Way, digit: char, duration_ms: u32) {
        self.push(Waiting::Up { way, digit, duration_ms });
    }

    /// The oldest that waits.
    pub(crate) fn poll(&mut self) -> Option<BridgeOutput<'_>> {
        let Some(next) = self.waiting.pop_front() else {
            self.bytes.clear();
            return None;
        };
        Some(match next {
            Waiting::ToVisitor { coding, sequence, timestamp, marker, payload } => {
                let payload = self.bytes.get(payload).unwrap_or_default();
                BridgeOutput::ToVisitor(Coded { coding, sequence, timestamp, marker, payload })
            }
            Waiting::ToAgent { destination, datagram } => {
                BridgeOutput::ToAgent { destination, datagram: self.bytes.get(datagram).unwrap_or_default() }
            }
            Waiting::Report { destination, datagram } => {
                BridgeOutput::Report { destination, datagram: self.bytes.get(datagram).unwrap_or_default() }
            }
            Waiting::Digit { from, way, digit, duration_ms } => BridgeOutput::Digit { from, way, digit, duration_ms },
            Waiting::Up { way, digit, duration_ms } => BridgeOutput::Up { way, digit, duration_ms },
        })
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(waiting);
        }
    }
}
