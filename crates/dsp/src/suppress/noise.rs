//! Comfort noise: noise with the level and, up to 3 kHz, the spectrum of the background that was learned. Linear prediction of order 8
//! (Levinson's recursion), as in ITU-T G.711 Appendix II; not a recording, whose loop would be heard.

use super::analysis::{BIAS, LAGS, decimation, push};
use crate::{SampleRate, white::WhiteNoise};

/// Order of the prediction.
const ORDER: usize = LAGS - 1;

/// How much of the next frame goes into what is known of the background: a time constant of a quarter of a second.
const LEARNING: f32 = 1.0 / 64.0;

/// White noise added to the background, so that a background of one pure tone still gives a stable filter.
const WHITENING: f32 = 1.001;

/// What is louder than this is no background, −30 dBov.
const LOUDEST: f32 = 1e-3;

/// The largest reflection coefficient: the filter rings for 25 ms at most.
const MAX_REFLECTION: f32 = 0.98;

/// What was learned, and noise like it.
#[derive(Clone, Debug)]
pub(super) struct ComfortNoise {
    correlation: [f32; LAGS],
    frames: u32,
    predictor: [f32; ORDER],
    amplitude: f32,
    recent: [f32; ORDER],
    white: WhiteNoise,
    decimation: u32,
    left: u32,
    step: f32,
    sample: f32,
}

impl ComfortNoise {
    pub(super) fn new(rate: SampleRate) -> Self {
        Self {
            correlation: [0.0; LAGS],
            frames: 0,
            predictor: [0.0; ORDER],
            amplitude: 0.0,
            recent: [BIAS; ORDER],
            white: WhiteNoise::new(),
            decimation: decimation(rate),
            left: 0,
            step: 0.0,
            sample: 0.0,
        }
    }

    /// Takes the autocorrelation of a frame that is background and nothing else.
    pub(super) fn learn(&mut self, correlation: &[f32; LAGS]) {
        if correlation[0] > LOUDEST {
            return;
        }
        self.frames += 1;
        // The first frames count alike, later ones fade.
        let step = LEARNING.max(1.0 / self.frames as f32);
        for (known, new) in self.correlation.iter_mut().zip(correlation) {
            *known += step * (new - *known);
        }
        self.frames = self.frames.min(1_000);
        self.predict();
    }

    /// The next sample, at the stream's rate: on the straight line from one that was drawn to the next. What that leaves above 4 kHz
    /// no telephone carries.
    pub(super) fn next_sample(&mut self) -> f32 {
        if self.left == 0 {
            self.left = self.decimation;
            self.step = (self.draw() - self.sample) / self.decimation as f32;
        }
        self.left -= 1;
        self.sample += self.step;
        self.sample
    }

    fn draw(&mut self) -> f32 {
        let white = self.white.next_sample();
        let past: f32 = self.predictor.iter().zip(&self.recent).map(|(weight, sample)| weight * sample).sum();
        let sample = self.amplitude * white + past + BIAS;
        push(&mut self.recent, sample);
        sample
    }

    /// Levinson's recursion.
    fn predict(&mut self) {
        let power = self.correlation.first().copied().unwrap_or_default() * WHITENING;
        let (mut weights, mut error) = ([0.0_f32; ORDER], power);
        for order in 0..ORDER {
            if error <= BIAS * BIAS {
                break;
            }
            let known = weights.iter().take(order).zip(self.correlation.iter().skip(1).take(order).rev());
            let ahead = self.correlation.get(order + 1).copied().unwrap_or_default();
            let reflection = (ahead - known.map(|(weight, lag)| weight * lag).sum::<f32>()) / error;
            if reflection.abs() > MAX_REFLECTION {
                break;
            }
            let before = weights;
            for (weight, mirrored) in weights.iter_mut().zip(before.iter().take(order).rev()) {
                *weight -= reflection * mirrored;
            }
            if let Some(weight) = weights.get_mut(order) {
                *weight = reflection;
            }
            error *= 1.0 - reflection * reflection;
        }
        self.predictor = weights;
        // Of a uniform number in −1 … 1 the variance is 1/3.
        self.amplitude = root(3.0 * error.max(0.0));
    }
}

/// The square root, to 20 bits and within a few instructions: libm's own is half a kilobyte of the engine.
fn root(value: f32) -> f32 {
    let guess = f32::from_bits((value.to_bits() >> 1) + 0x1FBD_1DF5);
    (0..2).fold(guess, |root, _| 0.5 * (root + value / root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dbov, suppress::analysis::Analysis, testing::Random};
    use std::vec::Vec;

    /// Background through a resonance of 500 Hz, as of a fan.
    fn fan(rate: SampleRate, seconds: u32) -> impl Iterator<Item = f32> {
        let (mut random, mut state) = (Random::new(7), [0.0_f32; 2]);
        let turn = core::f32::consts::TAU * 500.0 / rate.hz() as f32;
        let radius = 1.0 - turn / 4.0;
        (0..rate.hz() * seconds).map(move |_| {
            let next = 2.0 * radius * libm::cosf(turn) * state[0] - radius * radius * state[1]
                + 0.001 * turn * random.gaussian();
            state = [next, state[0]];
            next
        })
    }

    fn bands(rate: SampleRate, samples: impl Iterator<Item = f32>) -> Vec<f32> {
        let mut analysis = Analysis::new(rate);
        let frames: Vec<_> = samples.filter_map(|sample| analysis.push(sample)).skip(50).collect();
        let mean = |band: usize| frames.iter().map(|frame| frame[band]).sum::<f32>() / frames.len() as f32;
        (0..6).map(|band| Dbov::from_mean_square(mean(band)).0).collect()
    }

    #[test]
    fn it_has_level_and_spectrum_of_the_background_within_2_db() {
        for rate in [SampleRate::HZ_8000, SampleRate::HZ_44100, SampleRate::HZ_48000] {
            let (mut noise, mut analysis) = (ComfortNoise::new(rate), Analysis::new(rate));
            fan(rate, 3).for_each(|sample| {
                if analysis.push(sample).is_some() {
                    noise.learn(&analysis.correlation());
                }
            });
            let made = bands(rate, (0..2 * rate.hz()).map(|_| noise.next_sample()));
            let real = bands(rate, fan(rate, 3));
            // The highest band lies on the low-pass, which the noise meets twice.
            let off = |band: usize| (made[band] - real[band]).abs();
            assert!((0..5).all(|band| off(band) < 2.0), "{made:?} for {real:?} at {rate:?}");
            assert!(real[1] - real[4] > 12.0, "no spectrum to speak of: {real:?}");
        }
    }

    #[test]
    fn the_root_is_near_enough() {
        for value in [0.0, 1e-30, 1e-12, 0.5, 1.0, 2.0, 3.0] {
            assert!((root(value) - libm::sqrtf(value)).abs() <= 1e-5 * libm::sqrtf(value) + 1e-19, "{value}");
        }
    }

    #[test]
    fn a_background_of_a_pure_tone_does_not_ring_without_end() {
        let rate = SampleRate::HZ_8000;
        let (mut noise, mut analysis) = (ComfortNoise::new(rate), Analysis::new(rate));
        for at in 0..40_000 {
            if analysis.push(0.1 * libm::sinf(at as f32 * 0.4)).is_some() {
                noise.learn(&analysis.correlation());
            }
        }
        assert!((0..80_000).all(|_| noise.next_sample().abs() < 0.5));
    }

    #[test]
    fn what_no_signal_can_correlate_like_makes_no_filter_that_runs_away() {
        let rate = SampleRate::HZ_8000;
        let mut noise = ComfortNoise::new(rate);
        let mut correlation = [1e-4; LAGS];
        correlation[1] = 1.2e-4;
        noise.learn(&correlation);
        assert!((0..8_000).all(|_| noise.next_sample().abs() < 0.5));
    }
}
