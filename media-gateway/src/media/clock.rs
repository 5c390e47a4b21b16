//! The cadence of a bridge: one tick every 20 ms, for both ways, on a grid that a late thread does not shift.

use std::time::Instant;

use super::incoming::PIECE_TIME;

/// Ticks that are made up for at once, 200 ms: what is later than that nobody hears in its place, and playout holds no more.
const MAX_BEHIND: u32 = 10;

/// When the next piece is due.
#[derive(Debug, Default)]
pub(crate) struct Clock(Option<Instant>);

impl Clock {
    /// Ticks from `now` on, if it does not tick already.
    pub(crate) fn start(&mut self, now: Instant) {
        self.0.get_or_insert(now);
    }

    /// The moment of the tick that is due at `now`, if one is. To be asked until there is none.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Instant> {
        let due = self.0.filter(|due| *due <= now)?;
        let due = if now.duration_since(due) > PIECE_TIME * MAX_BEHIND { now } else { due };
        self.0 = Some(due + PIECE_TIME);
        Some(due)
    }

    /// When [`Self::tick`] has one.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_late_thread_makes_up_for_what_it_missed_but_not_for_ages() {
        let (start, mut clock) = (Instant::now(), Clock::default());
        assert_eq!((clock.tick(start), clock.poll_timeout()), (None, None));
        clock.start(start);
        clock.start(start + PIECE_TIME / 2);
        let mut ticks =
            |at: Duration| std::iter::from_fn(|| clock.tick(start + at)).map(|due| due - start).collect::<Vec<_>>();
        assert_eq!(ticks(Duration::ZERO), [Duration::ZERO]);
        assert_eq!(ticks(PIECE_TIME * 3 + PIECE_TIME / 2), [PIECE_TIME, PIECE_TIME * 2, PIECE_TIME * 3]);
        assert_eq!(ticks(Duration::from_secs(9)), [Duration::from_secs(9)]);
    }
}
