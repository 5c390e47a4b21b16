//! The engine: the WASM module of the AudioWorklet, in the path of the microphone. Samples in, samples and numbers out.
//!
//! It scales or mutes the microphone, suppresses the far end's echo in it when told to, measures both sides, and finds DTMF digits in
//! what the far end sends. The playback path stays the
//! browser's own. No strings, no allocation, no imports; nothing in [`Engine::process`] locks or panics.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod abi;

use dsp::{
    Dbov, Digit, SampleRate,
    dtmf::{Detector, Event},
    gain::Gain,
    level::{Ballistics, Meter},
    suppress::Suppressor,
    units,
};

/// The largest block, samples. Web Audio's render quantum is 128, and contexts may come to choose a larger one (`renderSizeHint`).
pub const MAX_FRAMES: usize = 2_048;

/// Digits that wait to be fetched: two seconds of the fastest dialling, and the worklet asks 300 times a second.
const WAITING_DIGITS: usize = 32;

/// The engine without its ABI.
#[derive(Clone, Debug)]
pub struct Engine {
    rate: SampleRate,
    suppressor: Option<Suppressor>,
    gain: Gain,
    near: Meter,
    far: Meter,
    detector: Detector,
    digits: Digits,
}

impl Engine {
    /// For an audio context of `rate`: unity gain, not muted, silence measured.
    pub fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            suppressor: None,
            gain: Gain::new(rate),
            near: Meter::new(rate, Ballistics::BAR),
            far: Meter::new(rate, Ballistics::BAR),
            detector: Detector::new(rate),
            digits: Digits::default(),
        }
    }

    /// Processes one block: `mic` to `out`, `far` is only listened to. The shortest of `mic` and `out` counts; samples that are no
    /// numbers become silence, louder ones than full scale are clipped.
    pub fn process(&mut self, mic: &[f32], far: &[f32], out: &mut [f32]) {
        for (at, (sample, out)) in mic.iter().zip(out.iter_mut()).enumerate() {
            let mut sample = units::audible(*sample);
            if let Some(suppressor) = &mut self.suppressor {
                sample = suppressor.process(sample, far.get(at).copied().unwrap_or_default());
            }
            *out = self.gain.apply_limited(sample);
        }
        // What goes out is what is shown: a muted microphone shows no level.
        self.near.process(out);
        self.far.process(far);
        let digits = &mut self.digits;
        self.detector.process(far, |event| match event {
            Event::Start { digit, .. } => digits.push(digit),
            Event::End { .. } => {}
        });
    }

    /// Scales the microphone by a linear factor, held to 0 … 15.85 (+24 dB).
    pub fn set_gain(&mut self, factor: f32) {
        self.gain.set(factor);
    }

    /// Mutes the microphone, or opens it again.
    pub fn set_muted(&mut self, muted: bool) {
        self.gain.set_muted(muted);
    }

    /// Puts the suppressor into the microphone's path, with nothing learned, or takes it out.
    pub fn set_suppressor(&mut self, on: bool) {
        if on != self.suppressor.is_some() {
            self.suppressor = on.then(|| Suppressor::new(self.rate));
        }
    }

    /// RMS of what leaves for the far end.
    pub fn near_level(&self) -> Dbov {
        self.near.rms()
    }

    /// RMS of what the far end sends.
    pub fn far_level(&self) -> Dbov {
        self.far.rms()
    }

    /// The next digit that the far end has sent as tones, oldest first; each once.
    pub fn next_digit(&mut self) -> Option<Digit> {
        self.digits.pop()
    }
}

/// The digits that wait; when full, new ones are dropped: what was dialled first is what a command begins with.
#[derive(Clone, Debug, Default)]
struct Digits {
    waiting: [Option<Digit>; WAITING_DIGITS],
    first: usize,
    count: usize,
}

impl Digits {
    fn push(&mut self, digit: Digit) {
        let slot = self.waiting.get_mut((self.first + self.count) % WAITING_DIGITS);
        if let Some(slot) = slot.filter(|slot| slot.is_none()) {
            *slot = Some(digit);
            self.count += 1;
        }
    }

    fn pop(&mut self) -> Option<Digit> {
        let digit = self.waiting.get_mut(self.first)?.take()?;
        self.first = (self.first + 1) % WAITING_DIGITS;
        self.count -= 1;
        Some(digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsp::dtmf::{Generator, Shape};

    const RATE: SampleRate = SampleRate::HZ_48000;

    fn dialled(keys: &str) -> Vec<f32> {
        let digits = keys.chars().filter_map(Digit::from_char);
        digits.flat_map(|digit| Generator::new(RATE, digit, Shape::default())).collect()
    }

    fn digits(engine: &mut Engine) -> String {
        std::iter::from_fn(|| engine.next_digit()).map(Digit::as_char).collect()
    }

    #[test]
    fn the_microphone_passes_unchanged_until_told_otherwise() {
        let mut engine = Engine::new(RATE);
        let mic: Vec<f32> = (0..128).map(|at| (at as f32 / 7.0).sin() / 3.0).collect();
        let mut out = [0.0; 128];
        engine.process(&mic, &[0.0; 128], &mut out);
        assert_eq!(mic, out);
        engine.set_gain(2.0);
        (0..10).for_each(|_| engine.process(&mic, &[0.0; 128], &mut out));
        assert!(mic.iter().zip(out).all(|(mic, out)| mic * 2.0 == out));
        engine.set_muted(true);
        (0..10).for_each(|_| engine.process(&mic, &[0.0; 128], &mut out));
        assert_eq!(out, [0.0; 128]);
    }

    #[test]
    fn the_far_end_is_not_sent_back_once_the_suppressor_is_on_and_is_again_once_it_is_off() {
        let mut engine = Engine::new(RATE);
        let sent = [true, false].map(|on| {
            engine.set_suppressor(on);
            let mut out = [0.0; 480];
            for block in 0..100 {
                let far: [f32; 480] = core::array::from_fn(|at| ((block * 480 + at) as f32 / 9.0).sin() / 3.0);
                engine.process(&far.map(|sample| sample / 2.0), &far, &mut out);
            }
            out.iter().fold(0.0_f32, |most, sample| most.max(sample.abs()))
        });
        assert!(sent[0] < 1e-3 && sent[1] > 0.15, "{sent:?}");
        // A far end that is not connected is silence.
        engine.set_suppressor(true);
        let mut out = [0.0; 1_000];
        engine.process(&[0.25; 1_000], &[], &mut out);
        assert_eq!((out[959], out[960], out[999]), (0.0, 0.25, 0.25), "20 ms late");
    }

    #[test]
    fn digits_of_the_far_end_come_out_once_and_in_order_at_every_block_length() {
        for frames in [1, 128, 441, MAX_FRAMES] {
            let mut engine = Engine::new(RATE);
            for far in dialled("*76#0").chunks(frames) {
                let mut out = [0.0; MAX_FRAMES];
                engine.process(&[0.0; MAX_FRAMES], far, &mut out);
            }
            assert_eq!(digits(&mut engine), "*76#0", "blocks of {frames}");
            assert_eq!(engine.next_digit(), None);
        }
    }

    #[test]
    fn digits_of_the_microphone_are_not_reported() {
        let mut engine = Engine::new(RATE);
        let mut out = [0.0; 128];
        dialled("123").chunks(128).for_each(|mic| engine.process(mic, &[], &mut out));
        assert_eq!(engine.next_digit(), None);
        assert!(engine.near_level().0 > -20.0 && engine.far_level() == Dbov::SILENCE);
    }

    #[test]
    fn digits_that_nobody_fetches_are_bounded() {
        let mut engine = Engine::new(RATE);
        let keys: String = "0123456789".repeat(4);
        engine.process(&[], &dialled(&keys), &mut []);
        assert_eq!(digits(&mut engine), keys[..WAITING_DIGITS]);
        engine.process(&[], &dialled("5"), &mut []);
        assert_eq!(digits(&mut engine), "5");
    }

    #[test]
    fn bad_numbers_never_leave() {
        let mut engine = Engine::new(RATE);
        engine.set_gain(f32::NAN);
        engine.set_gain(f32::INFINITY);
        let mut out = [9.0; 4];
        for _ in 0..200 {
            engine.process(&[f32::NAN, f32::NEG_INFINITY, 1e30, -1e-40], &[f32::NAN; 4], &mut out);
        }
        assert!(out.iter().all(|sample| sample.abs() <= 1.0), "{out:?}");
        assert_eq!((out[0], out[1], out[2]), (0.0, 0.0, 1.0));
    }
}
