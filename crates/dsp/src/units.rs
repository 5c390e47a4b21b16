//! Units that cross functions: rates, frequencies, levels, and the two shapes of a sample.

/// Samples (or RTP clock ticks) per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleRate(u32);

impl SampleRate {
    /// G.711, and the RTP clock of `telephone-event/8000`.
    pub const HZ_8000: Self = Self(8_000);
    /// Wide-band speech.
    pub const HZ_16000: Self = Self(16_000);
    /// Sound cards of the CD's rate.
    pub const HZ_44100: Self = Self(44_100);
    /// Opus, and the RTP clock of `telephone-event/48000`.
    pub const HZ_48000: Self = Self(48_000);

    /// A rate of 8,000 to 192,000 Hz: below, DTMF does not fit; above, no sound card goes.
    pub const fn new(hz: u32) -> Option<Self> {
        if hz >= 8_000 && hz <= 192_000 { Some(Self(hz)) } else { None }
    }

    /// Samples per second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// Whole samples in `ms` milliseconds, rounded down; saturates.
    pub const fn samples(self, ms: u32) -> u32 {
        let samples = self.0 as u64 * ms as u64 / 1_000;
        if samples > u32::MAX as u64 { u32::MAX } else { samples as u32 }
    }

    /// Whole milliseconds in `samples`, rounded down.
    pub const fn milliseconds(self, samples: u64) -> u64 {
        samples.saturating_mul(1_000) / self.0 as u64
    }
}

/// A frequency.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Hertz(pub f32);

/// A level relative to overload (RFC 6464): 0 is the power of a full-scale square wave, a full-scale sine has −3.01.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Dbov(pub f32);

impl Dbov {
    /// What silence reads: RFC 6464's lowest value.
    pub const SILENCE: Self = Self(-127.0);

    /// Of a mean-square power, where 1.0 is a full-scale square wave; never below [`Dbov::SILENCE`].
    pub fn from_mean_square(power: f32) -> Self {
        // 2e-13 is −127 dBov. A NaN fails the comparison and reads as silence.
        if power > 2e-13 { Self(10.0 * libm::log10f(power)) } else { Self::SILENCE }
    }

    /// The mean-square power.
    pub fn mean_square(self) -> f32 {
        libm::powf(10.0, self.0 / 10.0)
    }
}

/// A power at the zero-level point of the telephone network (ITU-T G.711): 0 dBm0 is a sine 3.14 dB below a full-scale
/// one, the A-law figure, used for both laws.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Dbm0(pub f32);

impl Dbm0 {
    /// A full-scale sine (ITU-T G.711, table 1a).
    #[expect(clippy::approx_constant, reason = "the Recommendation's figure, which happens to look like π")]
    pub const OVERLOAD: Self = Self(3.14);

    /// The peak amplitude of a sine of this level.
    pub fn peak_amplitude(self) -> f32 {
        libm::powf(10.0, (self.0 - Self::OVERLOAD.0) / 20.0)
    }

    /// The same power, relative to overload.
    pub fn to_dbov(self) -> Dbov {
        Dbov(self.0 - Self::OVERLOAD.0 - 3.0103)
    }
}

/// The sample, but silence for what is no number or lies more than 300 dB below full scale: there are the denormal numbers' neighbours, which
/// filters must not chew on. They cost some fifty times as much as others.
pub fn audible(sample: f32) -> f32 {
    if sample.is_finite() && sample.abs() > 1e-15 { sample } else { 0.0 }
}

/// A 16-bit sample as a fraction of full scale.
pub fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// The nearest 16-bit sample; saturates, NaN gives 0.
pub fn to_i16(sample: f32) -> i16 {
    libm::roundf(sample * 32_768.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_agree_with_each_other() {
        assert!((Dbm0::OVERLOAD.peak_amplitude() - 1.0).abs() < 1e-6);
        let peak = Dbm0(-10.0).peak_amplitude();
        let dbov = Dbov::from_mean_square(peak * peak / 2.0);
        assert!((dbov.0 - Dbm0(-10.0).to_dbov().0).abs() < 1e-3, "{dbov:?}");
        assert_eq!(Dbov::from_mean_square(0.0), Dbov::SILENCE);
        assert_eq!(Dbov::from_mean_square(f32::NAN), Dbov::SILENCE);
        assert!((Dbov(-20.0).mean_square() - 0.01).abs() < 1e-7);
    }

    #[test]
    fn what_nobody_hears_and_what_is_no_number_is_silence() {
        for (sample, expected) in [
            (1e-39, 0.0),
            (-1e-39, 0.0),
            (1e-15, 0.0),
            (f32::NAN, 0.0),
            (f32::NEG_INFINITY, 0.0),
            (-1e-14, -1e-14),
            (2.0, 2.0),
        ] {
            assert_eq!(audible(sample), expected, "{sample}");
        }
    }

    #[test]
    fn every_16_bit_sample_survives_the_round_trip() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(to_i16(from_i16(sample)), sample);
        }
        assert_eq!([2.0, -2.0, f32::NAN, f32::INFINITY].map(to_i16), [i16::MAX, i16::MIN, 0, i16::MAX]);
    }
}
