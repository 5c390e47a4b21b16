//! Between the 8 kHz of telephony and an audio context's rate, one sample at a time: windowed-sinc interpolation (Smith and Gossett,
//! ICASSP 1984), flat within 0.1 dB to 3.4 kHz and 50 dB down from 4.2 kHz on. It delays by 2 ms each way.
//!
//! Deliberately not here: other pairs of rates, and the clocks of both sides drifting apart, which playout makes up for.

use crate::SampleRate;

/// The kernel's zero crossings on each side, which is its reach in samples at 8 kHz.
const REACH: usize = 16;

/// Entries of the table for each sample at 8 kHz: a multiple of 24, so that at all multiples of 8 kHz up to 192 kHz no entry is guessed.
const STEPS: usize = 96;

/// The table's entries: half of the kernel, which is symmetric.
const ENTRIES: usize = REACH * STEPS + 1;

/// Twice the cut-off, as a share of 8 kHz: 3.8 kHz, in the middle between 3.4 and 4.2.
const BANDWIDTH: f32 = 0.95;

/// Kaiser's β for 55 dB in the stop band.
const BETA: f32 = 5.0;

/// Samples of a context that the kernel spans: at 192 kHz, 24 for each at 8 kHz.
const MAX_TAPS: usize = 2 * REACH * 24;

const LINE: f32 = 8_000.0;

/// The impulse response, in a table.
#[derive(Clone, Debug)]
pub struct Kernel([f32; ENTRIES]);

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernel {
    /// Computes the table: some 100 µs.
    pub fn new() -> Self {
        let scale = 1.0 / bessel(BETA);
        Self(core::array::from_fn(|at| {
            let x = at as f32 / STEPS as f32;
            let ratio = x / REACH as f32;
            let window = bessel(BETA * libm::sqrtf((1.0 - ratio * ratio).max(0.0))) * scale;
            let angle = core::f32::consts::PI * BANDWIDTH * x;
            let sinc = if at == 0 { 1.0 } else { libm::sinf(angle) / angle };
            BANDWIDTH * sinc * window
        }))
    }

    /// At `position` entries from the middle, either way; between entries the line between them.
    fn at(&self, position: f32) -> f32 {
        let position = if position < 0.0 { -position } else { position };
        let whole = position as usize;
        let (Some(&a), Some(&b)) = (self.0.get(whole), self.0.get(whole + 1)) else { return 0.0 };
        a + (b - a) * (position - whole as f32)
    }
}

/// Modified Bessel function of the first kind and order 0, by its series; 20 terms are exact enough for arguments up to 8.
fn bessel(x: f32) -> f32 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..=20 {
        term *= quarter / (k * k) as f32;
        sum += term;
    }
    sum
}

/// The newest samples, of which a kernel spans some.
#[derive(Clone, Debug)]
struct Window<const N: usize> {
    samples: [f32; N],
    newest: usize,
}

impl<const N: usize> Window<N> {
    const fn new() -> Self {
        Self { samples: [0.0; N], newest: 0 }
    }

    fn push(&mut self, sample: f32) {
        self.newest = (self.newest + 1) % N;
        if let Some(slot) = self.samples.get_mut(self.newest) {
            *slot = sample;
        }
    }

    /// The newest `count`, the newest first.
    fn iter(&self, count: usize) -> impl Iterator<Item = f32> {
        let (new, old) = self.samples.split_at(self.newest + 1);
        new.iter().rev().chain(old.iter().rev()).take(count).copied()
    }
}

/// From a context's rate to 8 kHz.
#[derive(Clone, Debug)]
pub struct Decimator {
    window: Window<MAX_TAPS>,
    rate: u32,
    taps: usize,
    /// Time since the last sample at 8 kHz, in units of 1/(8,000 · rate) s.
    phase: u32,
}

impl Decimator {
    /// For samples of `rate`, 8 kHz to 192 kHz.
    pub fn new(rate: SampleRate) -> Self {
        let taps = (2 * REACH * rate.hz() as usize).div_ceil(8_000).min(MAX_TAPS);
        Self { window: Window::new(), rate: rate.hz(), taps, phase: 0 }
    }

    /// Takes a sample; gives one at 8 kHz when one is due.
    pub fn push(&mut self, sample: f32, kernel: &Kernel) -> Option<f32> {
        self.window.push(sample);
        self.phase += 8_000;
        if self.phase < self.rate {
            return None;
        }
        self.phase -= self.rate;
        // The sample at 8 kHz lies before the newest one by what is left of the phase.
        let step = STEPS as f32 * LINE / self.rate as f32;
        let start = -((REACH * STEPS) as f32) - self.phase as f32 / self.rate as f32 * STEPS as f32;
        let taps = self.window.iter(self.taps).enumerate();
        let sum: f32 = taps.map(|(age, sample)| sample * kernel.at(start + age as f32 * step)).sum();
        Some(sum * LINE / self.rate as f32)
    }
}

/// From 8 kHz to a context's rate.
#[derive(Clone, Debug)]
pub struct Interpolator {
    window: Window<{ 2 * REACH }>,
    rate: u32,
    /// How far behind the newest sample at 8 kHz the next one is due, in units of 1/(8,000 · rate) s.
    phase: u32,
}

impl Interpolator {
    /// To samples of `rate`, 8 kHz to 192 kHz.
    pub const fn new(rate: SampleRate) -> Self {
        Self { window: Window::new(), rate: rate.hz(), phase: 0 }
    }

    /// The next sample; `pull` gives the next one at 8 kHz, and is asked when that is needed.
    pub fn next(&mut self, kernel: &Kernel, pull: impl FnOnce() -> f32) -> f32 {
        self.phase += 8_000;
        if self.phase >= self.rate {
            self.phase -= self.rate;
            self.window.push(pull());
        }
        let start = self.phase as f32 / self.rate as f32 * STEPS as f32 - (REACH * STEPS) as f32;
        let taps = self.window.iter(2 * REACH).enumerate();
        taps.map(|(age, sample)| sample * kernel.at(start + (age * STEPS) as f32)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;
    use crate::{Dbm0, Hertz, spectrum};
    use std::vec::Vec;

    const RATES: [u32; 6] = [8_000, 16_000, 44_100, 48_000, 96_000, 192_000];

    fn down(rate: SampleRate, hz: f32) -> f32 {
        let (kernel, mut decimator) = (Kernel::new(), Decimator::new(rate));
        let mut sine = Sine::new(rate, Hertz(hz), Dbm0(-10.0));
        let samples: Vec<f32> = (0..rate.hz()).filter_map(|_| decimator.push(sine.next_sample(), &kernel)).collect();
        assert_eq!(samples.len(), 8_000, "{} Hz", rate.hz());
        // What is beyond half of 8 kHz is mirrored.
        let seen = if hz > 4_000.0 { 8_000.0 - hz } else { hz };
        spectrum::tone_level(&samples[800..], SampleRate::HZ_8000, Hertz(seen)).0 - Dbm0(-10.0).to_dbov().0
    }

    fn up(rate: SampleRate, hz: f32, at: f32) -> f32 {
        let (kernel, mut interpolator) = (Kernel::new(), Interpolator::new(rate));
        let mut sine = Sine::new(SampleRate::HZ_8000, Hertz(hz), Dbm0(-10.0));
        let mut pulled = 0;
        let samples: Vec<f32> = (0..rate.hz())
            .map(|_| {
                interpolator.next(&kernel, || {
                    pulled += 1;
                    sine.next_sample()
                })
            })
            .collect();
        assert_eq!(pulled, 8_000, "{} Hz", rate.hz());
        let from = rate.hz() as usize / 10;
        spectrum::tone_level(&samples[from..], rate, Hertz(at)).0 - Dbm0(-10.0).to_dbov().0
    }

    #[test]
    fn speech_passes_both_ways_and_what_is_beyond_does_not() {
        for hz in RATES {
            let rate = SampleRate::new(hz).unwrap();
            for tone in [100.0, 1_000.0, 3_000.0, 3_400.0] {
                let (down, up) = (down(rate, tone), up(rate, tone, tone));
                assert!(down.abs() < 0.2, "{tone} Hz from {hz}: {down} dB");
                assert!(up.abs() < 0.2, "{tone} Hz to {hz}: {up} dB");
            }
            if hz > 8_000 {
                let alias = down(rate, 5_000.0);
                assert!(alias < -50.0, "5 kHz from {hz}: {alias} dB");
                let image = up(rate, 3_000.0, 5_000.0);
                assert!(image < -50.0, "an image at {hz}: {image} dB");
            }
        }
    }

    #[test]
    fn there_and_back_delays_by_four_milliseconds() {
        let rate = SampleRate::HZ_48000;
        let (kernel, mut down, mut up) = (Kernel::new(), Decimator::new(rate), Interpolator::new(rate));
        let mut line = 0.0;
        let response: Vec<f32> = (0..600)
            .map(|at| {
                let sample = down.push(if at == 5 { 1.0 } else { 0.0 }, &kernel);
                up.next(&kernel, || {
                    line = sample.unwrap_or(line);
                    line
                })
            })
            .collect();
        let peak = response.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at).unwrap();
        assert!((190..=210).contains(&peak), "{peak} samples");
    }
}
