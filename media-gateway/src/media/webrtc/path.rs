//! Where a visitor's datagrams come from, and where they go once the browser has nominated more than one candidate pair.
//!
//! str0m keeps to the nominated pair of the highest priority for as long as it may live, which is right while pairs are many
//! and alive. A browser whose UDP is cut, or whose TCP connection broke and was made anew from another port, nominates
//! another pair long before str0m lets go of the old one: then the pair is followed that was nominated last.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol::gateway::Transport;
use str0m::net::{Protocol, Receive};
use tracing::debug;

/// How long the path must be silent before another nominated pair is believed to have taken its place; the browser may notice, and
/// nominate, before that, and does not say it again for seconds. Audio comes every
/// 20 ms, and without audio Chromium checks the pair that it has chosen about every 0.5 s at first.
const SILENCE: Duration = Duration::from_secs(2);

/// USE-CANDIDATE (RFC 8445 section 16.1).
const USE_CANDIDATE: u16 = 0x0025;
/// The header of a STUN message (RFC 8489 section 5).
const STUN_HEADER: usize = 20;

/// The browser's end of a candidate pair. Of our candidates there is one for each transport and address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Via {
    /// What carries the datagrams.
    pub transport: Transport,
    /// The browser's address.
    pub peer: SocketAddr,
}

/// The path in use.
#[derive(Debug, Default)]
pub(crate) struct Path {
    /// What str0m wants, when it last sent something.
    wanted: Option<Via>,
    /// What is followed instead.
    instead: Option<Via>,
    /// What was nominated since something last came over the path.
    next: Option<Via>,
    /// When something last came over the path; `None` when its connection is gone.
    heard: Option<Instant>,
}

impl Path {
    /// Where a datagram goes that str0m would send to `wanted`.
    pub(crate) fn of(&mut self, wanted: Via, now: Instant) -> Via {
        if self.wanted != Some(wanted) {
            *self = Self { wanted: Some(wanted), heard: Some(now), ..Self::default() };
        }
        self.follow_if_silent(now);
        self.instead.unwrap_or(wanted)
    }

    /// A datagram came from there.
    pub(crate) fn heard(&mut self, from: Via, now: Instant) {
        if self.current() == Some(from) {
            (self.heard, self.next) = (Some(now), None);
        }
    }

    /// Whether a nomination of this pair would say anything new.
    pub(crate) fn is_other(&self, to: Via) -> bool {
        self.current().is_some_and(|current| current != to)
    }

    /// The pair, another one, was nominated, its integrity checked: it is followed once the path has been silent for long enough.
    pub(crate) fn nominated(&mut self, to: Via, now: Instant) {
        self.next = Some(to);
        self.follow_if_silent(now);
    }

    fn follow_if_silent(&mut self, now: Instant) {
        let is_silent = self.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= SILENCE);
        let Some(to) = self.next.take_if(|_| is_silent) else { return };
        debug!(?to, "the browser has nominated another path than the silent one");
        self.instead = (self.wanted != Some(to)).then_some(to);
        self.heard = Some(now);
    }

    /// The connection to `peer` is gone.
    pub(crate) fn lost(&mut self, via: Via) {
        if self.current() == Some(via) {
            self.heard = None;
        }
        self.next.take_if(|next| *next == via);
    }

    fn current(&self) -> Option<Via> {
        self.instead.or(self.wanted)
    }
}

/// The way that a datagram came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Over what.
    pub transport: Transport,
    /// From which address of the browser.
    pub source: SocketAddr,
    /// To which candidate of ours.
    pub destination: SocketAddr,
}

impl Way {
    pub(super) fn receive<'a>(&self, datagram: &'a [u8]) -> Result<Receive<'a>, str0m::error::NetError> {
        let proto = if self.transport == Transport::Tcp { Protocol::Tcp } else { Protocol::Udp };
        Receive::new(proto, self.source, self.destination, datagram)
    }
}

/// RFC 7983 section 7: a first byte of 0 to 3 is STUN.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first <= 3)
}

/// What a datagram of str0m goes over.
pub(super) fn transport_of(proto: Protocol) -> Transport {
    if proto == Protocol::Udp { Transport::Udp } else { Transport::Tcp }
}

/// Whether a STUN message nominates the pair that it comes over. Says nothing about its integrity.
pub(crate) fn nominates(message: &[u8]) -> bool {
    let mut rest = message.get(STUN_HEADER..).unwrap_or_default();
    // Each turn takes four bytes at least.
    while let Some(([kind_high, kind_low, high, low], after)) = rest.split_first_chunk() {
        if u16::from_be_bytes([*kind_high, *kind_low]) == USE_CANDIDATE {
            return true;
        }
        // Values are padded to four bytes (RFC 8489 section 14).
        let length = usize::from(u16::from_be_bytes([*high, *low])).next_multiple_of(4);
        rest = after.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn via(transport: Transport, port: u16) -> Via {
        Via { transport, peer: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port) }
    }

    const UDP: Via = via(Transport::Udp, 1);
    const TCP: Via = via(Transport::Tcp, 2);
    const NEW_TCP: Via = via(Transport::Tcp, 3);

    #[test]
    fn a_path_that_is_heard_is_kept_whatever_else_is_nominated() {
        let (mut path, mut now) = (Path::default(), Instant::now());
        assert_eq!(path.of(UDP, now), UDP);
        for _ in 0..10 {
            now += SILENCE - Duration::from_millis(1);
            path.nominated(TCP, now);
            assert_eq!(path.of(UDP, now), UDP);
            path.heard(UDP, now);
        }
        assert_eq!(path.of(UDP, now + SILENCE), UDP, "nobody has nominated another since it was heard");
        assert!(path.is_other(TCP) && !path.is_other(UDP));
    }

    #[test]
    fn a_pair_that_is_nominated_before_the_silence_is_believed_is_followed_when_it_is() {
        let (mut path, now) = (Path::default(), Instant::now());
        path.of(UDP, now);
        path.nominated(TCP, now + SILENCE / 2);
        let almost = now + SILENCE - Duration::from_millis(1);
        assert_eq!((path.of(UDP, almost), path.of(UDP, now + SILENCE)), (UDP, TCP));
        path.nominated(NEW_TCP, now + SILENCE);
        path.lost(NEW_TCP);
        assert_eq!(path.of(UDP, now + 3 * SILENCE), TCP, "that connection is gone");
    }

    #[test]
    fn a_path_that_falls_silent_is_left_for_the_pair_nominated_then_and_str0m_has_the_last_word() {
        let (mut path, now) = (Path::default(), Instant::now());
        path.of(UDP, now);
        path.heard(TCP, now + SILENCE);
        let later = now + SILENCE;
        path.nominated(TCP, later);
        path.nominated(UDP, later);
        assert_eq!(path.of(UDP, later), TCP, "it was just followed");
        path.lost(TCP);
        path.nominated(NEW_TCP, later);
        assert_eq!(path.of(UDP, later), NEW_TCP);
        assert_eq!(path.of(TCP, later), TCP, "str0m has chosen anew");
        path.lost(TCP);
        path.nominated(UDP, later);
        assert_eq!(path.of(TCP, later), UDP);
    }

    #[test]
    fn a_nomination_is_found_among_other_attributes_and_not_in_their_values() {
        let stun = |attributes: &[u8]| [[0; STUN_HEADER].as_slice(), attributes].concat();
        let username = [0, 6, 0, 5, 0, 0x25, 0, 0, 0, 0, 0, 0];
        assert!(!nominates(&stun(&username)));
        assert!(nominates(&stun(&[username.as_slice(), &[0, 0x25, 0, 0]].concat())));
        for cut in 0..STUN_HEADER + 4 {
            assert!(!nominates(stun(&[0, 6, 0xff, 0xff]).get(..cut).unwrap_or_default()));
        }
    }
}
