//! How many datagrams one leg may cost the media thread, which all calls share. Not here: who the sender is.

use std::time::{Duration, Instant};

use metrics::{Counter, counter};

/// One datagram in so much time, in the long run: five times what the smallest usual packets (10 ms), their RTCP and ICE's
/// checks come to.
const INTERVAL: Duration = Duration::from_millis(2);

/// What may come at once: some 8 s of packets of 20 ms that a path has held back, which playout sorts out.
const BURST: Duration = INTERVAL.saturating_mul(400);

/// One leg's share, by the generic cell rate algorithm (ITU-T I.371 annex A).
#[derive(Debug)]
pub(crate) struct Budget {
    /// When the next datagram would be due if they came one in an [`INTERVAL`]. `None` before the first.
    due: Option<Instant>,
    over: Counter,
}

impl Budget {
    /// A full share for a leg, `webrtc` or `sip` in the metrics.
    pub(crate) fn new(leg: &'static str) -> Self {
        Self { due: None, over: counter!("ringlet_datagrams_over_budget_total", "leg" => leg) }
    }

    /// Whether there is time for one more datagram. If not, it is counted and to be dropped unread.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = self.due.map_or(now, |due| due.max(now));
        if due.saturating_duration_since(now) > BURST {
            self.over.increment(1);
            return false;
        }
        self.due = Some(due + INTERVAL);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, count: u32, every: Duration, from: Instant) -> u32 {
        (0..count).map(|n| u32::from(budget.take(from + every * n))).sum()
    }

    #[test]
    fn a_leg_that_sends_what_calls_send_never_meets_its_limit() {
        let now = Instant::now();
        assert_eq!(taken(&mut Budget::new("sip"), 60_000, Duration::from_millis(5), now), 60_000);
        let mut held_back = Budget::new("sip");
        assert_eq!(taken(&mut held_back, 400, Duration::ZERO, now), 400);
        assert_eq!(taken(&mut held_back, 60_000, Duration::from_millis(20), now), 60_000);
    }

    #[test]
    fn a_flood_is_cut_to_its_share_and_over_when_it_ends() {
        let (mut budget, now) = (Budget::new("webrtc"), Instant::now());
        let second = taken(&mut budget, 100_000, Duration::from_micros(10), now);
        assert!((800..=1_000).contains(&second), "{second}");
        assert_eq!(taken(&mut budget, 400, Duration::from_millis(20), now + Duration::from_secs(2)), 400);
    }
}
