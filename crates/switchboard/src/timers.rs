//! A call's timers: one slot per kind. The switchboard orders the calls by their earliest one.

use std::time::Instant;

/// What a call may wait for. The values are slots of the [`TimerTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Offer and microphone.
    Setup = 0,
    /// The trunk's first response to the INVITE.
    TrunkResponse = 1,
    /// Somebody to answer.
    NoAnswer = 2,
    /// The audio path to the browser, to come about or to come back.
    Media = 3,
    /// The visitor to come back.
    Visitor = 4,
    /// The page that has the call to be lost, where another page asks for it.
    Contest = 5,
    /// The longest call.
    Duration = 6,
    /// The gateway to confirm the release.
    Release = 7,
    /// The gateway to be there again.
    Gateway = 8,
    /// The far end's next key, or the table of commands.
    Keys = 9,
    /// A command to be carried out.
    Command = 10,
}

impl Timer {
    const ALL: [Self; 11] = [
        Self::Setup,
        Self::TrunkResponse,
        Self::NoAnswer,
        Self::Media,
        Self::Visitor,
        Self::Contest,
        Self::Duration,
        Self::Release,
        Self::Gateway,
        Self::Keys,
        Self::Command,
    ];
}

/// When each timer of one call expires.
#[derive(Debug, Default)]
pub(crate) struct TimerTable([Option<Instant>; Timer::ALL.len()]);

impl TimerTable {
    /// Starts the timer, or moves it.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        self.set(timer, Some(at));
    }

    /// Stops the timer.
    pub(crate) fn disarm(&mut self, timer: Timer) {
        self.set(timer, None);
    }

    /// Stops every timer.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Stops all timers but these.
    pub(crate) fn keep(&mut self, kept: [Timer; 2]) {
        let before = std::mem::take(self);
        for timer in kept {
            self.set(timer, before.get(timer));
        }
    }

    /// When the timer expires; `None` when it does not run.
    pub(crate) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0.get(timer as usize).copied().flatten()
    }

    /// The earliest expiry.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Stops one timer that has expired by `now` and tells which: the earliest, the first slot among equals.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Timer> {
        let next = self.next().filter(|at| *at <= now)?;
        let timer = Timer::ALL.into_iter().zip(self.0).find_map(|(timer, at)| (at == Some(next)).then_some(timer))?;
        self.disarm(timer);
        Some(timer)
    }

    /// How many timers run.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    fn set(&mut self, timer: Timer, at: Option<Instant>) {
        if let Some(slot) = self.0.get_mut(timer as usize) {
            *slot = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_expire_in_the_order_of_their_times_and_each_once() {
        let now = Instant::now();
        let mut table = TimerTable::default();
        for (seconds, timer) in [3, 1, 2, 4, 0, 7, 6, 5, 10, 9, 8].into_iter().zip(Timer::ALL) {
            table.arm(timer, now + Duration::from_secs(seconds));
        }
        let late = now + Duration::from_secs(5);
        let expired: Vec<_> = std::iter::from_fn(|| table.pop_expired(late)).collect();
        let order = [Timer::Visitor, Timer::TrunkResponse, Timer::NoAnswer, Timer::Setup, Timer::Media, Timer::Release];
        assert_eq!(expired, order);
        assert_eq!(table.next(), Some(now + Duration::from_secs(6)));
        assert_eq!(table.len(), 5);
    }
}
