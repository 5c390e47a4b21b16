//! What the suppressor looks at: the powers of seven bands every 4 ms, six of them at a rate near 8 kHz whatever the stream's. Not how
//! loud anything is to the ear.

use crate::{SampleRate, dtmf::Complex};

/// Bands, from the fundamental of a low voice to the end of what a telephone carries, and all that lies above.
pub(super) const BANDS: usize = 7;

/// The band above the telephone's: the far end has next to nothing there, and an *s* or a *t* at the microphone has most.
pub(super) const ABOVE: usize = BANDS - 1;

/// Frames in a second.
pub(super) const FRAMES_PER_SECOND: u32 = 250;

/// Coefficients of the background's spectrum, and one.
pub(super) const LAGS: usize = 9;

/// Where the bands lie, Hz: each 1.5 times the one before.
const CENTRES: [f32; ABOVE] = [320.0, 490.0, 750.0, 1_150.0, 1_750.0, 2_650.0];

/// Quality of each band's filter: neighbours meet at −3 dB.
const BAND_QUALITY: f32 = 2.4;

/// The least rate that is split in two, Hz.
const SPLIT: u32 = 14_000;

/// Samples of the longest frame, which a rate just below [`SPLIT`] has.
const LONGEST_FRAME: usize = 56;

/// All-passes of the newer and of the older of two samples. Their sum is what lies below a quarter of the rate and their difference what
/// lies above, 53 dB apart from a tenth beyond it on (Valenzuela and Constantinides 1983).
const NEWER: [f32; 2] = [0.120_732_12, 0.663_202_05];
const OLDER: [f32; 2] = [0.390_362_2, 0.890_786_8];

/// Added to what filters take in: silence leaves them at this, 300 dB below full scale, and never at denormal numbers, which cost
/// some processors a hundred times a normal addition.
pub(super) const BIAS: f32 = 1e-15;

/// Mean squares of one frame of 4 ms, by band.
pub(super) type Frame = [f32; BANDS];

/// Makes frames of samples.
#[derive(Clone, Debug)]
pub(super) struct Analysis {
    /// So many samples are taken for their mean: what that folds down is the microphone's own, and telephones carry none of it.
    meaned: u32,
    skipped: u32,
    sum: f32,
    split: Option<Split>,
    bank: [Band; ABOVE],
    /// What the bank took in two samples ago, the older at 1.
    before: [f32; 2],
    frame_length: usize,
    taken: usize,
    powers: Frame,
    /// The frame's samples below 4 kHz.
    low: [f32; LONGEST_FRAME],
}

impl Analysis {
    pub(super) fn new(rate: SampleRate) -> Self {
        let analysed = rate.hz() as f32 / decimation(rate) as f32;
        Self {
            meaned: (rate.hz() / SPLIT).max(1),
            skipped: 0,
            sum: 0.0,
            split: (rate.hz() >= SPLIT).then(Split::default),
            bank: CENTRES.map(|centre| Band::new(centre / analysed)),
            before: [0.0; 2],
            frame_length: (rate.hz() / decimation(rate) / FRAMES_PER_SECOND) as usize,
            taken: 0,
            powers: [0.0; BANDS],
            low: [0.0; LONGEST_FRAME],
        }
    }

    /// Takes a sample; a frame when one is complete.
    pub(super) fn push(&mut self, sample: f32) -> Option<Frame> {
        self.sum += sample;
        self.skipped += 1;
        if self.skipped < self.meaned {
            return None;
        }
        let mean = self.sum / self.meaned as f32 + BIAS;
        (self.skipped, self.sum) = (0, 0.0);
        let (low, high) = match &mut self.split {
            Some(split) => split.push(mean)?,
            None => (mean, 0.0),
        };
        self.take(low, high)
    }

    fn take(&mut self, low: f32, high: f32) -> Option<Frame> {
        let difference = low - self.before[1] + BIAS;
        self.before = [low, self.before[0]];
        for (power, band) in self.powers.iter_mut().zip(&mut self.bank) {
            let inside = band.apply(difference);
            *power += inside * inside;
        }
        self.powers[ABOVE] += high * high;
        if let Some(slot) = self.low.get_mut(self.taken) {
            *slot = low;
        }
        self.taken += 1;
        if self.taken < self.frame_length {
            return None;
        }
        self.taken = 0;
        let length = self.frame_length as f32;
        Some(core::mem::replace(&mut self.powers, [0.0; BANDS]).map(|sum| sum / length))
    }

    /// The autocorrelation of the frame just completed at lags 0 to 8, a sample's mean. It takes as long as all the rest of a frame,
    /// and is asked for where there is nothing but background.
    pub(super) fn correlation(&self) -> [f32; LAGS] {
        let frame = self.low.get(..self.frame_length).unwrap_or_default();
        core::array::from_fn(|lag| {
            let products = frame.iter().zip(frame.iter().skip(lag)).map(|(earlier, later)| earlier * later);
            products.sum::<f32>() / frame.len() as f32
        })
    }
}

/// How many samples make one that is analysed, and that is made of comfort noise.
pub(super) fn decimation(rate: SampleRate) -> u32 {
    (rate.hz() / SPLIT * 2).max(1)
}

/// Puts the newest first, and moves the others on.
pub(super) fn push(recent: &mut [f32], newest: f32) {
    recent.iter_mut().fold(newest, |carried, slot| core::mem::replace(slot, carried));
}

/// Two half-bands, each at half the rate.
#[derive(Clone, Debug, Default)]
struct Split {
    older: Option<f32>,
    /// What each all-pass took in and gave out before.
    newer_memory: [[f32; 2]; 2],
    older_memory: [[f32; 2]; 2],
}

impl Split {
    /// The lower and the upper band, for every second sample.
    fn push(&mut self, sample: f32) -> Option<(f32, f32)> {
        let Some(older) = self.older.take() else {
            self.older = Some(sample);
            return None;
        };
        let (newer, older) =
            (all_pass(sample, NEWER, &mut self.newer_memory), all_pass(older, OLDER, &mut self.older_memory));
        Some((0.5 * (newer + older), 0.5 * (newer - older)))
    }
}

fn all_pass(sample: f32, coefficients: [f32; 2], memory: &mut [[f32; 2]; 2]) -> f32 {
    coefficients.iter().zip(memory).fold(sample, |sample, (coefficient, memory)| {
        let out = coefficient * (sample - memory[1]) + memory[0];
        *memory = [sample, out];
        out
    })
}

/// Second-order band-pass with a gain of 1 at its centre, direct form I.
#[derive(Clone, Copy, Debug)]
struct Band {
    b: f32,
    a: [f32; 2],
    memory: [f32; 2],
}

impl Band {
    /// `turn` is the centre as a share of the rate.
    fn new(turn: f32) -> Self {
        let Complex { re: cosine, im: sine } = Complex::unit(f64::from(turn));
        let alpha = sine / (2.0 * BAND_QUALITY);
        let a0 = 1.0 + alpha;
        Self { b: alpha / a0, a: [2.0 * cosine / a0, (alpha - 1.0) / a0], memory: [0.0; 2] }
    }

    /// Takes what all bands have in common: a sample less the one before the last.
    fn apply(&mut self, difference: f32) -> f32 {
        let out = self.b * difference + self.a[0] * self.memory[0] + self.a[1] * self.memory[1];
        self.memory = [out, self.memory[0]];
        out
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
            let level = |band: usize| Dbov::from_mean_square(frame[band]).0;
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
        assert!(frame.iter().all(|power| *power < 1e-25));
        let split = analysis.split.unwrap();
        let halves = split.newer_memory.iter().chain(&split.older_memory).flatten();
        let mut states = halves.chain(analysis.bank.iter().flat_map(|band| &band.memory)).copied();
        assert!(states.all(|state| state == 0.0 || state.is_normal()));
    }
}
