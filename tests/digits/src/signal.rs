//! Digits as other people's equipment sends them: made here and not by `dsp`'s generator, so that a fault of that one does not hide in
//! its detector. Hard edges, tones of random phase, in double precision.

use dsp::g711::Law;
use dsp::{Dbm0, Digit, SampleRate, units};
use std::f64::consts::TAU;

/// ITU-T Q.23.
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEYS: &str = "123A456B789C*0#D";

/// What lies between samples at 8 kHz, when they are taken to a higher rate: so many of them to each side.
const TAPS: i64 = 24;

/// How digits are sent and what is wrong with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    /// As it stands in the table.
    pub(crate) name: &'static str,
    /// Tones, then silence, milliseconds.
    pub(crate) on_ms: f64,
    pub(crate) off_ms: f64,
    /// A hole of that many milliseconds in the middle of the tones, which it lengthens.
    pub(crate) gap_ms: f64,
    /// Of each tone, dBm0: low group, high group.
    pub(crate) levels: (f64, f64),
    /// Deviation of each tone's frequency, per cent.
    pub(crate) off: (f64, f64),
    /// Power of both tones over that of noise in the telephone's band, dB.
    pub(crate) noise: Option<f64>,
    /// Coded and decoded on the way.
    pub(crate) law: Option<Law>,
}

impl Condition {
    /// Nothing wrong.
    pub(crate) const PLAIN: Self = Self {
        name: "50 ms, pauses of 50 ms, -12 dBm0",
        on_ms: 50.0,
        off_ms: 50.0,
        gap_ms: 0.0,
        levels: (-12.0, -12.0),
        off: (0.0, 0.0),
        noise: None,
        law: None,
    };

    /// `count` digits at `rate`, and which they are. The same in every run.
    pub(crate) fn send(&self, rate: SampleRate, count: usize) -> (Vec<i16>, Vec<Digit>) {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let hz = f64::from(rate.hz());
        let samples_in = |ms: f64| (ms * hz / 1_000.0).round() as usize;
        let (mut samples, mut sent) = (vec![0.0; samples_in(200.0)], Vec::with_capacity(count));
        while sent.len() < count {
            let Some(digit) = Digit::from_event((random.next() >> 32) as u8 & 15) else { continue };
            let hole = samples_in(self.on_ms / 2.0)..samples_in(self.on_ms / 2.0 + self.gap_ms);
            let tones = self.tones(digit, hz, [random.unit(), random.unit()]);
            let sounding = (0..samples_in(self.on_ms + self.gap_ms)).zip(tones);
            samples.extend(sounding.map(|(at, sample)| if hole.contains(&at) { 0.0 } else { sample }));
            // Each digit lies anew against whatever blocks a detector cuts the stream into.
            samples.extend(std::iter::repeat_n(0.0, samples_in(self.off_ms + 13.0 * random.unit())));
            sent.push(digit);
        }
        samples.extend(std::iter::repeat_n(0.0, samples_in(200.0)));
        if let Some(ratio) = self.noise {
            let power: f64 =
                [self.levels.0, self.levels.1].into_iter().map(|level| amplitude(level).powi(2) / 2.0).sum();
            let deviation = (power / 10f64.powf(ratio / 10.0)).sqrt();
            // At 8 kHz, whatever the rate: the noise is the line's.
            let noise: Vec<f64> =
                (0..samples.len() * 8_000 / rate.hz() as usize + 1).map(|_| random.gaussian()).collect();
            samples.iter_mut().zip(raise(&noise, rate)).for_each(|(sample, noise)| *sample += deviation * noise);
        }
        let samples = samples.into_iter().map(|sample| units::to_i16(sample as f32));
        let samples = match self.law {
            Some(law) => samples.map(|sample| through(law, sample)).collect(),
            None => samples.collect(),
        };
        (samples, sent)
    }

    fn tones(&self, digit: Digit, hz: f64, phases: [f64; 2]) -> impl Iterator<Item = f64> {
        let place = KEYS.find(digit.as_char()).unwrap_or_default();
        let at = |group: [f64; 4], at: usize| group.get(at).copied().unwrap_or_default();
        let tone = |nominal: f64, off: f64, level: f64, phase: f64| {
            let turns = nominal * (1.0 + off / 100.0) / hz;
            (0..).map(move |n| amplitude(level) * (TAU * (turns * f64::from(n) + phase)).sin())
        };
        let low = tone(at(ROWS, place / 4), self.off.0, self.levels.0, phases[0]);
        low.zip(tone(at(COLUMNS, place % 4), self.off.1, self.levels.1, phases[1])).map(|(low, high)| low + high)
    }
}

/// Samples at 8 kHz as they are at a multiple of it: by a windowed sinc.
pub(crate) fn raise(samples: &[f64], rate: SampleRate) -> Vec<f64> {
    let times = i64::from(rate.hz() / 8_000);
    if times == 1 {
        return samples.to_vec();
    }
    let weight = |distance: f64| {
        let window = (distance / (TAPS + 1) as f64 * TAU / 4.0).cos().powi(2);
        if distance == 0.0 { 1.0 } else { window * (TAU / 2.0 * distance).sin() / (TAU / 2.0 * distance) }
    };
    let weights: Vec<Vec<f64>> = (0..times)
        .map(|phase| (1 - TAPS..=TAPS).map(|tap| weight(tap as f64 - phase as f64 / times as f64)).collect())
        .collect();
    let value = |at: i64, weights: &[f64]| {
        let first = at + 1 - TAPS;
        let skipped = first.min(0).unsigned_abs() as usize;
        let from = samples.iter().skip(first.max(0) as usize);
        weights.iter().skip(skipped).zip(from).map(|(weight, sample)| weight * sample).sum()
    };
    (0..samples.len() as i64).flat_map(|at| weights.iter().map(move |weights| value(at, weights))).collect()
}

fn amplitude(dbm0: f64) -> f64 {
    10f64.powf((dbm0 - f64::from(Dbm0::OVERLOAD.0)) / 20.0)
}

fn through(law: Law, sample: i16) -> i16 {
    let (mut code, mut decoded) = ([0], [0]);
    law.encode(&[sample], &mut code);
    law.decode(&code, &mut decoded);
    decoded[0]
}

/// Xorshift (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of mean 0 and variance 1 (Box and Muller 1958).
    fn gaussian(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}
