//! Tones that a telephone network plays: a sine, a pair of them, and cadences such as ringback. DTMF is in [`crate::dtmf`].

use crate::{Dbm0, Hertz, SampleRate};

/// Length of the raised-cosine edges of a cadence: short against any cadence, long enough not to click.
const EDGE_MS: u32 = 5;

/// A sine of constant frequency and level.
#[derive(Clone, Debug)]
pub struct Sine {
    phase: u32,
    step: u32,
    amplitude: f32,
}

impl Sine {
    /// Starts at phase zero. A frequency at or above half the rate, or below zero, is silence.
    pub fn new(rate: SampleRate, frequency: Hertz, level: Dbm0) -> Self {
        let turns = f64::from(frequency.0) / f64::from(rate.hz());
        let sounds = turns > 0.0 && turns < 0.5;
        Self {
            phase: 0,
            // A 32-bit phase accumulator: exact to rate/2³² Hz, and it never drifts.
            step: if sounds { (turns * 4_294_967_296.0) as u32 } else { 0 },
            amplitude: if sounds { level.peak_amplitude() } else { 0.0 },
        }
    }

    /// The next sample.
    pub fn next_sample(&mut self) -> f32 {
        const RADIANS: f32 = core::f32::consts::PI / 2_147_483_648.0;
        let sample = self.amplitude * libm::sinf(self.phase as i32 as f32 * RADIANS);
        self.phase = self.phase.wrapping_add(self.step);
        sample
    }
}

/// A call progress tone (ITU-T E.180): one or two frequencies, on and off in turn for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// The frequencies, sent together; `None` where there is but one.
    pub frequencies: (Hertz, Option<Hertz>),
    /// The level of each frequency.
    pub level: Dbm0,
    /// Length of the tone, milliseconds.
    pub on_ms: u32,
    /// Length of the silence after it, milliseconds.
    pub off_ms: u32,
}

impl Signal {
    /// Ringback of most of Europe: 425 Hz, 1 s on, 4 s off (ETSI TR 101 041-2).
    pub const RINGBACK_ETSI: Self =
        Self { frequencies: (Hertz(425.0), None), level: Dbm0(-13.0), on_ms: 1_000, off_ms: 4_000 };
    /// Ringback of North America: 440 Hz with 480 Hz at −19 dBm0 each, 2 s on, 4 s off (Telcordia GR-506).
    pub const RINGBACK_US: Self =
        Self { frequencies: (Hertz(440.0), Some(Hertz(480.0))), level: Dbm0(-19.0), on_ms: 2_000, off_ms: 4_000 };
}

/// Plays a [`Signal`] from its first tone on.
#[derive(Clone, Debug)]
pub struct Cadence {
    tones: (Sine, Option<Sine>),
    on: u32,
    period: u32,
    edge: u32,
    at: u32,
}

impl Cadence {
    /// At the start of the first tone.
    pub fn new(rate: SampleRate, signal: Signal) -> Self {
        let sine = |frequency| Sine::new(rate, frequency, signal.level);
        let on = rate.samples(signal.on_ms);
        Self {
            tones: (sine(signal.frequencies.0), signal.frequencies.1.map(sine)),
            on,
            period: on.saturating_add(rate.samples(signal.off_ms)),
            edge: rate.samples(EDGE_MS).min(on / 2),
            at: 0,
        }
    }

    /// The next sample.
    pub fn next_sample(&mut self) -> f32 {
        let sample = if self.at < self.on {
            let sum = self.tones.0.next_sample() + self.tones.1.as_mut().map_or(0.0, Sine::next_sample);
            sum * edge(self.at, self.on, self.edge)
        } else {
            0.0
        };
        self.at = if self.at + 1 >= self.period { 0 } else { self.at + 1 };
        sample
    }

    /// Fills a block.
    pub fn fill(&mut self, block: &mut [f32]) {
        block.fill_with(|| self.next_sample());
    }
}

/// The factor of a raised cosine at sample `at` of a tone of `length`, rising and falling over `edge` samples.
pub(crate) fn edge(at: u32, length: u32, edge: u32) -> f32 {
    let distance = at.min(length.saturating_sub(at + 1));
    if distance >= edge {
        return 1.0;
    }
    0.5 - 0.5 * libm::cosf(core::f32::consts::PI * (distance as f32 + 0.5) / edge as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{spectrum, testing::rates};
    use std::{vec, vec::Vec};

    fn play(rate: SampleRate, signal: Signal, ms: u32) -> Vec<f32> {
        let mut block = vec![0.0; rate.samples(ms) as usize];
        Cadence::new(rate, signal).fill(&mut block);
        block
    }

    #[test]
    fn a_sine_has_its_frequency_and_level() {
        for rate in rates() {
            let mut sine = Sine::new(rate, Hertz(1_004.0), Dbm0(-20.0));
            let samples: Vec<f32> = (0..rate.hz()).map(|_| sine.next_sample()).collect();
            let level = spectrum::tone_level(&samples, rate, Hertz(1_004.0)).0;
            assert!((level - Dbm0(-20.0).to_dbov().0).abs() < 0.01, "{level} at {rate:?}");
            assert!(spectrum::tone_level(&samples, rate, Hertz(1_104.0)).0 < -90.0);
        }
        assert_eq!(Sine::new(SampleRate::HZ_8000, Hertz(4_000.0), Dbm0(0.0)).next_sample(), 0.0);
        assert_eq!(Sine::new(SampleRate::HZ_8000, Hertz(f32::NAN), Dbm0(0.0)).next_sample(), 0.0);
    }

    #[test]
    fn ringback_follows_its_cadence() {
        for (signal, on, period) in [(Signal::RINGBACK_ETSI, 1_000, 5_000), (Signal::RINGBACK_US, 2_000, 6_000)] {
            let rate = SampleRate::HZ_8000;
            let samples = play(rate, signal, 2 * period);
            let at = |ms: u32| rate.samples(ms) as usize;
            for start in [0, period] {
                let tone = &samples[at(start + 10)..at(start + on - 10)];
                for frequency in [Some(signal.frequencies.0), signal.frequencies.1].into_iter().flatten() {
                    let level = spectrum::tone_level(tone, rate, frequency).0;
                    assert!((level - signal.level.to_dbov().0).abs() < 0.2, "{level}");
                }
                assert!(samples[at(start + on)..at(start + period)].iter().all(|sample| *sample == 0.0));
            }
        }
    }

    #[test]
    fn edges_are_soft() {
        for signal in [Signal::RINGBACK_ETSI, Signal::RINGBACK_US] {
            let samples = play(SampleRate::HZ_48000, signal, 2_100);
            let step = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
            // A sine of amplitude a moves at most a·2πf/rate in one sample.
            let steepest: f32 = [Some(signal.frequencies.0), signal.frequencies.1]
                .into_iter()
                .flatten()
                .map(|f| signal.level.peak_amplitude() * core::f32::consts::TAU * f.0 / 48_000.0)
                .sum();
            assert!(step <= steepest * 1.05, "{step} against {steepest}");
        }
    }
}
