//! The certificates of a call's pages: what binds the call to the browser that began it. A page says which its successor will have,
//! and its key never leaves the browser; whoever has a token but no such certificate has nothing.
//!
//! Browsers whose storage is closed to the panel say nothing, and their calls go by the token alone. Not here: whether the key is
//! really there, which the DTLS handshake shows.

use crate::Change;
use crate::call::{Call, Effects, Stage};
use protocol::fingerprint::{is_same, is_sha256, of_sdp};
use protocol::gateway::Command;
use protocol::visitor::CallState;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Certificates that count, the newest last: of the page that has the call, of its successor, and of some that were told the call is
/// elsewhere and may move it back ([`MAX_ASIDE`](crate::resume::MAX_ASIDE)), each with its successor's.
const MAX_CERTIFICATES: usize = 2 * (crate::resume::MAX_ASIDE + 1);

/// How often one page may say which its successor will have; once is enough.
const MAX_ANNOUNCED: usize = 4;

/// How long after the first word any page is still believed: the page may have gone before the shop's page could keep what it had said.
/// Afterwards there is always a certificate that was kept before.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// What becomes of a page's word for its successor's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It counts, and the gateway is to make a leg for it.
    First,
    /// It has long counted.
    Again,
    /// It is no fingerprint, or one too many.
    Refused,
}

/// Whose the call is.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// Fingerprints, as in SDP (RFC 8122 section 5).
    known: VecDeque<String>,
    /// When the first was announced.
    since: Option<Instant>,
    /// The first was announced to a server before this one, long enough ago for any page to have kept it.
    is_restored: bool,
    /// That of the page that has the call, as it said in `hello`.
    of_page: Option<String>,
    /// That of its successor, for which the gateway has been told to make a leg.
    of_next: Option<String>,
    /// How often that page has announced one.
    announced: usize,
}

impl Certificates {
    /// Those that the record tells of.
    pub(crate) fn restored(written: Vec<String>) -> Self {
        let mut known: VecDeque<_> = written.into_iter().filter(|told| is_sha256(told)).collect();
        known.drain(..known.len().saturating_sub(MAX_CERTIFICATES));
        Self { is_restored: !known.is_empty(), known, ..Self::default() }
    }

    /// Whether a page that says it has this certificate may ask for the call.
    pub(crate) fn admit(&self, fingerprint: Option<&str>, now: Instant) -> bool {
        let is_bound = self.since.is_some_and(|since| now.saturating_duration_since(since) > BELIEVED_FOR);
        !(is_bound || self.is_restored)
            || fingerprint.is_some_and(|told| self.known.iter().any(|known| is_same(known, told)))
    }

    /// A page has the call that said it has this certificate.
    pub(crate) fn seat(&mut self, fingerprint: Option<String>) {
        (self.of_page, self.of_next, self.announced) = (fingerprint.filter(|told| is_sha256(told)), None, 0);
    }

    /// The gateway has no leg for the successor: one is to be made when the page says again which it will have.
    pub(crate) fn unprepare(&mut self) {
        if self.of_next.take().is_some() {
            self.announced = self.announced.saturating_sub(1);
        }
    }

    /// Whether the offer is under the certificate that its page said it has.
    pub(crate) fn are_of_page(&self, offer: &str) -> bool {
        let Some(told) = &self.of_page else { return true };
        of_sdp(offer).is_some_and(|offered| is_same(told, offered))
    }

    /// The page that has the call says which its successor will have, as it does whenever it learns that the call goes on.
    pub(crate) fn announce(&mut self, fingerprint: &str, now: Instant) -> Announced {
        if self.of_next.as_ref().is_some_and(|told| is_same(told, fingerprint)) {
            return Announced::Again;
        }
        if !is_sha256(fingerprint) || self.announced == MAX_ANNOUNCED {
            return Announced::Refused;
        }
        self.announced += 1;
        self.of_next = Some(fingerprint.to_owned());
        self.since.get_or_insert(now);
        for one in self.of_page.clone().into_iter().chain([fingerprint.to_owned()]) {
            self.known.retain(|known| !is_same(known, &one));
            if self.known.len() == MAX_CERTIFICATES {
                self.known.pop_front();
            }
            self.known.push_back(one);
        }
        Announced::First
    }
}

impl Call {
    /// Notes down which certificate the page's successor will have, and lets the gateway make a leg for it. `false` if it may not have one,
    /// or this is none.
    pub(crate) fn awaits(&mut self, fingerprint: &str, fx: &mut Effects<'_>) -> bool {
        let Stage::Live(CallState::Answered) = self.stage else { return false };
        let before = self.certificates.known.clone();
        let announced = self.certificates.announce(fingerprint, fx.now);
        if self.certificates.known != before {
            let known = self.certificates.known.iter().cloned().collect();
            self.record(Change::Certificates { known }, fx.now, fx);
        }
        if self.is_adrift {
            self.certificates.unprepare();
        } else if announced == Announced::First {
            self.command(Command::Prepare { call: self.id.clone(), fingerprint: fingerprint.to_owned() }, fx);
        }
        announced != Announced::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(octet: u8) -> String {
        format!("sha-256 {}", vec![format!("{octet:02X}"); 32].join(":"))
    }

    #[test]
    fn until_a_page_has_spoken_any_is_believed_and_then_only_those_that_were_announced() {
        let (mut certificates, begin) = (Certificates::default(), Instant::now());
        assert!(certificates.admit(None, begin));
        assert_eq!(certificates.announce(&fingerprint(1), begin), Announced::First);
        let (soon, later) = (begin + BELIEVED_FOR, begin + BELIEVED_FOR + Duration::from_millis(1));
        assert!(certificates.admit(None, soon), "the page may have gone before this was kept");
        assert!(!certificates.admit(None, later));
        assert!(!certificates.admit(Some(&fingerprint(2)), later));
        assert!(certificates.admit(Some(&fingerprint(1).to_lowercase()), later));
    }

    #[test]
    fn a_page_that_was_left_at_once_leaves_its_own_certificate_to_its_successor() {
        let (mut certificates, begin) = (Certificates::default(), Instant::now());
        let later = begin + Duration::from_secs(60);
        assert_eq!(certificates.announce(&fingerprint(1), begin), Announced::First);
        for page in 1..100 {
            certificates.seat(Some(fingerprint(page)));
            assert_eq!(certificates.announce(&fingerprint(page + 1), begin), Announced::First);
            assert!(certificates.admit(Some(&fingerprint(page)), later));
            assert!(certificates.admit(Some(&fingerprint(page + 1)), later));
            assert!(certificates.known.len() <= MAX_CERTIFICATES);
        }
        assert!(!certificates.admit(Some(&fingerprint(1)), later), "long gone");
    }

    #[test]
    fn those_that_were_written_bind_at_once_and_no_more_of_them_than_there_can_be() {
        let now = Instant::now();
        let written = (0..=MAX_CERTIFICATES).map(|octet| fingerprint(octet as u8)).collect();
        let mut certificates = Certificates::restored(written);
        assert!(!certificates.admit(None, now) && !certificates.admit(Some(&fingerprint(0)), now));
        assert!(certificates.admit(Some(&fingerprint(1)), now));
        assert_eq!(certificates.announce(&fingerprint(99), now), Announced::First);
        assert!(!certificates.admit(None, now), "that is another page's first word, and not the call's");
        assert_eq!(certificates.known.len(), MAX_CERTIFICATES);
        assert!(Certificates::restored(Vec::new()).admit(None, now));
    }

    #[test]
    fn what_is_no_fingerprint_binds_nothing_and_one_page_does_not_announce_for_ever() {
        let (mut certificates, now) = (Certificates::default(), Instant::now());
        assert_eq!(certificates.announce("sha-256 00", now), Announced::Refused);
        assert!(certificates.admit(None, now + Duration::from_secs(60)));
        for octet in 0..4 {
            assert_eq!(certificates.announce(&fingerprint(octet), now), Announced::First);
        }
        assert_eq!(certificates.announce(&fingerprint(9), now), Announced::Refused);
    }

    #[test]
    fn a_page_that_says_the_same_after_each_outage_is_not_refused_and_is_prepared_for_once() {
        let (mut certificates, now) = (Certificates::default(), Instant::now());
        assert_eq!(certificates.announce(&fingerprint(1), now), Announced::First);
        for _ in 0..100 {
            assert_eq!(certificates.announce(&fingerprint(1).to_lowercase(), now), Announced::Again);
        }
        for _ in 0..100 {
            certificates.unprepare();
            assert_eq!(certificates.announce(&fingerprint(1), now), Announced::First, "of another gateway");
        }
        assert!(certificates.admit(Some(&fingerprint(1)), now + Duration::from_secs(60)));
    }

    #[test]
    fn an_offer_must_be_under_the_certificate_that_hello_named() {
        let mut certificates = Certificates::default();
        let offer = |octet| format!("v=0\r\na=fingerprint:{}\r\n", fingerprint(octet));
        assert!(certificates.are_of_page(&offer(1)));
        certificates.seat(Some(fingerprint(1)));
        assert!(certificates.are_of_page(&offer(1)));
        assert!(!certificates.are_of_page(&offer(2)) && !certificates.are_of_page("v=0\r\n"));
    }
}
