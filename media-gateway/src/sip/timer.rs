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
        let interval = Duration::from_secs(parts.next()?.parse().ok()?);
        let refresher_is_uac = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("refresher").then(|| value.trim().eq_ignore_ascii_case("uac"))
        });
        Some(Self { interval, refresher_is_uac })
    }
}

/// A running session timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionTimer {
    pub(super) interval: Duration,
    pub(super) refresher: Refresher,
    /// When we refresh, or give the session up.
    pub(super) due: Instant,
}

impl SessionTimer {
    /// Starts it, or starts it again after a refresh.
    pub(super) fn start(interval: Duration, refresher: Refresher, now: Instant) -> Self {
        let interval = interval.clamp(FLOOR, CEILING);
        // RFC 4028 section 10: refresh at half-time; hang up min(32 s, a third) before the end.
        let after = match refresher {
            Refresher::Us => interval / 2,
            Refresher::Them => interval - (interval / 3).min(Duration::from_secs(32)),
        };
        Self { interval, refresher, due: now + after }
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
}
