//! Whether the microphone hears its own room or the far end's echo: prediction of the echo band by band, and the decision. Every time
//! here is a frame of 4 ms.

use super::analysis::{BANDS, FRAMES_PER_SECOND};

/// The longest delay of an echo, 252 ms: what Bluetooth and slow sound cards add up to.
const MAX_DELAY: usize = 63;

/// Powers of a band below this are nothing, −90 dBov.
const INAUDIBLE: f32 = 1e-9;

/// The far end's powers above this teach something about the room, −70 dBov.
const HEARD: f32 = 1e-7;

/// Smoothing of powers, a time constant of two frames: more would cost beginnings of words.
const SMOOTHING: f32 = 0.4;

/// How fast a predicted echo dies away: 75 dB a second, a reverberation time of 0.8 s. Livelier rooms are no place to call from.
const TAIL: f32 = 0.933;

/// What the prediction is raised by before a voice is believed in: 5.6 dB where two bands agree, 14.5 dB for one alone. With less, two
/// in a hundred seconds of flite's voices in three rooms were taken for somebody else's; with more, they talked in vain.
const MARGIN: f32 = 3.6;
const MARGIN_OF_ONE: f32 = 28.0;

/// What a voice stands out of the background by, 9 dB: noise of a band has peaks of that height.
const ABOVE_NOISE: f32 = 8.0;

/// Frames in a row that make a voice: two may be the far end's, in a band that it had not used before.
const FRAMES_OF_VOICE: u32 = 3;

/// How long a voice keeps the way after it was last heard: 300 ms, the pause between two words.
const HOLD: u32 = 75;

/// The coupling to begin with: +6 dB, as of a loudspeaker beside the microphone.
const FIRST_COUPLING: f32 = 4.0;

/// −70 to +12 dB.
const COUPLINGS: (f32, f32) = (1e-7, 16.0);

/// How the coupling falls when less comes back than predicted: 5 dB a second, or 25 when it is 10 dB less.
const FALL: f32 = 0.9954;
const FAST_FALL: f32 = 0.977;
const FAR_BELOW: f32 = 0.1;

/// How it rises where what was taken for a voice goes up and down with the far end: 8 dB a second. Somebody has turned up the volume.
const RISE: f32 = 1.0075;

/// The correlation of both envelopes that is no chance.
const CORRELATED: f32 = 0.5;

/// Of an envelope that moves by 3 dB, in bel².
const LEAST_VARIANCE: f32 = 0.09;

/// What another delay must have more of it than the one in use.
const CLEARLY: f32 = 1.1;

/// Frames of the far end's voice before a correlation means anything: 1 s, some four syllables.
const SYLLABLES: u32 = 250;

/// How far back envelopes are correlated, a time constant of two seconds; their means, of half of one.
const CORRELATING: f32 = 1.0 / 500.0;
const CENTRING: f32 = 1.0 / 125.0;

/// Frames before and after the delay found at which an echo may come: direct sound comes before the energy's centre.
const EARLIER: usize = 16;
const LATER: usize = 4;

/// The background is the least of 2 to 4 s, in which everybody takes breath, and 3 dB more: so far below the mean the least lies.
const FLOOR_FRAMES: u32 = 500;
const FLOOR_BIAS: f32 = 2.0;

/// Learns the room; says frame by frame whether the way is open.
#[derive(Clone, Debug)]
pub(super) struct Coupling {
    bands: [Band; BANDS],
    /// The far end's powers, the newest at `at`.
    history: [[f32; BANDS]; MAX_DELAY + 1],
    at: usize,
    delay: Delay,
    floor_age: u32,
    voiced: u32,
    hold: u32,
    open: bool,
    background: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Band {
    near: f32,
    far: f32,
    /// What the far end's powers have left in the room, before the coupling.
    reference: f32,
    coupling: f32,
    floor: f32,
    least: f32,
    least_before: f32,
    slow: f32,
}

impl Coupling {
    pub(super) fn new() -> Self {
        let band = Band { coupling: FIRST_COUPLING, least: f32::MAX, least_before: f32::MAX, ..Band::default() };
        Self {
            bands: [band; BANDS],
            history: [[0.0; BANDS]; MAX_DELAY + 1],
            at: 0,
            delay: Delay::new(),
            floor_age: 0,
            voiced: 0,
            hold: 0,
            open: true,
            background: false,
        }
    }

    /// Whether the microphone is to be heard.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the last frame was the microphone's background and nothing else.
    pub(super) fn is_background(&self) -> bool {
        self.background
    }

    pub(super) fn delay_ms(&self) -> Option<u32> {
        self.delay.found.map(|frames| frames as u32 * 1_000 / FRAMES_PER_SECOND)
    }

    /// Takes one frame of each side's powers.
    pub(super) fn decide(&mut self, near: &[f32; BANDS], far: &[f32; BANDS]) {
        for (band, (near, far)) in self.bands.iter_mut().zip(near.iter().zip(far)) {
            band.near += SMOOTHING * (near - band.near);
            band.far += SMOOTHING * (far - band.far);
        }
        self.at = (self.at + MAX_DELAY) % (MAX_DELAY + 1);
        if let Some(newest) = self.history.get_mut(self.at) {
            *newest = self.bands.map(|band| band.far);
        }
        self.delay.correlate(near.iter().sum(), far.iter().sum());
        let fresh = self.predict();
        let echo = self.bands.iter().any(|band| band.echo() > band.floor + INAUDIBLE);
        let votes = self.bands.iter().filter(|band| band.near > band.threshold(MARGIN)).count();
        let alone = self.bands.iter().any(|band| band.near > band.threshold(MARGIN_OF_ONE));
        let voice = votes >= 2 || alone;
        self.voiced = if voice { self.voiced + 1 } else { 0 };
        self.hold = if self.voiced >= FRAMES_OF_VOICE { HOLD } else { self.hold.saturating_sub(1) };
        self.open = self.hold > 0 || !echo;
        if !echo {
            self.follow_floor();
        }
        self.background = !echo && self.hold == 0 && !voice;
        let same = voice && self.delay.is_correlated();
        for (band, _) in self.bands.iter_mut().zip(fresh).filter(|(_, fresh)| *fresh) {
            band.learn(self.hold > 0 || voice, same);
        }
    }

    /// Brings every band's reference up to date; says for which one the far end speaks just now, and no tail.
    fn predict(&mut self) -> [bool; BANDS] {
        let (from, to) = match self.delay.found {
            Some(delay) => (delay.saturating_sub(EARLIER), (delay + LATER).min(MAX_DELAY)),
            None => (0, MAX_DELAY),
        };
        let mut loudest = [0.0_f32; BANDS];
        for lag in from..=to {
            let then = self.history.get((self.at + lag) % (MAX_DELAY + 1));
            for (loudest, power) in loudest.iter_mut().zip(then.into_iter().flatten()) {
                *loudest = loudest.max(*power);
            }
        }
        let mut fresh = [false; BANDS];
        for ((band, loudest), fresh) in self.bands.iter_mut().zip(loudest).zip(&mut fresh) {
            let tail = band.reference * TAIL;
            *fresh = loudest > tail && loudest > HEARD;
            band.reference = tail.max(loudest).max(INAUDIBLE / 1_000.0);
        }
        fresh
    }

    /// The least power of each band in a while without echo.
    fn follow_floor(&mut self) {
        self.floor_age += 1;
        let turn = self.floor_age >= FLOOR_FRAMES;
        if turn {
            self.floor_age = 0;
        }
        for band in &mut self.bands {
            band.slow += 0.1 * (band.near - band.slow);
            // A microphone that is just being opened gives digital silence, which is no background.
            if band.slow > INAUDIBLE / 100.0 {
                band.least = band.least.min(band.slow);
            }
            let least = band.least.min(band.least_before);
            if least < f32::MAX {
                band.floor = FLOOR_BIAS * least;
            }
            if turn {
                (band.least_before, band.least) = (band.least, f32::MAX);
            }
        }
    }
}

impl Band {
    fn echo(&self) -> f32 {
        self.coupling * self.reference
    }

    fn threshold(&self, margin: f32) -> f32 {
        margin * self.echo() + ABOVE_NOISE * self.floor + INAUDIBLE
    }

    /// From what came back. With a voice in it that says little, unless the voice is the far end's own.
    fn learn(&mut self, voice: bool, same: bool) {
        let back = (self.near - self.floor).max(0.0) / self.reference;
        self.coupling = if !voice {
            if back > self.coupling {
                self.coupling + 0.3 * (back - self.coupling)
            } else if back < FAR_BELOW * self.coupling {
                self.coupling * FAST_FALL
            } else {
                self.coupling * FALL
            }
        } else if same && back > self.coupling {
            self.coupling * RISE
        } else {
            self.coupling
        }
        .clamp(COUPLINGS.0, COUPLINGS.1);
    }
}

/// Finds the delay at which the microphone's level goes up and down with the far end's.
#[derive(Clone, Debug)]
struct Delay {
    near: Envelope,
    far: Envelope,
    history: [f32; MAX_DELAY + 1],
    at: usize,
    products: [f32; MAX_DELAY + 1],
    heard: u32,
    found: Option<usize>,
}

impl Delay {
    fn new() -> Self {
        Self {
            near: Envelope::new(),
            far: Envelope::new(),
            history: [0.0; MAX_DELAY + 1],
            at: 0,
            products: [0.0; MAX_DELAY + 1],
            heard: 0,
            found: None,
        }
    }

    /// Takes both sides' power in one frame.
    fn correlate(&mut self, near: f32, far: f32) {
        self.heard = if far > HEARD { (self.heard + 1).min(SYLLABLES) } else { self.heard };
        let (near, far) = (self.near.push(near), self.far.push(far));
        self.at = (self.at + MAX_DELAY) % (MAX_DELAY + 1);
        if let Some(newest) = self.history.get_mut(self.at) {
            *newest = far;
        }
        let (newer, older) = self.history.split_at(self.at);
        let mut best = (0, 0.0);
        for (lag, (product, far)) in self.products.iter_mut().zip(older.iter().chain(newer)).enumerate() {
            *product += CORRELATING * (near * far - *product);
            if *product > best.1 {
                best = (lag, *product);
            }
        }
        // Once found it stays, unless another one is clearly the better: two voices may keep time by chance.
        let now = self.found.and_then(|lag| self.products.get(lag)).copied().unwrap_or_default();
        if self.heard >= SYLLABLES && self.significant(best.1) && best.1 > CLEARLY * now {
            self.found = Some(best.0);
        }
    }

    /// Whether both envelopes go together, at the delay found.
    fn is_correlated(&self) -> bool {
        self.found.and_then(|lag| self.products.get(lag)).is_some_and(|product| self.significant(*product))
    }

    /// Against what two envelopes that are the same would have; at least that of envelopes that move by 3 dB.
    fn significant(&self, product: f32) -> bool {
        let same = (self.near.variance * self.far.variance).max(LEAST_VARIANCE * LEAST_VARIANCE);
        product > 0.0 && product * product > CORRELATED * CORRELATED * same
    }
}

/// Logarithm of a power, less its mean.
#[derive(Clone, Debug)]
struct Envelope {
    mean: f32,
    variance: f32,
}

impl Envelope {
    fn new() -> Self {
        // Silence: were it less, the first sound of both sides would look alike.
        Self { mean: libm::log10f(INAUDIBLE), variance: 0.0 }
    }

    fn push(&mut self, power: f32) -> f32 {
        let level = libm::log10f(power + INAUDIBLE);
        self.mean += CENTRING * (level - self.mean);
        let centred = level - self.mean;
        self.variance += CORRELATING * (centred * centred - self.variance);
        centred
    }
}
