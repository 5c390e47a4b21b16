//! Takes digits out of audio on its way to somebody whom they are not meant for, without delaying it: silence from the block on in which
//! a digit is suspected, until it has ended or has turned out to be none.
//!
//! It decides nothing about what a digit means, and puts no noise in its place.

use super::{Detector, Event};
use crate::SampleRate;

/// Silence begins and ends within this, so that it does not click.
const EDGE_MS: u32 = 1;

/// A [`Detector`] that also blanks what it detects.
#[derive(Clone, Debug)]
pub struct Blanker {
    detector: Detector,
    edge: usize,
    is_wary: bool,
    is_blank: bool,
}

impl Blanker {
    /// One that has heard silence.
    pub fn new(rate: SampleRate) -> Self {
        Self { detector: Detector::new(rate), edge: rate.samples(EDGE_MS) as usize, is_wary: true, is_blank: false }
    }

    /// Whether suspicion is enough, from the next block on; otherwise nothing is blanked before it is as good as known to be a digit, of
    /// which 50 ms remain, and speech has nothing to fear.
    pub fn set_wary(&mut self, is_wary: bool) {
        self.is_wary = is_wary;
    }

    /// Takes digits out of `block` and hands out its events. In blocks of 20 ms at most the first 21 ms of a digit remain, which
    /// no other detector takes for one (ITU-T Q.24); in longer blocks a block and 1 ms. What follows a digit is heard again within 60 ms.
    pub fn process(&mut self, block: &mut [f32], on_event: impl FnMut(Event)) {
        self.detector.process(block, on_event);
        let is_digit = self.detector.current().is_some() || self.detector.is_nearly_sure();
        let is_blank = is_digit || self.is_wary && self.detector.suspects();
        let before = core::mem::replace(&mut self.is_blank, is_blank);
        match (before, self.is_blank) {
            (false, false) => {}
            (false, true) => {
                let (edge, rest) = block.split_at_mut(self.edge.min(block.len()));
                ramp(edge.iter_mut().rev());
                rest.fill(0.0);
            }
            (true, true) => block.fill(0.0),
            (true, false) => ramp(block.iter_mut().take(self.edge)),
        }
    }
}

/// From nothing to everything.
fn ramp<'a>(samples: impl ExactSizeIterator<Item = &'a mut f32>) {
    let length = samples.len() as f32;
    for (at, sample) in samples.enumerate() {
        *sample *= (at as f32 + 0.5) / length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Dbm0, Digit, Hertz,
        dtmf::{Generator, Shape, detector_tests::speech},
        testing::{Random, rates},
        tone::Sine,
    };
    use std::{vec, vec::Vec};

    const BLOCK_MS: u32 = 20;

    fn starts(rate: SampleRate, samples: &[f32]) -> usize {
        let mut count = 0;
        Detector::new(rate).process(samples, |event| count += usize::from(matches!(event, Event::Start { .. })));
        count
    }

    /// What is left of `samples`, and how many digits were found in them.
    fn blank(rate: SampleRate, samples: &[f32]) -> (Vec<f32>, usize) {
        let (mut blanker, mut left, mut found) = (Blanker::new(rate), samples.to_vec(), 0);
        for block in left.chunks_mut(rate.samples(BLOCK_MS) as usize) {
            blanker.process(block, |event| found += usize::from(matches!(event, Event::Start { .. })));
        }
        (left, found)
    }

    /// From the first sample that is not silent to behind the last one, milliseconds.
    fn sounding(rate: SampleRate, samples: &[f32]) -> u64 {
        let sounds = |sample: &f32| sample.abs() > 1e-6;
        let first = samples.iter().position(sounds).unwrap_or(0);
        let last = samples.iter().rposition(sounds).map_or(0, |at| at + 1);
        rate.milliseconds(last.saturating_sub(first) as u64)
    }

    #[test]
    fn of_a_digit_too_little_remains_for_a_digit_wherever_blocks_begin() {
        let plain = Shape::default();
        let shapes = [
            plain,
            Shape { on_ms: 40, ..plain },
            Shape { level: Dbm0(-36.0), twist: 0.0, ..plain },
            Shape { twist: 8.0, level: Dbm0(-18.0), ..plain },
            Shape { twist: -4.0, on_ms: 1_500, ..plain },
        ];
        for rate in rates() {
            for (digit, shape) in Digit::ALL.into_iter().flat_map(|digit| shapes.map(|shape| (digit, shape))) {
                // Every phase against the blocks, in steps of 1 ms; each shape begins at another.
                let before = 200 + (u32::from(digit.event()) + shape.on_ms) % BLOCK_MS;
                let mut samples = vec![0.0; rate.samples(before) as usize];
                samples.extend(Generator::new(rate, digit, shape));
                samples.extend(vec![0.0; rate.samples(100) as usize]);
                let (left, found) = blank(rate, &samples);
                let remains = sounding(rate, &left);
                assert_eq!((found, starts(rate, &left)), (1, 0), "{digit} at {rate:?}, {shape:?}");
                assert!(remains <= 21, "{remains} ms of {digit} at {rate:?}, {before} ms, {shape:?}");
            }
        }
    }

    #[test]
    fn digits_dialled_over_noise_are_gone_and_the_noise_is_not() {
        let rate = SampleRate::HZ_8000;
        let mut random = Random::new(3);
        let dialled: Vec<f32> = "*76#0159D"
            .chars()
            .filter_map(Digit::from_char)
            .flat_map(|digit| Generator::new(rate, digit, Shape { on_ms: 70, off_ms: 130, ..Shape::default() }))
            .collect();
        // The tones' power over the noise's: 15 dB.
        let samples: Vec<f32> = dialled.iter().map(|sample| sample + 0.05 * random.gaussian()).collect();
        let (left, found) = blank(rate, &samples);
        assert_eq!((found, starts(rate, &left)), (9, 0));
        let kept = left.iter().filter(|sample| **sample != 0.0).count() as f32 / left.len() as f32;
        assert!((0.45..0.65).contains(&kept), "{kept} of all samples are left");
    }

    #[test]
    fn what_holds_no_digit_passes_as_it_is() {
        for rate in rates() {
            let mut random = Random::new(9);
            let mut sine = Sine::new(rate, Hertz(697.0), Dbm0(-5.0));
            let samples: Vec<f32> =
                (0..rate.samples(3_000)).map(|_| sine.next_sample() + 0.01 * random.gaussian()).collect();
            assert!(blank(rate, &samples) == (samples, 0), "{rate:?}");
        }
    }

    #[test]
    fn one_that_is_not_wary_waits_for_the_digit_and_leaves_alone_what_is_none() {
        for rate in rates() {
            let digit = |on_ms| Generator::new(rate, Digit::ALL[5], Shape { on_ms, off_ms: 200, ..Shape::default() });
            let samples: Vec<f32> = digit(25).chain(digit(100)).chain(digit(25)).collect();
            let (mut blanker, mut left, mut found) = (Blanker::new(rate), samples.clone(), 0);
            blanker.set_wary(false);
            for block in left.chunks_mut(rate.samples(BLOCK_MS) as usize) {
                blanker.process(block, |event| found += usize::from(matches!(event, Event::Start { .. })));
            }
            let [first, last] = [225, 525].map(|ms| rate.samples(ms) as usize);
            assert!(left[..first] == samples[..first] && left[last..] == samples[last..], "{rate:?}");
            let remains = sounding(rate, &left[first..last]);
            assert!(found == 1 && remains <= 50, "{remains} ms at {rate:?}");
        }
    }

    #[test]
    fn one_that_is_not_wary_leaves_50_ms_of_a_digit_wherever_blocks_begin_and_speech_as_it_is() {
        let plain = Shape { on_ms: 100, ..Shape::default() };
        let shapes = [
            plain,
            Shape { level: Dbm0(-36.0), twist: 0.0, ..plain },
            Shape { twist: 8.0, level: Dbm0(-18.0), ..plain },
            Shape { twist: -4.0, ..plain },
        ];
        for rate in rates() {
            for (nth, digit) in (0..).zip(Digit::ALL) {
                for before in 200..200 + BLOCK_MS {
                    let mut left = vec![0.0; rate.samples(before) as usize];
                    left.extend(Generator::new(rate, digit, shapes[(nth + before as usize) % shapes.len()]));
                    let mut blanker = Blanker::new(rate);
                    blanker.set_wary(false);
                    left.chunks_mut(rate.samples(BLOCK_MS) as usize).for_each(|block| blanker.process(block, |_| {}));
                    let remains = sounding(rate, &left);
                    assert!(remains <= 50, "{remains} ms of {digit} at {rate:?}, {before} ms");
                }
            }
        }
        let (rate, mut silenced) = (SampleRate::HZ_8000, 0);
        for seed in 1..=30 {
            let mut blanker = Blanker::new(rate);
            blanker.set_wary(false);
            for block in speech(rate, 60, seed).chunks_mut(rate.samples(BLOCK_MS) as usize) {
                blanker.process(block, |_| {});
                silenced += usize::from(blanker.is_blank);
            }
        }
        assert!(silenced <= 1, "{silenced} pieces of half an hour of speech");
    }

    #[test]
    fn who_speaks_behind_a_digit_is_heard_within_60_ms() {
        let rate = SampleRate::HZ_8000;
        for before in 0..BLOCK_MS {
            let mut samples = vec![0.0; rate.samples(before) as usize];
            samples.extend(Generator::new(rate, Digit::ALL[5], Shape { on_ms: 100, off_ms: 0, ..Shape::default() }));
            let over = samples.len();
            let mut sine = Sine::new(rate, Hertz(300.0), Dbm0(-15.0));
            samples.extend((0..rate.samples(300)).map(|_| sine.next_sample()));
            let (left, _) = blank(rate, &samples);
            let heard = over + rate.samples(60) as usize;
            assert_eq!(left[heard..], samples[heard..], "{before} ms");
        }
    }
}
