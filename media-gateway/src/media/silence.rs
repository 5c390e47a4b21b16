//! The RTP time-out: a far end that has answered and then sends neither RTP nor RTCP is gone, and nobody will send its BYE.
//!
//! One that holds the call may send nothing for as long as it likes: only where the SDP says that audio flows both ways is silence
//! an end.

use std::time::{Duration, Instant};

/// Watches one far end.
#[derive(Debug, Default)]
pub(crate) struct SilenceWatch {
    /// How long it may be silent; `None`: for ever.
    limit: Option<Duration>,
    is_answered: bool,
    /// Whether audio is to flow both ways.
    is_talking: bool,
    heard: Option<Instant>,
    is_told: bool,
}

impl SilenceWatch {
    /// So long may it be silent; `None`: for ever.
    pub(crate) fn limit(&mut self, limit: Option<Duration>) {
        self.limit = limit;
    }

    /// The far end has answered.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.is_answered = true;
        self.heard(now);
    }

    /// What was agreed on: whether audio is to flow both ways.
    pub(crate) fn agreed(&mut self, is_talking: bool, now: Instant) {
        self.is_talking = is_talking;
        self.heard(now);
    }

    /// RTP or RTCP came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// When [`Self::has_passed`] is to be asked.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let is_watched = self.is_answered && self.is_talking && !self.is_told;
        self.heard.zip(self.limit).filter(|_| is_watched).map(|(heard, limit)| heard + limit)
    }

    /// For how long it has been silent, when that is too long. Said once.
    pub(crate) fn has_passed(&mut self, now: Instant) -> Option<Duration> {
        self.poll_timeout().filter(|at| *at <= now)?;
        self.is_told = true;
        self.heard.map(|heard| now.saturating_duration_since(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn watch(now: Instant) -> SilenceWatch {
        let mut watch = SilenceWatch::default();
        watch.limit(Some(LIMIT));
        watch.agreed(true, now);
        watch
    }

    #[test]
    fn silence_counts_from_the_answer_and_from_the_last_packet_and_is_told_once() {
        let (mut watch, now) = (watch(Instant::now()), Instant::now());
        assert_eq!(watch.poll_timeout(), None, "it rings");
        watch.answered(now);
        assert_eq!(watch.poll_timeout(), Some(now + LIMIT));
        let last = now + LIMIT - Duration::from_millis(1);
        assert_eq!(watch.has_passed(last), None);
        watch.heard(last);
        assert_eq!(watch.has_passed(now + LIMIT), None);
        assert_eq!(watch.has_passed(last + LIMIT), Some(LIMIT));
        assert_eq!((watch.has_passed(last + LIMIT * 2), watch.poll_timeout()), (None, None));
    }

    #[test]
    fn a_far_end_that_holds_may_be_silent_and_is_watched_anew_afterwards() {
        let now = Instant::now();
        let mut watch = watch(now);
        watch.answered(now);
        watch.agreed(false, now);
        assert_eq!((watch.poll_timeout(), watch.has_passed(now + LIMIT * 100)), (None, None));
        let later = now + LIMIT * 100;
        watch.agreed(true, later);
        assert_eq!(watch.poll_timeout(), Some(later + LIMIT));
    }

    #[test]
    fn without_a_limit_nothing_is_watched() {
        let now = Instant::now();
        let mut watch = watch(now);
        watch.limit(None);
        watch.answered(now);
        assert_eq!((watch.poll_timeout(), watch.has_passed(now + LIMIT * 100)), (None, None));
    }
}
