//! Measuring what a recording holds: the level of one tone, the loudest frequency. For tests and benches: whole
//! recordings, double precision, no streaming.

use crate::{Dbov, Hertz, SampleRate};
use core::f64::consts::TAU;

/// Mean-square power of the component of `samples` at `frequency`, under a Hann window: other tones count for nothing from
/// 2/duration Hz away on. A sine of amplitude a gives a²/2.
pub fn tone_power(samples: &[f32], rate: SampleRate, frequency: Hertz) -> f64 {
    power_at(samples, f64::from(frequency.0) / f64::from(rate.hz()))
}

/// The level of the component of `samples` at `frequency`.
pub fn tone_level(samples: &[f32], rate: SampleRate, frequency: Hertz) -> Dbov {
    Dbov::from_mean_square(tone_power(samples, rate, frequency) as f32)
}

/// The level of all of `samples` together.
pub fn total_level(samples: &[f32]) -> Dbov {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
    Dbov::from_mean_square((power / samples.len().max(1) as f64) as f32)
}

/// The frequency between `low` and `high` at which `samples` are strongest, to within 0.01 Hz for a clean tone. Its cost
/// grows with the square of the recording's length: give it a second, not a minute.
pub fn strongest_frequency(samples: &[f32], rate: SampleRate, low: Hertz, high: Hertz) -> Hertz {
    let hz = f64::from(rate.hz());
    let (mut from, mut to) = (f64::from(low.0) / hz, f64::from(high.0) / hz);
    // Half of the window's main lobe: no peak falls between two steps.
    let mut step = 1.0 / samples.len().max(1) as f64;
    let mut best = (f64::NEG_INFINITY, from);
    while step * hz > 0.002 {
        let mut turns = from;
        while turns <= to {
            let power = power_at(samples, turns);
            if power > best.0 {
                best = (power, turns);
            }
            turns += step;
        }
        (from, to) = (best.1 - step, best.1 + step);
        step /= 4.0;
    }
    Hertz((best.1 * hz) as f32)
}

/// The Goertzel recurrence at `turns` per sample.
fn power_at(samples: &[f32], turns: f64) -> f64 {
    let coefficient = 2.0 * libm::cos(TAU * turns);
    let length = samples.len().max(1) as f64;
    // The window's own cosine by rotation: a call of cos for each sample would cost more than the rest together.
    let turn = (libm::cos(TAU / length), libm::sin(TAU / length));
    let mut window = (libm::cos(core::f64::consts::PI / length), libm::sin(core::f64::consts::PI / length));
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        let weighted = f64::from(*sample) * (0.5 - 0.5 * window.0);
        (last, before) = (weighted + coefficient * last - before, last);
        window = (window.0 * turn.0 - window.1 * turn.1, window.0 * turn.1 + window.1 * turn.0);
    }
    // The Hann window's mean is one half, and half of a sine's amplitude lies at the negative frequency.
    8.0 * (last * last + before * before - coefficient * last * before) / (length * length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dbm0, testing::rates, tone::Sine};
    use std::vec::Vec;

    #[test]
    fn two_tones_are_told_apart() {
        for rate in rates() {
            let (mut a, mut b) =
                (Sine::new(rate, Hertz(440.0), Dbm0(-10.0)), Sine::new(rate, Hertz(1_000.5), Dbm0(-40.0)));
            let samples: Vec<f32> = (0..rate.samples(500)).map(|_| a.next_sample() + b.next_sample()).collect();
            let found = strongest_frequency(&samples, rate, Hertz(300.0), Hertz(3_400.0)).0;
            assert!((found - 440.0).abs() < 0.02, "{found}");
            let found = strongest_frequency(&samples, rate, Hertz(900.0), Hertz(1_100.0)).0;
            assert!((found - 1_000.5).abs() < 0.1, "{found}");
            for (hz, level) in [(440.0, Dbm0(-10.0)), (1_000.5, Dbm0(-40.0))] {
                assert!((tone_level(&samples, rate, Hertz(hz)).0 - level.to_dbov().0).abs() < 0.05);
            }
            assert!(tone_level(&samples, rate, Hertz(700.0)).0 < -100.0);
            assert!((total_level(&samples).0 - Dbm0(-10.0).to_dbov().0).abs() < 0.05);
        }
    }

    #[test]
    fn nothing_reads_as_silence() {
        assert_eq!(tone_level(&[], SampleRate::HZ_8000, Hertz(440.0)), Dbov::SILENCE);
        assert_eq!(total_level(&[]), Dbov::SILENCE);
    }
}
