//! How loud audio is: a meter with ballistics for the eye, and the level byte of RFC 6464.

use crate::{Dbov, SampleRate, units};

/// Powers below this are cut to zero, so that a decaying average never reaches denormal numbers, which cost some
/// processors a hundred times a normal addition. It lies 73 dB below what [`Dbov`] can tell from silence.
const FLOOR: f32 = 1e-20;

/// Time constants of a [`Meter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballistics {
    /// Time constant of a rise, milliseconds.
    pub attack_ms: u32,
    /// Time constant of a fall, milliseconds.
    pub decay_ms: u32,
}

impl Ballistics {
    /// For a moving bar: up at once, down slowly enough to be read.
    pub const BAR: Self = Self { attack_ms: 10, decay_ms: 200 };
    /// For a measurement: 125 ms both ways, the "fast" weighting of sound level meters (IEC 61672-1).
    pub const FAST: Self = Self { attack_ms: 125, decay_ms: 125 };
}

/// RMS and peak of a stream.
#[derive(Clone, Debug)]
pub struct Meter {
    attack: f32,
    decay: f32,
    mean_square: f32,
    peak: f32,
}

impl Meter {
    /// A meter that reads silence.
    pub fn new(rate: SampleRate, ballistics: Ballistics) -> Self {
        // The backward-Euler form of a one-pole low-pass: no exponential, and stable at every rate.
        let coefficient = |ms: u32| 1.0 / (1.0 + rate.samples(ms) as f32);
        Self {
            attack: coefficient(ballistics.attack_ms),
            decay: coefficient(ballistics.decay_ms),
            mean_square: 0.0,
            peak: 0.0,
        }
    }

    /// Takes samples in; blocks of any length give the same reading. What is not a number counts as silence.
    pub fn process(&mut self, block: &[f32]) {
        for sample in block {
            let sample = units::audible(*sample);
            let square = sample * sample;
            let step = if square > self.mean_square { self.attack } else { self.decay };
            self.mean_square = audible(self.mean_square + step * (square - self.mean_square));
            self.peak = audible(self.peak + self.decay * (square - self.peak)).max(square);
        }
    }

    /// The averaged power.
    pub fn rms(&self) -> Dbov {
        Dbov::from_mean_square(self.mean_square)
    }

    /// The highest instantaneous power, falling with the decay constant.
    pub fn peak(&self) -> Dbov {
        Dbov::from_mean_square(self.peak)
    }
}

fn audible(power: f32) -> f32 {
    if power > FLOOR { power } else { 0.0 }
}

/// The level that the header extension of RFC 6464 (section 3) carries: −dBov, 0 the loudest, 127 silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioLevel(u8);

impl AudioLevel {
    /// Digital silence.
    pub const SILENCE: Self = Self(127);

    /// Of the samples of one packet.
    pub fn of(packet: &[f32]) -> Self {
        let power: f32 = packet.iter().map(|sample| sample * sample).sum();
        Dbov::from_mean_square(power / packet.len().max(1) as f32).into()
    }

    /// 0 to 127.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl From<Dbov> for AudioLevel {
    fn from(level: Dbov) -> Self {
        Self(libm::roundf(-level.0).clamp(0.0, 127.0) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dbm0, Hertz, testing::rates, tone::Sine};
    use std::vec::Vec;

    fn sine(rate: SampleRate, ms: u32) -> Vec<f32> {
        let mut sine = Sine::new(rate, Hertz(1_000.0), Dbm0(-10.0));
        (0..rate.samples(ms)).map(|_| sine.next_sample()).collect()
    }

    #[test]
    fn a_steady_tone_reads_its_level() {
        for rate in rates() {
            let mut meter = Meter::new(rate, Ballistics::FAST);
            meter.process(&sine(rate, 1_000));
            assert!((meter.rms().0 - Dbm0(-10.0).to_dbov().0).abs() < 0.2, "{:?} at {rate:?}", meter.rms());
            assert!((meter.peak().0 - (Dbm0(-10.0).to_dbov().0 + 3.01)).abs() < 0.2, "{:?}", meter.peak());
        }
    }

    #[test]
    fn the_bar_rises_fast_and_falls_slowly_to_true_silence() {
        let rate = SampleRate::HZ_48000;
        let mut meter = Meter::new(rate, Ballistics::BAR);
        meter.process(&sine(rate, 40));
        let loud = meter.rms().0;
        assert!(loud > -20.0, "{loud}");
        meter.process(&[0.0; 4_800]);
        assert!(meter.rms().0 < loud - 1.0 && meter.rms().0 > loud - 6.0, "{:?}", meter.rms());
        for _ in 0..2_000 {
            meter.process(&[0.0; 480]);
        }
        assert_eq!((meter.rms(), meter.mean_square, meter.peak), (Dbov::SILENCE, 0.0, 0.0));
    }

    #[test]
    fn blocks_of_any_length_give_the_same_reading() {
        let samples = sine(SampleRate::HZ_48000, 100);
        let (mut whole, mut pieces) =
            (Meter::new(SampleRate::HZ_48000, Ballistics::BAR), Meter::new(SampleRate::HZ_48000, Ballistics::BAR));
        whole.process(&samples);
        samples.chunks(17).for_each(|chunk| pieces.process(chunk));
        assert_eq!((whole.rms(), whole.peak()), (pieces.rms(), pieces.peak()));
    }

    #[test]
    fn what_is_not_a_number_does_not_stick() {
        let mut meter = Meter::new(SampleRate::HZ_8000, Ballistics::FAST);
        meter.process(&[f32::NAN, f32::INFINITY, 0.5]);
        assert!(meter.rms().0 > -60.0 && meter.rms().0 < 0.0);
    }

    #[test]
    fn the_level_byte_is_that_of_rfc_6464() {
        assert_eq!(AudioLevel::of(&[]), AudioLevel::SILENCE);
        assert_eq!(AudioLevel::of(&[0.0; 160]), AudioLevel::SILENCE);
        assert_eq!(AudioLevel::of(&[1.0, -1.0]).get(), 0);
        assert_eq!(AudioLevel::of(&[0.1, -0.1]).get(), 20);
    }
}
