//! What the suppressor looks at: the powers of six bands every 4 ms, at a rate near 8 kHz whatever the stream's. Not how loud
//! anything is to the ear.

use crate::{SampleRate, dtmf::Complex};

/// Bands, from the fundamental of a low voice to the end of what a telephone carries.
pub(super) const BANDS: usize = 6;

/// Frames in a second.
pub(super) const FRAMES_PER_SECOND: u32 = 250;

/// Coefficients of the background's spectrum, and one.
pub(super) const LAGS: usize = 9;

/// Where the bands lie, Hz: each 1.5 times the one before.
const CENTRES: [f32; BANDS] = [320.0, 490.0, 750.0, 1_150.0, 1_750.0, 2_650.0];

/// Quality of each band's filter: neighbours meet at −3 dB.
const BAND_QUALITY: f32 = 2.4;

/// The end of what is analysed, Hz: decimation folds little below it.
const CUTOFF: f32 = 2_900.0;

/// The qualities of a fourth-order Butterworth filter's two halves.
const BUTTERWORTH: [f32; 2] = [0.541_196_1, 1.306_563];

/// Added to what filters take in: silence leaves them at this, 300 dB below full scale, and never at denormal numbers, which cost
/// some processors a hundred times a normal addition.
pub(super) const BIAS: f32 = 1e-15;

/// One frame of 4 ms.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Mean square in each band.
    pub(super) bands: [f32; BANDS],
    /// Autocorrelation at lags 0 to 8, a sample's mean.
    pub(super) correlation: [f32; LAGS],
}

/// Makes frames of samples.
#[derive(Clone, Debug)]
pub(super) struct Analysis {
    lowpass: Lowpass,
    bank: [Biquad; BANDS],
    decimation: u32,
    skipped: u32,
    frame_length: u32,
    taken: u32,
    powers: [f32; BANDS],
    correlation: [f32; LAGS],
    recent: [f32; LAGS],
}

impl Analysis {
    pub(super) fn new(rate: SampleRate) -> Self {
        let decimation = decimation(rate);
        let analysed = rate.hz() as f32 / decimation as f32;
        let mut bank = [Biquad::default(); BANDS];
        for (filter, centre) in bank.iter_mut().zip(CENTRES) {
            *filter = Biquad::bandpass(centre / analysed);
        }
        Self {
            lowpass: Lowpass::new(rate),
            bank,
            decimation,
            skipped: 0,
            frame_length: rate.hz() / decimation / FRAMES_PER_SECOND,
            taken: 0,
            powers: [0.0; BANDS],
            correlation: [0.0; LAGS],
            recent: [BIAS; LAGS],
        }
    }

    /// Takes a sample; a frame when one is complete.
    pub(super) fn push(&mut self, sample: f32) -> Option<Frame> {
        let low = self.lowpass.apply(sample);
        self.skipped += 1;
        if self.skipped < self.decimation {
            return None;
        }
        self.skipped = 0;
        push(&mut self.recent, low);
        for (sum, earlier) in self.correlation.iter_mut().zip(&self.recent) {
            *sum += low * earlier;
        }
        for (power, filter) in self.powers.iter_mut().zip(&mut self.bank) {
            let inside = filter.apply(low);
            *power += inside * inside;
        }
        self.taken += 1;
        if self.taken < self.frame_length {
            return None;
        }
        let mut frame = Frame { bands: self.powers, correlation: self.correlation };
        for sum in frame.bands.iter_mut().chain(&mut frame.correlation) {
            *sum /= self.frame_length as f32;
        }
        (self.taken, self.powers, self.correlation) = (0, [0.0; BANDS], [0.0; LAGS]);
        Some(frame)
    }
}

/// Puts the newest first, and moves the others on.
pub(super) fn push(recent: &mut [f32], newest: f32) {
    recent.iter_mut().fold(newest, |carried, slot| core::mem::replace(slot, carried));
}

/// How many samples make one that is analysed.
pub(super) fn decimation(rate: SampleRate) -> u32 {
    ((rate.hz() + 4_000) / 8_000).max(1)
}

/// Fourth order, down to what is analysed; or up again, which is the same.
#[derive(Clone, Debug)]
pub(super) struct Lowpass([Biquad; 2]);

impl Lowpass {
    pub(super) fn new(rate: SampleRate) -> Self {
        Self(BUTTERWORTH.map(|quality| Biquad::lowpass(CUTOFF / rate.hz() as f32, quality)))
    }

    pub(super) fn apply(&mut self, sample: f32) -> f32 {
        self.0.iter_mut().fold(sample, |sample, half| half.apply(sample))
    }
}

/// Second-order filter, transposed direct form II.
#[derive(Clone, Copy, Debug, Default)]
struct Biquad {
    b: [f32; 3],
    a: [f32; 2],
    state: [f32; 2],
}

impl Biquad {
    /// `turn` is the cut-off as a share of the rate.
    fn lowpass(turn: f32, quality: f32) -> Self {
        let Complex { re: cosine, im: sine } = Complex::unit(f64::from(turn));
        let (alpha, flank) = (sine / (2.0 * quality), 1.0 - cosine);
        Self::normal([flank / 2.0, flank, flank / 2.0], alpha, cosine)
    }

    /// Gain 1 at the centre.
    fn bandpass(turn: f32) -> Self {
        let Complex { re: cosine, im: sine } = Complex::unit(f64::from(turn));
        let alpha = sine / (2.0 * BAND_QUALITY);
        Self::normal([alpha, 0.0, -alpha], alpha, cosine)
    }

    fn normal(b: [f32; 3], alpha: f32, cosine: f32) -> Self {
        let a0 = 1.0 + alpha;
        Self { b: b.map(|b| b / a0), a: [-2.0 * cosine / a0, (1.0 - alpha) / a0], state: [0.0; 2] }
    }

    fn apply(&mut self, sample: f32) -> f32 {
        let (x, [b0, b1, b2], [a1, a2]) = (sample + BIAS, self.b, self.a);
        let y = b0 * x + self.state[0];
        self.state = [b1 * x - a1 * y + self.state[1], b2 * x - a2 * y];
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dbm0, Dbov, Hertz, testing::rates, tone::Sine};

    #[test]
    fn a_tone_shows_in_its_band_at_every_rate_and_little_elsewhere() {
        for rate in rates() {
            let (mut analysis, mut sine) = (Analysis::new(rate), Sine::new(rate, Hertz(750.0), Dbm0(-10.0)));
            let frame = (0..rate.samples(100)).filter_map(|_| analysis.push(sine.next_sample())).last().unwrap();
            let level = |band: usize| Dbov::from_mean_square(frame.bands[band]).0;
            assert!((level(2) - Dbm0(-10.0).to_dbov().0).abs() < 1.0, "{} at {rate:?}", level(2));
            assert!(level(1) < level(2) - 4.0 && level(3) < level(2) - 4.0 && level(5) < level(2) - 14.0, "{frame:?}");
        }
    }

    #[test]
    fn silence_leaves_no_denormal_numbers_behind() {
        let rate = SampleRate::HZ_48000;
        let mut analysis = Analysis::new(rate);
        let mut samples = (0..rate.hz()).map(|at| if at < 480 { 0.5 } else { 0.0 });
        let frame = samples.by_ref().filter_map(|sample| analysis.push(sample)).last().unwrap();
        assert!(frame.bands.iter().all(|power| *power < 1e-25));
        let filters = analysis.lowpass.0.iter().chain(&analysis.bank);
        let mut states = filters.flat_map(|filter| filter.state);
        assert!(states.all(|state| state == 0.0 || state.is_normal()), "{analysis:?}");
    }
}
