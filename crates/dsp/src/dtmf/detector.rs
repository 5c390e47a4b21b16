//! A DTMF detector after ITU-T Q.24, for any sampling rate.
//!
//! Audio is cut into hops of 1.25 ms. A Goertzel filter per frequency gives each hop's complex amplitude; sixteen hops under a Hann
//! window make one analysis of 20 ms, and there is one every hop. An analysis is a *hit* when two tones, one of each group, hold
//! most of its power, at levels, twist and frequencies that Q.24 admits; the frequency shows in the phase that a tone gains from
//! one analysis to another. Enough hits in a row start a digit, enough misses in a row end it.
//!
//! It does not remove the tones from the audio, and it does not decide what digits mean.

use super::{HIGH_GROUP, LOW_GROUP};
use crate::{Digit, SampleRate, units};

/// Hops in an analysis. 20 ms: long enough to tell 1.5 % from 3.5 % and for 15 dB of noise, short enough for a pause of 40 ms.
const WINDOW: usize = 16;

/// Hops between the two analyses whose phases are compared. 5 ms: unambiguous to ±100 Hz, beyond any neighbour's half-way.
const LAG: usize = 4;

/// Hops per second. Steps in the window let tones through that lie a multiple of this away; with 800, no tone of one group lies where
/// another's hides it by more than −32 dB.
const HOPS_PER_SECOND: u32 = 800;

/// Weights of the hops of an analysis: sin²(π(k+½)/16), a Hann window.
const HANN: [f32; WINDOW] = [
    0.009_607_36,
    0.084_265_194,
    0.222_214_88,
    0.402_454_84,
    0.597_545_16,
    0.777_785_1,
    0.915_734_8,
    0.990_392_6,
    0.990_392_6,
    0.915_734_8,
    0.777_785_1,
    0.597_545_16,
    0.402_454_84,
    0.222_214_88,
    0.084_265_194,
    0.009_607_36,
];

/// Sum of [`HANN`].
const HANN_SUM: f32 = 8.0;

/// Share of an analysis' power that two tones must hold. A tone that covers 65 % of the window's area reaches it, so that a tone
/// of L ms hits for about L−3 ms and a gap of g ms misses for about g+3 ms.
const HIT_SHARE: f32 = 0.65;

/// Share that the hits of a digit must reach on average once they are steady: 15 dB of noise leaves 97 %; speech seldom comes near.
const STEADY_SHARE: f32 = 0.9;

/// Hits that start a digit: tones from about 30 ms on (Q.24: 40 ms must, 23 ms must not).
const START_HITS: u32 = 22;

/// Hits in a row that make a digit suspected: tones from about 20 ms on. Two syllables in ten minutes come so far.
const SUSPECTED_HITS: u32 = 8;

/// Hits in a row that make a digit likely, if they are steady: tones from about 27 ms on.
const LIKELY_HITS: u32 = 18;

/// Hits after which the tones must be steady: by then they fill the window.
const STEADY_FROM: u32 = 8;

/// How much a steady tone's power may vary between hits, as a ratio: 4 dB, which 15 dB of noise leaves to the weaker tone of a twisted
/// pair. Syllables seldom hold two harmonics that still.
const STEADY: f32 = 2.5;

/// Misses that end a digit: pauses from about 24 ms on (Q.24: 40 ms must, 10 ms must not).
const END_MISSES: u32 = 22;

/// Mean-square power of the weakest tone that counts, −42 dBm0: Q.24 asks for −36 dBm0, and a window's edge lies below.
const WEAKEST: f32 = 1.53e-5;

/// The low group at most 9.5 dB above the high group (Q.24: 8 dB must pass), as a ratio of powers.
const LOW_ABOVE_HIGH: f32 = 8.91;

/// The high group at most 5.5 dB above the low group (Q.24: 4 dB must pass), as a ratio of powers.
const HIGH_ABOVE_LOW: f32 = 3.55;

/// Deviation from nominal, as a fraction, at which a digit is refused: half-way between 1.5 % (must pass) and 3.5 % (must not).
const DEVIATION: f64 = 0.025;

/// The same for a single hit, which has more noise in it than the digit's sum.
const DEVIATION_OF_HIT: f64 = 0.04;

/// What noise may add to the twist of a single hit: 3 dB, as a ratio of powers.
const TWIST_SLACK_OF_HIT: f32 = 2.0;

/// What the detector reports. Positions count samples since the detector was made, and are right to about 4 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A digit is there, about 35 ms after its onset.
    Start {
        /// Which.
        digit: Digit,
        /// Where its tones began.
        at: u64,
    },
    /// The digit is over, about 35 ms after its tones stopped. Follows its `Start`, before any other.
    End {
        /// Which.
        digit: Digit,
        /// How long its tones lasted, samples.
        duration: u64,
    },
}

/// Finds digits in a stream of samples.
#[derive(Clone, Debug)]
pub struct Detector {
    hop: u32,
    filled: u32,
    energy: f32,
    filters: [Filter; 8],
    hops: [Hop; WINDOW],
    newest: usize,
    recent: [[Complex; 8]; LAG],
    position: u64,
    candidate: Option<Candidate>,
    held: Option<Held>,
}

impl Detector {
    /// A detector that has heard silence.
    pub fn new(rate: SampleRate) -> Self {
        let hop = (rate.hz() + HOPS_PER_SECOND / 2) / HOPS_PER_SECOND;
        let mut filters = [Filter::default(); 8];
        for (filter, hz) in filters.iter_mut().zip(LOW_GROUP.iter().chain(&HIGH_GROUP)) {
            *filter = Filter::new(*hz, hop, rate);
        }
        Self {
            hop,
            filled: 0,
            energy: 0.0,
            filters,
            hops: Default::default(),
            newest: 0,
            recent: Default::default(),
            position: 0,
            candidate: None,
            held: None,
        }
    }

    /// Takes samples in and hands out what they complete, in order. How the stream is cut into blocks makes no difference.
    pub fn process(&mut self, block: &[f32], mut on_event: impl FnMut(Event)) {
        for sample in block {
            self.push(*sample, &mut on_event);
        }
    }

    /// The same for 16-bit samples.
    pub fn process_i16(&mut self, block: &[i16], mut on_event: impl FnMut(Event)) {
        for sample in block {
            self.push(units::from_i16(*sample), &mut on_event);
        }
    }

    /// The digit whose tones are there now, from its `Start` to its `End`.
    pub fn current(&self) -> Option<Digit> {
        self.held.as_ref().map(|held| held.digit)
    }

    /// Whether tones are there that make a digit if they last: from about 20 ms after their onset on.
    pub fn suspects(&self) -> bool {
        self.candidate.as_ref().is_some_and(|it| (SUSPECTED_HITS..START_HITS).contains(&it.hits))
    }

    /// Whether such tones are as steady as a digit's, and nearly as long: from about 30 ms after their onset on.
    pub fn is_nearly_sure(&self) -> bool {
        self.candidate.as_ref().is_some_and(|it| (LIKELY_HITS..START_HITS).contains(&it.hits) && it.is_steady())
    }

    fn push(&mut self, sample: f32, on_event: &mut impl FnMut(Event)) {
        let sample = units::audible(sample);
        self.energy += sample * sample;
        for filter in &mut self.filters {
            filter.push(sample);
        }
        self.filled += 1;
        if self.filled == self.hop {
            self.finish_hop(on_event);
        }
    }

    fn finish_hop(&mut self, on_event: &mut impl FnMut(Event)) {
        self.position += u64::from(self.hop);
        self.newest = (self.newest + 1) % WINDOW;
        if let Some(hop) = self.hops.get_mut(self.newest) {
            hop.energy = self.energy;
            for (amplitude, filter) in hop.amplitudes.iter_mut().zip(&mut self.filters) {
                *amplitude = filter.finish();
            }
        }
        (self.filled, self.energy) = (0, 0.0);
        let hit = self.analyse();
        self.follow(hit, on_event);
    }

    /// The analysis that ends with the newest hop.
    fn analyse(&mut self) -> Option<Hit> {
        let (mut spectrum, mut energy) = ([Complex::default(); 8], 0.0);
        for (hop, weight) in self.hops.iter().cycle().skip(self.newest + 1).zip(HANN) {
            energy += weight * hop.energy;
            for (sum, amplitude) in spectrum.iter_mut().zip(&hop.amplitudes) {
                *sum = sum.plus(amplitude.scaled(weight));
            }
        }
        let before = core::mem::replace(self.recent.get_mut(self.newest % LAG)?, spectrum);

        let length = HANN_SUM * self.hop as f32;
        let low = Tone::strongest(&spectrum, &before, &self.filters, 0, length)?;
        let high = Tone::strongest(&spectrum, &before, &self.filters, 4, length)?;
        let share = (low.power + high.power) * length / energy;
        let hit = low.power >= WEAKEST
            && high.power >= WEAKEST
            && low.power <= TWIST_SLACK_OF_HIT * LOW_ABOVE_HIGH * high.power
            && high.power <= TWIST_SLACK_OF_HIT * HIGH_ABOVE_LOW * low.power
            && share >= HIT_SHARE
            && low.limit_of_hit.admits(low.gained)
            && high.limit_of_hit.admits(high.gained);
        hit.then(|| Hit { digit: Digit::at(low.index, high.index), share, low, high })
    }

    fn follow(&mut self, hit: Option<Hit>, on_event: &mut impl FnMut(Event)) {
        let window = self.window_length();
        if let Some(held) = &mut self.held {
            if hit.as_ref().is_some_and(|hit| hit.digit == held.digit) {
                (held.last, held.misses) = (self.position, 0);
                return;
            }
            held.misses += 1;
            if held.misses >= END_MISSES {
                on_event(held.end(window));
                self.held = None;
            }
        }
        let Some(hit) = hit else {
            self.candidate = None;
            return;
        };
        let position = self.position;
        let candidate = match self.candidate.take() {
            Some(candidate) if candidate.digit == hit.digit && candidate.hits < START_HITS => candidate.with(&hit),
            Some(_) | None => Candidate::new(&hit, position),
        };
        if self.held.is_none() && candidate.is_digit(&hit) {
            let held = Held { digit: hit.digit, first: candidate.first, last: position, misses: 0 };
            on_event(Event::Start { digit: held.digit, at: held.onset(window) });
            self.held = Some(held);
        } else {
            self.candidate = Some(candidate);
        }
    }

    fn window_length(&self) -> u64 {
        u64::from(self.hop) * WINDOW as u64
    }
}

/// One frequency's Goertzel recurrence over one hop, with a phase reference that runs on from hop to hop.
#[derive(Clone, Copy, Debug, Default)]
struct Filter {
    coefficient: f32,
    last: f32,
    before: f32,
    /// e^{−jω}.
    back: Complex,
    /// e^{−jω·hop}.
    turn: Complex,
    reference: Complex,
    limit: Limit,
    limit_of_hit: Limit,
}

impl Filter {
    fn new(hz: f32, hop: u32, rate: SampleRate) -> Self {
        let turns = f64::from(hz) / f64::from(rate.hz());
        let back = Complex::unit(-turns);
        let turn = Complex::unit(-turns * f64::from(hop));
        let gained = turns * f64::from(hop) * LAG as f64;
        Self {
            coefficient: 2.0 * back.re,
            last: 0.0,
            before: 0.0,
            back,
            turn,
            reference: Complex { re: 1.0, im: 0.0 },
            limit: Limit(Complex::unit(gained * DEVIATION)),
            limit_of_hit: Limit(Complex::unit(gained * DEVIATION_OF_HIT)),
        }
    }

    fn push(&mut self, sample: f32) {
        let next = sample + self.coefficient * self.last - self.before;
        (self.last, self.before) = (next, self.last);
    }

    /// The hop's amplitude: Σ x·e^{−jωn} but for a constant phase.
    fn finish(&mut self) -> Complex {
        let amplitude = Complex { re: self.last, im: 0.0 }.plus(self.back.scaled(-self.before)).times(self.reference);
        (self.last, self.before) = (0.0, 0.0);
        let turned = self.reference.times(self.turn);
        // One Newton step towards length 1: otherwise rounding would make it grow or shrink over hours.
        self.reference = turned.scaled(1.5 - 0.5 * turned.power());
        amplitude
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Hop {
    amplitudes: [Complex; 8],
    energy: f32,
}

/// The largest phase that a tone of an admitted frequency gains in [`LAG`] hops, as a point on the unit circle. Below 90° for
/// every DTMF frequency.
#[derive(Clone, Copy, Debug, Default)]
struct Limit(Complex);

impl Limit {
    fn admits(self, gained: Complex) -> bool {
        gained.im.abs() * self.0.re <= gained.re * self.0.im
    }
}

/// The strongest tone of a group in one analysis.
#[derive(Clone, Copy, Debug)]
struct Tone {
    /// Row or column.
    index: usize,
    /// Mean square.
    power: f32,
    /// Its amplitude now times the conjugate of its amplitude [`LAG`] hops ago.
    gained: Complex,
    limit: Limit,
    limit_of_hit: Limit,
}

impl Tone {
    fn strongest(
        spectrum: &[Complex; 8],
        before: &[Complex; 8],
        filters: &[Filter; 8],
        first: usize,
        length: f32,
    ) -> Option<Self> {
        let group = spectrum.iter().zip(before).zip(filters).skip(first).take(4).enumerate();
        let (index, ((now, before), filter)) =
            group.max_by(|(_, ((a, _), _)), (_, ((b, _), _))| a.power().total_cmp(&b.power()))?;
        let gained = now.times(before.conjugate());
        // A tone beside the filter's centre reads low by the window's spectrum, here fitted to 0.1 dB up to 25 Hz as a function of the
        // squared cosine of the phase it gained.
        let cosine = gained.re * gained.re / gained.power();
        let loss = 0.25 + (1.13 - 0.38 * cosine) * cosine;
        let power = 2.0 * now.power() / (length * length * loss);
        Some(Self { index, power, gained, limit: filter.limit, limit_of_hit: filter.limit_of_hit })
    }
}

#[derive(Clone, Copy, Debug)]
struct Hit {
    digit: Digit,
    share: f32,
    low: Tone,
    high: Tone,
}

/// Up to [`START_HITS`] hits in a row that are not yet a digit. If they turn out to be none, counting starts again: a tone that swells
/// slowly becomes a digit once it is steady.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    digit: Digit,
    first: u64,
    hits: u32,
    /// Sum over the steady hits.
    share: f32,
    low: Sum,
    high: Sum,
}

impl Candidate {
    fn new(hit: &Hit, position: u64) -> Self {
        let empty =
            Self { digit: hit.digit, first: position, hits: 0, share: 0.0, low: Sum::default(), high: Sum::default() };
        empty.with(hit)
    }

    fn with(self, hit: &Hit) -> Self {
        let steady = self.hits >= STEADY_FROM;
        Self {
            hits: self.hits + 1,
            share: self.share + if steady { hit.share } else { 0.0 },
            low: self.low.with(&hit.low, steady),
            high: self.high.with(&hit.high, steady),
            ..self
        }
    }

    fn is_digit(&self, hit: &Hit) -> bool {
        self.hits >= START_HITS
            && self.is_steady()
            && hit.low.limit.admits(self.low.gained)
            && hit.high.limit.admits(self.high.gained)
    }

    fn is_steady(&self) -> bool {
        self.share >= STEADY_SHARE * self.hits.saturating_sub(STEADY_FROM) as f32
            && self.low.power <= LOW_ABOVE_HIGH * self.high.power
            && self.high.power <= HIGH_ABOVE_LOW * self.low.power
            && self.low.loudest <= STEADY * self.low.faintest
            && self.high.loudest <= STEADY * self.high.faintest
    }
}

/// One tone's hits together. Vectors and powers add up so that the faint hits at the onset hardly count.
#[derive(Clone, Copy, Debug)]
struct Sum {
    power: f32,
    gained: Complex,
    faintest: f32,
    loudest: f32,
}

impl Sum {
    fn with(self, tone: &Tone, steady: bool) -> Self {
        Self {
            power: self.power + tone.power,
            gained: self.gained.plus(tone.gained),
            faintest: if steady { self.faintest.min(tone.power) } else { self.faintest },
            loudest: if steady { self.loudest.max(tone.power) } else { self.loudest },
        }
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self { power: 0.0, gained: Complex::default(), faintest: f32::INFINITY, loudest: 0.0 }
    }
}

/// A digit that was reported and has not ended. `first` and `last` are the ends of its first and last analyses that hit.
#[derive(Clone, Copy, Debug)]
struct Held {
    digit: Digit,
    first: u64,
    last: u64,
    misses: u32,
}

impl Held {
    /// Measured over all digits: analyses hit from where the tones fill 64 % of the window to where they fill 62 %.
    fn onset(&self, window: u64) -> u64 {
        self.first.saturating_sub(window * 64 / 100)
    }

    fn end(&self, window: u64) -> Event {
        let stop = self.last.saturating_sub(window * 38 / 100);
        Event::End { digit: self.digit, duration: stop.saturating_sub(self.onset(window)) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Complex {
    pub(crate) re: f32,
    pub(crate) im: f32,
}

impl Complex {
    /// e^{j2π·turns}, for less than 2³¹ turns. The series, in double precision, is exact for `f32` within half a turn; `libm` would bring
    /// 5 KB of range reduction into the engine.
    pub(crate) fn unit(turns: f64) -> Self {
        const TERMS: u32 = 26;
        let whole = (turns + 0.5_f64.copysign(turns)) as i32;
        let angle = core::f64::consts::TAU * (turns - f64::from(whole));
        let (mut cos, mut sin, mut term) = (0.0, 0.0, 1.0);
        for n in 1..=TERMS {
            match n % 4 {
                1 => cos += term,
                2 => sin += term,
                3 => cos -= term,
                _ => sin -= term,
            }
            term *= angle / f64::from(n);
        }
        Self { re: cos as f32, im: sin as f32 }
    }

    fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    fn times(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    fn scaled(self, factor: f32) -> Self {
        Self { re: self.re * factor, im: self.im * factor }
    }

    fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}
