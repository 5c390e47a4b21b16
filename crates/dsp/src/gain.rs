//! A gain that moves without clicks, and mute. No compressor: what is asked for is what happens.

use crate::SampleRate;

/// How long the way from one gain to another takes: below 5 ms it is heard as a click, beyond 20 ms as lag.
const RAMP_MS: u32 = 10;

/// The largest gain, +24 dB: beyond it noise is all that grows.
pub const MAX_GAIN: f32 = 15.848_932;

/// Up to here a limited sample is what was asked for: −3 dBFS.
pub const KNEE: f32 = 0.7;

/// A linear factor on samples that reaches a new value within 10 ms.
#[derive(Clone, Debug)]
pub struct Gain {
    wanted: f32,
    muted: bool,
    current: f32,
    step: f32,
    left: u32,
    ramp: u32,
}

impl Gain {
    /// Unity gain, not muted.
    pub fn new(rate: SampleRate) -> Self {
        Self { wanted: 1.0, muted: false, current: 1.0, step: 0.0, left: 0, ramp: rate.samples(RAMP_MS) }
    }

    /// Asks for a linear factor, held to 0 … [`MAX_GAIN`]; NaN changes nothing.
    pub fn set(&mut self, factor: f32) {
        if !factor.is_nan() {
            self.wanted = factor.clamp(0.0, MAX_GAIN);
            self.aim();
        }
    }

    /// Mutes, or gives back the factor last asked for.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        self.aim();
    }

    /// Whether it is muted.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// The factor that was asked for, muted or not.
    pub fn factor(&self) -> f32 {
        self.wanted
    }

    /// The next sample, scaled. Not clipped.
    pub fn apply(&mut self, sample: f32) -> f32 {
        if self.left > 0 {
            self.left -= 1;
            // The last step lands on the target: rounding must not leave a muted microphone ajar.
            self.current = if self.left == 0 { self.target() } else { self.current + self.step };
        }
        sample * self.current
    }

    /// The next sample, scaled and kept within full scale: clipped there, and where it is made louder bent towards it from
    /// [`KNEE`] on, so that a voice which is too loud is rounded and not cut.
    pub fn apply_limited(&mut self, sample: f32) -> f32 {
        let scaled = self.apply(sample);
        if self.wanted > 1.0 { bend(scaled) } else { scaled.clamp(-1.0, 1.0) }
    }

    /// Scales a block in place.
    pub fn process(&mut self, block: &mut [f32]) {
        block.iter_mut().for_each(|sample| *sample = self.apply(*sample));
    }

    fn target(&self) -> f32 {
        if self.muted { 0.0 } else { self.wanted }
    }

    fn aim(&mut self) {
        self.left = self.ramp;
        self.step = (self.target() - self.current) / self.ramp as f32;
    }
}

/// Its slope is 1 at the knee, and it never reaches full scale.
fn bend(sample: f32) -> f32 {
    let over = (sample.abs() - KNEE) / (1.0 - KNEE);
    if over <= 0.0 {
        return sample;
    }
    (KNEE + (1.0 - KNEE) * over / (1.0 + over)).copysign(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_louder_is_bent_before_full_scale_and_what_is_not_is_left() {
        let mut gain = Gain::new(SampleRate::HZ_8000);
        assert_eq!((gain.apply_limited(0.9), gain.apply_limited(-1.5)), (0.9, -1.0));
        gain.set(4.0);
        (0..80).for_each(|_| assert_eq!(gain.apply(0.0), 0.0));
        assert_eq!(gain.apply_limited(0.1), 0.4);
        let ramp: [f32; 501] = core::array::from_fn(|n| gain.apply_limited((n as f32 - 250.0) / 250.0));
        assert!(ramp.iter().all(|out| out.abs() < 1.0));
        // Monotonous, and nowhere steeper than the gain: no edge.
        assert!(ramp.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] <= 4.0 / 250.0 + 1e-6));
    }

    #[test]
    fn no_step_between_two_samples_exceeds_the_ramp() {
        let mut gain = Gain::new(SampleRate::HZ_48000);
        let mut last = 1.0;
        for (at, change) in [(0, Some(2.0)), (100, None), (300, Some(0.5)), (1_000, None)] {
            match change {
                Some(factor) => gain.set(factor),
                None => gain.set_muted(!gain.is_muted()),
            }
            for _ in 0..at + 50 {
                let now = gain.apply(1.0);
                assert!((now - last).abs() < 0.006, "{last} to {now}");
                last = now;
            }
        }
    }

    #[test]
    fn mute_is_digital_silence_and_gives_the_old_gain_back() {
        let mut gain = Gain::new(SampleRate::HZ_8000);
        gain.set(1.7);
        gain.set_muted(true);
        let mut block = [0.3; 160];
        gain.process(&mut block);
        assert_eq!(block[79..], [0.0; 81]);
        gain.set_muted(false);
        let mut block = [1.0; 160];
        gain.process(&mut block);
        assert_eq!(block[79..], [1.7; 81]);
    }

    #[test]
    fn senseless_factors_are_held_to_the_range() {
        let mut gain = Gain::new(SampleRate::HZ_8000);
        for (asked, kept) in [(f32::INFINITY, MAX_GAIN), (-3.0, 0.0), (f32::NAN, 0.0), (0.5, 0.5)] {
            gain.set(asked);
            assert_eq!(gain.factor(), kept);
        }
    }
}
