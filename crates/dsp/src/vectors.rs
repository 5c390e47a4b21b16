//! One number over the bits of everything that this crate computes. A native and a WASM build that both give [`EXPECTED`] agree bit
//! for bit. For tests; no product calls it.

use crate::{
    Dbm0, Digit, Hertz, SampleRate,
    dtmf::{Detector, Event, Generator, Shape},
    g711::Law,
    gain::Gain,
    level::{Ballistics, Meter},
    spectrum,
    suppress::Suppressor,
    tone::{Cadence, Signal, Sine},
    units,
};

/// What [`checksum`] gives on every target. It changes when a module's arithmetic does: then so does what people hear, and this line
/// says that it was meant.
pub const EXPECTED: u32 = 1_152_229_429;

/// Computes the checksum: some 100 ms of work.
pub fn checksum() -> u32 {
    let mut hash = Hash(0x811C_9DC5);
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_44100, SampleRate::HZ_48000] {
        let (mut gain, mut meter, mut detector) =
            (Gain::new(rate), Meter::new(rate, Ballistics::BAR), Detector::new(rate));
        for digit in Digit::ALL {
            gain.set(0.5 + f32::from(digit.event()) / 16.0);
            for sample in Generator::new(rate, digit, Shape { on_ms: 45, off_ms: 45, ..Shape::default() }) {
                let sample = gain.apply(sample);
                hash.float(sample);
                meter.process(&[sample]);
                detector.process(&[sample], |event| hash.event(event));
            }
            hash.float(meter.rms().0);
            hash.float(meter.peak().0);
        }
        suppressed(rate, &mut hash);
        for signal in [Signal::RINGBACK_ETSI, Signal::RINGBACK_US] {
            let mut cadence = Cadence::new(rate, signal);
            (0..4_000).for_each(|_| hash.float(cadence.next_sample()));
        }
        let mut sine = Sine::new(rate, Hertz(1_004.5), Dbm0(-6.5));
        let mut block = [0.0; 1_000];
        block.fill_with(|| sine.next_sample());
        hash.float(spectrum::tone_level(&block, rate, Hertz(1_000.0)).0);
        hash.float(spectrum::strongest_frequency(&block, rate, Hertz(900.0), Hertz(1_100.0)).0);
        for law in [Law::Mu, Law::A] {
            for sample in block {
                let (mut code, mut back) = ([0], [0]);
                law.encode(&[units::to_i16(sample)], &mut code);
                law.decode(&code, &mut back);
                hash.word(u32::from(code[0]) << 16 | u32::from(back[0] as u16));
            }
        }
    }
    hash.0
}

/// A second of a microphone with hum, echo and a voice, through the suppressor.
fn suppressed(rate: SampleRate, hash: &mut Hash) {
    let mut suppressor = Suppressor::new(rate);
    let tone = |hz, dbm0| Sine::new(rate, Hertz(hz), Dbm0(dbm0));
    let (mut hum, mut far, mut voice) = (tone(100.0, -50.0), tone(700.0, -12.0), tone(330.0, -20.0));
    for at in 0..rate.hz() {
        // Syllables of a sixteenth of a second, the voice's of another length.
        let (speaks, talks) = (at * 16 / rate.hz() % 2 == 1, at * 5 / rate.hz() % 3 == 2);
        let far = if speaks { far.next_sample() } else { 0.0 };
        let voice = if talks { voice.next_sample() } else { 0.0 };
        let sent = suppressor.process(hum.next_sample() + 0.2 * far + voice, far);
        hash.float(sent);
    }
    hash.float(suppressor.gain());
    hash.word(suppressor.delay_ms().unwrap_or_default());
}

/// FNV-1a over 32-bit words.
struct Hash(u32);

impl Hash {
    fn word(&mut self, word: u32) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0193);
    }

    fn float(&mut self, value: f32) {
        self.word(value.to_bits());
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Start { digit, at } => self.word(u32::from(digit.event()) << 24 ^ at as u32),
            Event::End { digit, duration } => self.word(!(u32::from(digit.event()) << 24 ^ duration as u32)),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_native_build_computes_the_expected_bits() {
        assert_eq!(super::checksum(), super::EXPECTED, "see EXPECTED before you change it");
    }
}
