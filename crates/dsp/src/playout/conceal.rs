//! Concealment by pitch repetition with fade: ITU-T G.711 Appendix I, at any rate. It differs in one thing: the Appendix delays all
//! audio by 3.75 ms to cross-fade into a loss; here the step at its beginning is spread over a quarter of a period instead.

use super::pcm::MAX_HISTORY;
use super::stretch::{Direction, best_lag, fade};
use crate::SampleRate;

/// The repeated signal fades from the end of this time on (clause I.2.7).
const HOLD_MS: u32 = 10;

/// After so long there is silence (clause I.2.7).
pub(super) const FADED_MS: u32 = 60;

/// The most periods that are repeated: one more per 10 ms of loss, lest one alone buzz (clause I.2.6).
const MAX_PERIODS: usize = 3;

#[derive(Clone, Debug)]
pub(super) struct Concealer {
    rate: SampleRate,
    history: [f32; MAX_HISTORY],
    period: usize,
    periods: usize,
    phase: usize,
    /// The cycle that is being left, its phase, and how far the cross-fade is.
    leaving: Option<(usize, usize, usize)>,
    step: f32,
    produced: usize,
}

impl Concealer {
    pub(super) const fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            history: [0.0; MAX_HISTORY],
            period: 1,
            periods: 1,
            phase: 0,
            leaving: None,
            step: 0.0,
            // Nothing has been heard, so nothing is continued.
            produced: rate.samples(FADED_MS) as usize,
        }
    }

    /// Begins to continue what `past` ends with.
    pub(super) fn start(&mut self, past: &[f32]) {
        let length = past.len().min(MAX_HISTORY);
        self.history.fill(0.0);
        if let (Some(to), Some(from)) = (self.history.get_mut(MAX_HISTORY - length..), past.get(past.len() - length..))
        {
            to.copy_from_slice(from);
        }
        // Clause I.2.3: pitches of 66 to 200 Hz, compared over 20 ms.
        let ms = |tenths: u32| self.rate.samples(tenths) as usize / 10;
        let window = ms(200);
        let found =
            best_lag(&self.history, MAX_HISTORY - window, window, (ms(50), ms(150)), Direction::Back, self.rate);
        self.period = found.map_or(ms(100), |found| found.lag).max(1);
        self.periods = 1;
        self.phase = 0;
        self.leaving = None;
        self.produced = 0;
        self.step = self.past(1) - self.past(self.period + 1);
    }

    pub(super) fn fill(&mut self, out: &mut [f32]) {
        out.iter_mut().for_each(|sample| *sample = self.next_sample());
    }

    /// Whether nothing is left of it.
    pub(super) fn is_faded(&self) -> bool {
        self.produced >= self.rate.samples(FADED_MS) as usize
    }

    /// How long the cross-fade back into real audio takes: a quarter of a period, 4 ms more per 10 ms of loss, 10 ms at most (clause
    /// I.2.8).
    pub(super) fn overlap(&self) -> usize {
        let ten = self.rate.samples(10) as usize;
        let lost = (self.produced / ten).min(3);
        (self.period / 4 + lost * self.rate.samples(4) as usize).min(ten)
    }

    pub(super) fn next_sample(&mut self) -> f32 {
        let ten = self.rate.samples(10) as usize;
        if self.produced == self.periods * ten && self.periods < MAX_PERIODS {
            // The same phase of the first period of a cycle that is one period longer.
            self.leaving = Some((self.periods, self.phase, 0));
            self.phase %= self.period;
            self.periods += 1;
        }
        let quarter = (self.period / 4).max(1);
        let mut sample = self.cycle(self.periods, self.phase);
        self.phase = (self.phase + 1) % (self.periods * self.period);
        if let Some((periods, phase, k)) = self.leaving {
            sample = fade(self.cycle(periods, phase), sample, k, quarter);
            self.leaving = (k + 1 < quarter).then_some((periods, (phase + 1) % (periods * self.period), k + 1));
        }
        if self.produced < quarter {
            sample += self.step * (1.0 - (self.produced as f32 + 0.5) / quarter as f32);
        }
        let (hold, faded) = (self.rate.samples(HOLD_MS) as usize, self.rate.samples(FADED_MS) as usize);
        let gain = 1.0 - self.produced.saturating_sub(hold) as f32 / (faded - hold) as f32;
        self.produced = self.produced.saturating_add(1).min(faded);
        sample * gain.max(0.0)
    }

    /// A cycle of the last periods; its last quarter leads over to its beginning, so that it can be repeated (clause I.2.4).
    fn cycle(&self, periods: usize, phase: usize) -> f32 {
        let (span, quarter) = (periods * self.period, (self.period / 4).max(1));
        let sample = self.past(span - phase);
        match (phase + quarter).checked_sub(span) {
            Some(k) => fade(sample, self.past(2 * span - phase), k, quarter),
            None => sample,
        }
    }

    /// The sample that lies `back` from the end.
    fn past(&self, back: usize) -> f32 {
        MAX_HISTORY.checked_sub(back).and_then(|at| self.history.get(at)).copied().unwrap_or_default()
    }
}
