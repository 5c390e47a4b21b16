//! Whether it pays to wait for redundancy. What recovers a lost packet comes with the next one (Opus: RFC 6716, section 2.1.7), one
//! packet later; a buffer that follows jitter alone is often empty by then.

use crate::SampleRate;

/// Two losses within this time are more than chance; a single one is concealed as well as can be.
const APART_MS: u32 = 10_000;

/// For so long after the last loss it is waited.
const WAIT_MS: u32 = 15_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Redundancy {
    lost: Option<u64>,
    waits: bool,
}

impl Redundancy {
    pub(super) const fn new() -> Self {
        Self { lost: None, waits: false }
    }

    /// A packet is lost that the next one can recover, in time or not.
    pub(super) fn lost(&mut self, at: u64, rate: SampleRate) {
        self.waits |= self.lost.is_some_and(|lost| at.saturating_sub(lost) < u64::from(rate.samples(APART_MS)));
        self.lost = Some(at);
    }

    /// Tells the time.
    pub(super) fn handle_time(&mut self, at: u64, rate: SampleRate) {
        self.waits &= self.lost.is_some_and(|lost| at.saturating_sub(lost) < u64::from(rate.samples(WAIT_MS)));
    }

    /// Whether packets are held long enough for the one behind them to be there.
    pub(super) const fn is_waited_for(&self) -> bool {
        self.waits
    }
}
