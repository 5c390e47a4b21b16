//! What an offer of a browser may be before anybody parses it, which costs more the more there is. Not here: what it means.

use crate::visitor::MAX_OFFER_BYTES;

/// Whether it is short enough and has no more than the one media section (RFC 8866 section 5.14) that the panel offers.
pub fn is_fit(sdp: &str) -> bool {
    let sections = sdp.split(['\r', '\n']).filter(|line| line.starts_with("m="));
    sdp.len() <= MAX_OFFER_BYTES && sections.count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    const BROWSERS: [&str; 2] = [
        include_str!("../../../media-gateway/src/media/webrtc/fixtures/chromium-156-offer.sdp"),
        include_str!("../../../media-gateway/src/media/webrtc/fixtures/firefox-153-offer.sdp"),
    ];

    #[test]
    fn browsers_offers_fit_with_as_many_candidates_as_a_machine_has() {
        let candidate = "a=candidate:1467250027 1 udp 2122260223 2001:db8:1234:5678:9abc:def0:1234:5678 46243 typ host \
                         generation 0 ufrag abcd network-id 1 network-cost 10\r\n";
        for offer in BROWSERS {
            assert!(is_fit(offer));
            assert!(is_fit(&(String::from(offer) + &candidate.repeat(64))));
        }
    }

    #[test]
    fn an_offer_of_two_sections_or_without_end_is_not_fit() {
        let [chromium, _] = BROWSERS;
        for section in ["m=audio", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "m=application 9 UDP/DTLS/SCTP x\n"] {
            assert!(!is_fit(&(String::from(chromium) + section)), "{section}");
        }
        assert!(is_fit(&"x".repeat(MAX_OFFER_BYTES)) && !is_fit(&"x".repeat(MAX_OFFER_BYTES + 1)));
    }
}
