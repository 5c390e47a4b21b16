//! One DTMF digit as audio: its two tones for a time, then silence. It queues nothing: the caller has the next digit.

use crate::{
    Dbm0, Digit, Hertz, SampleRate,
    tone::{Sine, edge},
};

/// Length of the edges: no click, and too short for a detector to count as missing tone.
const EDGE_MS: u32 = 1;

/// What a digit sounds like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Level of the high group's tone.
    pub level: Dbm0,
    /// How far the low group's tone lies above the high group's, dB; negative: below.
    pub twist: f32,
    /// Length of the tones, milliseconds.
    pub on_ms: u32,
    /// Length of the silence after them, milliseconds.
    pub off_ms: u32,
}

impl Default for Shape {
    /// ETSI ES 201 235-2, section 4.2: −9 and −11 dBV at a telephone, a low group about 2 dB down; and 100 ms each, which every
    /// detector accepts.
    fn default() -> Self {
        Self { level: Dbm0(-7.0), twist: -2.0, on_ms: 100, off_ms: 100 }
    }
}

/// Yields the samples of one digit, the silence after it included, and then ends.
#[derive(Clone, Debug)]
pub struct Generator {
    tones: (Sine, Sine),
    edge: u32,
    on: u32,
    total: u32,
    at: u32,
}

impl Generator {
    /// At the first sample of `digit`.
    pub fn new(rate: SampleRate, digit: Digit, shape: Shape) -> Self {
        let (low, high) = digit.frequencies();
        Self::of_tones(rate, low, high, shape)
    }

    /// Any two tones in the shape of a digit: how tests make digits that are a little off.
    pub(crate) fn of_tones(rate: SampleRate, low: Hertz, high: Hertz, shape: Shape) -> Self {
        let on = rate.samples(shape.on_ms);
        Self {
            tones: (Sine::new(rate, low, Dbm0(shape.level.0 + shape.twist)), Sine::new(rate, high, shape.level)),
            edge: rate.samples(EDGE_MS).min(on / 2),
            on,
            total: on.saturating_add(rate.samples(shape.off_ms)),
            at: 0,
        }
    }
}

impl Iterator for Generator {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        if self.at >= self.total {
            return None;
        }
        let sample = if self.at < self.on {
            (self.tones.0.next_sample() + self.tones.1.next_sample()) * edge(self.at, self.on, self.edge)
        } else {
            0.0
        };
        self.at += 1;
        Some(sample)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.total - self.at) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Generator {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{spectrum, testing::rates};
    use std::vec::Vec;

    #[test]
    fn each_digit_has_its_two_tones_at_their_levels_and_then_silence() {
        for rate in rates() {
            for digit in Digit::ALL {
                let samples: Vec<f32> = Generator::new(rate, digit, Shape::default()).collect();
                assert_eq!(samples.len() as u32, rate.samples(100) * 2);
                let (tone, silence) = samples.split_at(rate.samples(100) as usize);
                let (low, high) = digit.frequencies();
                for (hz, level) in [(low, Dbm0(-9.0)), (high, Dbm0(-7.0))] {
                    let measured = spectrum::tone_level(tone, rate, hz).0;
                    assert!((measured - level.to_dbov().0).abs() < 0.2, "{digit} {hz:?}: {measured}");
                }
                assert!(silence.iter().all(|sample| *sample == 0.0));
            }
        }
    }
}
