//! Which offers of a call's pages go to the gateway, where each costs its one media thread time. Not here: what is in them.

use crate::MAX_OFFERS;
use crate::call::Call;
use protocol::offer;
use std::time::{Duration, Instant};

/// Offers that a call may make at once: a page offers when it comes, and again only after a path has broken or 3 s have passed, so
/// these are as many pages or breaks within a moment.
const AT_ONCE: u32 = 32;

/// How soon it may make one more after those.
const ANOTHER_AFTER: Duration = Duration::from_secs(1);

/// How many offers a call may still make: those of all its pages, since a page that takes a call up costs nothing.
#[derive(Debug, Default)]
pub(crate) struct OfferRate {
    /// When it may make [`AT_ONCE`] again.
    full_at: Option<Instant>,
}

impl OfferRate {
    /// Counts one offer; `false` when it is one too many, which does not count.
    fn admits(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + ANOTHER_AFTER;
        let is_in_time = full_at.duration_since(now) <= ANOTHER_AFTER * AT_ONCE;
        if is_in_time {
            self.full_at = Some(full_at);
        }
        is_in_time
    }
}

impl Call {
    /// Whether one more offer of the page goes to the gateway.
    pub(crate) fn takes_offer(&mut self, sdp: &str, now: Instant) -> bool {
        offer::is_fit(sdp)
            && self.said.offers < MAX_OFFERS
            && self.certificates.are_of_page(sdp)
            && self.offer_rate.admits(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_come_in_a_burst_and_then_one_a_second() {
        let (mut rate, begin) = (OfferRate::default(), Instant::now());
        assert_eq!((0..100).filter(|_| rate.admits(begin)).count(), AT_ONCE as usize);
        let soon = begin + ANOTHER_AFTER - Duration::from_millis(1);
        assert!(!rate.admits(soon));
        for second in 1..100 {
            let now = begin + ANOTHER_AFTER * second;
            assert!(rate.admits(now) && !rate.admits(now), "{second}");
        }
    }

    #[test]
    fn a_page_that_looks_for_a_path_every_three_seconds_is_never_refused() {
        let (mut rate, begin) = (OfferRate::default(), Instant::now());
        assert!((0..1_000).all(|time| rate.admits(begin + Duration::from_secs(3) * time)));
    }
}
