//! Sample-rate conversion between any two rates, one sample in at a time: a windowed sinc, so that what does not fit the lower rate
//! is gone rather than folded back.

use dsp::SampleRate;
use std::f64::consts::PI;

/// Zero crossings on each side of the kernel: 65 dB down at 0.62 of the lower rate.
const CROSSINGS: f64 = 10.0;

/// Where the pass band ends, as a share of half the lower rate: room for the kernel's slope.
const BAND: f64 = 0.92;

/// How many places between two inputs an output can have. From 44.1 kHz there are 160, back 441; rates that have nothing in common
/// would have thousands, and get the nearest of these.
const MAX_PHASES: u32 = 512;

/// A converter of one stream. It delays by half its kernel: 10 samples of the lower rate.
#[derive(Debug)]
pub struct Resampler {
    /// For each phase, the weights of the inputs from the oldest on.
    kernels: Vec<Vec<f32>>,
    /// The last inputs, twice one behind the other: what is newest and what came before always stand in a row.
    history: Vec<f32>,
    at: usize,
    /// What an input lasts, what an output lasts, and how far the next output is off, in ticks.
    input: u32,
    output: u32,
    next: u32,
}

impl Resampler {
    /// From `from` to `to`.
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        let common = gcd(from.hz(), to.hz());
        let (input, output) = (to.hz() / common, from.hz() / common);
        let stretch = (f64::from(output) / f64::from(input)).max(1.0);
        let half = (CROSSINGS * stretch).ceil() as usize;
        let phases = input.min(MAX_PHASES);
        let weight = |tap: usize, phase: u32| {
            let fraction = f64::from(phase) / f64::from(phases);
            kernel((tap as f64 - half as f64 + 1.0 - fraction) / stretch) / stretch
        };
        let kernels = (0..phases).map(|phase| (0..2 * half).map(|tap| weight(tap, phase) as f32).collect()).collect();
        Self { kernels, history: vec![0.0; 4 * half], at: 0, input, output, next: 0 }
    }

    /// Takes one sample; `emit` gets what the other rate has in its time.
    pub fn push(&mut self, sample: f32, mut emit: impl FnMut(f32)) {
        let taps = self.history.len() / 2;
        for slot in [self.at, self.at + taps] {
            if let Some(slot) = self.history.get_mut(slot) {
                *slot = sample;
            }
        }
        self.at = (self.at + 1) % taps;
        while self.next < self.input {
            let phase = u64::from(self.next) * self.kernels.len() as u64 / u64::from(self.input);
            let kernel = self.kernels.get(phase as usize).map_or(&[][..], Vec::as_slice);
            emit(dot(kernel, self.history.get(self.at..).unwrap_or_default()));
            self.next += self.output;
        }
        self.next -= self.input;
    }
}

/// Blackman's window over a sinc, `x` in samples of the lower rate.
fn kernel(x: f64) -> f64 {
    let (sinc, turn) = (PI * x * BAND, PI * (x / CROSSINGS).clamp(-1.0, 1.0));
    let window = 0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos();
    BAND * window * if sinc == 0.0 { 1.0 } else { sinc.sin() / sinc }
}

/// In four sums, which a processor can work on at once.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<4>();
    let (right, right_rest) = right.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    sums.iter().sum::<f32>() + left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum::<f32>()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsp::{
        Dbm0, Dbov, Hertz,
        level::{Ballistics, Meter},
        spectrum,
        tone::Sine,
    };

    fn convert(from: u32, to: u32, tone: f32) -> Vec<f32> {
        let [from, to] = [from, to].map(|hz| SampleRate::new(hz).unwrap_or(SampleRate::HZ_8000));
        let (mut sine, mut resampler) = (Sine::new(from, Hertz(tone), Dbm0(-10.0)), Resampler::new(from, to));
        let mut out = Vec::new();
        (0..from.hz()).for_each(|_| resampler.push(sine.next_sample(), |sample| out.push(sample)));
        out
    }

    /// Without the beginning, in which the kernel fills.
    fn settled(samples: &[f32]) -> &[f32] {
        samples.get(800..).unwrap_or_default()
    }

    #[test]
    fn a_second_stays_a_second_and_a_tone_its_level_at_every_pair_of_rates() {
        for (from, to) in [
            (48_000, 16_000),
            (16_000, 48_000),
            (44_100, 16_000),
            (16_000, 44_100),
            (8_000, 16_000),
            (192_000, 16_000),
            (47_999, 16_000),
        ] {
            let out = convert(from, to, 1_000.0);
            assert_eq!(out.len(), to as usize, "{from} to {to}");
            let level =
                spectrum::tone_level(settled(&out), SampleRate::new(to).unwrap_or(SampleRate::HZ_8000), Hertz(1_000.0))
                    .0;
            let wanted = Dbm0(-10.0).to_dbov().0;
            assert!((level - wanted).abs() < 0.1, "{level} for {wanted}, {from} to {to}");
        }
    }

    #[test]
    fn what_does_not_fit_the_lower_rate_is_gone_and_images_are() {
        let loudness = |samples: &[f32], rate: SampleRate| {
            let mut meter = Meter::new(rate, Ballistics::FAST);
            meter.process(settled(samples));
            meter.rms()
        };
        for (from, tone) in [(48_000, 10_000.0), (48_000, 15_000.0), (44_100, 20_000.0)] {
            let out = loudness(&convert(from, 16_000, tone), SampleRate::HZ_16000);
            assert!(out < Dbov(-65.0), "{tone} Hz leaves {out:?}");
        }
        // Upwards: all that is there is the tone.
        let out = convert(16_000, 48_000, 3_000.0);
        let (all, tone) = (
            loudness(&out, SampleRate::HZ_48000).0,
            spectrum::tone_level(settled(&out), SampleRate::HZ_48000, Hertz(3_000.0)).0,
        );
        assert!((all - tone).abs() < 0.1, "{all} with {tone} of the tone");
    }
}
