//! Session timers (RFC 4028): they find out that the far end has vanished without a BYE.
//!
//! We never ask for one ourselves; we keep what the far end asks for.

use std::time::Duration;
use tokio::time::Instant;

/// RFC 4028 section 4: nobody may be asked for a refresh more often than every 45 s.
pub(super) const MIN_SE: Duration = Duration::from_secs(90);

/// What we bear in a 2xx, which cannot be refused any more: a refresh a second.
const FLOOR: Duration = Duration::from_secs(2);

/// An interval that ends no call while the machine lives.
const CEILING: Duration = Duration::from_secs(24 * 3600);

/// How long the first refresh that was refused waits for the next: RFC 3261 section 14.1 has who made the call wait 2.1 s at least.
const FIRST_RETRY: Duration = Duration::from_millis(2100);

/// The longest wait between two refreshes that are refused is about half an hour.
const MAX_DOUBLINGS: u32 = 10;

/// Who sends the refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresher {
    Us,
    Them,
}

/// A `Session-Expires` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionExpires {
    pub(super) interval: Duration,
    /// Whether `refresher=uac` or `=uas` is said, from the view of the request at hand.
    pub(super) refresher_is_uac: Option<bool>,
}

impl SessionExpires {
    /// Reads the header: `1800;refresher=uac`. An unreadable one counts as absent.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let interval = seconds(parts.next()?)?;
        let refresher_is_uac = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("refresher").then(|| value.trim().eq_ignore_ascii_case("uac"))
        });
        Some(Self { interval, refresher_is_uac })
    }
}

/// Reads the seconds of a header's value: `90;parameter=…`, of which parameters say nothing.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    let digits = value.split(';').next()?.trim();
    Some(Duration::from_secs(digits.parse().ok()?).min(CEILING))
}

/// A running session timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionTimer {
    pub(super) interval: Duration,
    pub(super) refresher: Refresher,
    /// When we refresh, or give the session up.
    pub(super) due: Instant,
    /// When we give it up, whatever was tried until then.
    pub(super) end: Instant,
    /// Refreshes that were refused since the last that was not.
    refused: u32,
    /// One was sent at once that asked for what the refusal wanted.
    has_met: bool,
}

impl SessionTimer {
    /// Starts it, or starts it again after a refresh.
    pub(super) fn start(interval: Duration, refresher: Refresher, now: Instant) -> Self {
        let interval = interval.clamp(FLOOR, CEILING);
        // RFC 4028 section 10: refresh at half-time; hang up min(32 s, a third) before the end when the other side should have.
        let (due, end) = match refresher {
            Refresher::Us => (now + interval / 2, now + interval),
            Refresher::Them => {
                let end = now + interval - (interval / 3).min(Duration::from_secs(32));
                (end, end)
            }
        };
        Self { interval, refresher, due, end, refused: 0, has_met: false }
    }

    /// A refresh of ours was refused: the next comes later and later, and none moves the end. `at_once`: the refusal said what
    /// would not be refused, which is believed once.
    pub(super) fn refuse(&mut self, at_once: bool, now: Instant) {
        if self.refresher == Refresher::Them {
            // The far end has taken the refreshes over meanwhile.
            return;
        }
        let wait = if at_once && !std::mem::replace(&mut self.has_met, true) {
            Duration::ZERO
        } else {
            self.refused += 1;
            FIRST_RETRY.saturating_mul(1 << (self.refused - 1).min(MAX_DOUBLINGS))
        };
        self.due = (now + wait).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read() {
        let read = |value| SessionExpires::parse(value).map(|read| (read.interval.as_secs(), read.refresher_is_uac));
        assert_eq!(read("1800;refresher=uac"), Some((1800, Some(true))));
        assert_eq!(read(" 90 ; refresher = UAS"), Some((90, Some(false))));
        assert_eq!(read("3600"), Some((3600, None)));
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn refreshes_come_at_half_time_and_silence_ends_shortly_before_the_end() {
        let now = Instant::now();
        let due = |seconds, refresher| SessionTimer::start(Duration::from_secs(seconds), refresher, now).due - now;
        assert_eq!(due(1800, Refresher::Us), Duration::from_secs(900));
        assert_eq!(due(1800, Refresher::Them), Duration::from_secs(1768));
        assert_eq!(due(90, Refresher::Them), Duration::from_secs(60));
        assert_eq!(due(0, Refresher::Us), Duration::from_secs(1));
        let _ = due(u64::MAX, Refresher::Us);
    }

    #[test]
    fn refused_refreshes_come_ever_more_seldom_and_never_move_the_end() {
        let start = Instant::now();
        let mut timer = SessionTimer::start(Duration::from_secs(90), Refresher::Us, start);
        let (mut now, mut waits) = (timer.due, Vec::new());
        while now < timer.end {
            timer.refuse(false, now);
            waits.push(timer.due - now);
            now = timer.due;
        }
        let ms = |ms| Duration::from_millis(ms);
        assert_eq!(waits, [ms(2100), ms(4200), ms(8400), ms(16_800), ms(13_500)]);
        assert_eq!(timer.end - start, Duration::from_secs(90));
    }

    #[test]
    fn a_refusal_that_says_what_it_wants_is_met_at_once_and_but_once() {
        let now = Instant::now();
        let mut timer = SessionTimer::start(Duration::from_secs(90), Refresher::Us, now);
        timer.refuse(true, now);
        assert_eq!(timer.due, now);
        timer.refuse(true, now);
        assert_eq!(timer.due - now, FIRST_RETRY);
    }
}
