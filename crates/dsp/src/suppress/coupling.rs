//! Whether the microphone hears its own room or the far end's echo: prediction of the echo band by band, and the decision. Every time
//! here is a frame of 4 ms.

use super::analysis::{ABOVE, BANDS, FRAMES_PER_SECOND};

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

/// What the prediction is raised by before a band speaks for a voice, and for how many points: 4.8 dB where three bands agree, 7 dB where
/// two do. With 5.6 dB for two, one more of flite's five voices was taken for somebody else's in a kitchen; with more for three,
/// beginnings of words are lost.
const MARGINS: [(f32, u32); 2] = [(3.0, 2), (5.0, 1)];

/// For one band of the telephone's alone 11.5 dB, for the one above 14.5: distortion is less even.
const MARGIN_OF_ONE: f32 = 14.0;
const MARGIN_ABOVE: f32 = 28.0;

/// The points that make a voice.
const VOICE: u32 = 6;

/// What a loudspeaker makes of a telephone's voice above the telephone's band, to begin with: −20 dB, as much as a bad one.
const FIRST_DISTORTION: f32 = 0.01;

/// The least of it, −40 dB: louder passages are bent more than those that it was learned from.
const LEAST_DISTORTION: f32 = 1e-4;

/// What a voice stands out of the background by, 9 dB: noise of a band has peaks of that height.
const ABOVE_NOISE: f32 = 8.0;

/// Frames in a row that make a voice: two may be the far end's, in a band that it had not used before.
const FRAMES_OF_VOICE: u32 = 3;

/// The points that may be the beginning of one, and how many frames without them are no pause yet, 40 ms.
const LIKELY: u32 = 2;
const GAP: u32 = 10;

/// How long a voice keeps the way after it was last heard: 300 ms, the pause between two words.
const HOLD: u32 = 75;

/// The coupling to begin with: +6 dB, as of a loudspeaker beside the microphone.
const FIRST_COUPLING: f32 = 4.0;

/// The least of it, −70 dB; the most of whatever is learned, +12 dB.
const LEAST_COUPLING: f32 = 1e-7;
const MOST: f32 = 16.0;

/// How the coupling falls when less comes back than predicted: 5 dB a second, or 25 when it is 10 dB less.
const FALL: f32 = 0.9954;
const FAST_FALL: f32 = 0.977;
const FAR_BELOW: f32 = 0.1;

/// More than predicted counts once no voice was heard for as long again, 128 ms: the soft beginning of a word is no louder room, and were
/// it taken for one, the rest of the word would have to be louder yet.
const TURN: u32 = 32;

/// How it rises where what was taken for a voice goes up and down with the far end: 13 dB a second. Somebody has turned up the volume.
const RISE: f32 = 1.012;

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
    /// What of an echo is found above the telephone's band.
    distortion: Learned,
    learning_age: u32,
    /// The far end's powers, the newest at `at`.
    history: [[f32; BANDS]; MAX_DELAY + 1],
    at: usize,
    delay: Delay,
    voiced: u32,
    /// Frames since something stood out for the first time, and for the last.
    first: u32,
    last: u32,
    hold: u32,
    open: bool,
    background: bool,
}

#[derive(Clone, Copy, Debug)]
struct Band {
    near: f32,
    far: f32,
    /// What the far end's powers have left in the room, before the coupling.
    reference: f32,
    coupling: Learned,
    /// What it is raised by before this band alone is believed in.
    alone: f32,
    /// An echo that is none of these powers'.
    distorted: f32,
    floor: f32,
    least: f32,
    least_before: f32,
    slow: f32,
    floor_age: u32,
}

impl Coupling {
    pub(super) fn new() -> Self {
        let band = Band {
            near: 0.0,
            far: 0.0,
            reference: 0.0,
            coupling: Learned::new(FIRST_COUPLING, LEAST_COUPLING),
            alone: MARGIN_OF_ONE,
            distorted: 0.0,
            floor: 0.0,
            least: f32::MAX,
            least_before: f32::MAX,
            slow: 0.0,
            floor_age: 0,
        };
        let mut bands = [band; BANDS];
        // Nothing stands out before the background is known.
        (bands[ABOVE].slow, bands[ABOVE].alone) = (1.0, MARGIN_ABOVE);
        Self {
            bands,
            distortion: Learned::new(FIRST_DISTORTION, LEAST_DISTORTION),
            learning_age: 0,
            history: [[0.0; BANDS]; MAX_DELAY + 1],
            at: 0,
            delay: Delay::new(),
            voiced: 0,
            first: 0,
            last: GAP,
            hold: 0,
            open: true,
            background: false,
        }
    }

    /// Whether the microphone is to be heard.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// For how many frames now something has stood out of the echo, gaps between syllables included. It may be nothing yet.
    pub(super) fn stood_out(&self) -> usize {
        self.first as usize
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
        let total = self.distort();
        let echo = self.bands.iter().any(|band| band.echo() > band.floor + INAUDIBLE);
        let points = self.bands.iter().map(Band::points).sum::<u32>();
        let voice = points >= VOICE;
        self.last = if points >= LIKELY { 0 } else { (self.last + 1).min(GAP) };
        self.first = if self.last < GAP { self.first + 1 } else { 0 };
        self.voiced = if voice { self.voiced + 1 } else { 0 };
        self.hold = if self.voiced >= FRAMES_OF_VOICE { HOLD } else { self.hold.saturating_sub(1) };
        self.open = self.hold > 0 || !echo;
        for (index, band) in self.bands.iter_mut().enumerate() {
            // The far end leaves pauses enough where it says next to nothing.
            if index == ABOVE || !echo {
                band.follow_floor();
            }
        }
        self.background = !echo && self.hold == 0 && self.first == 0;
        self.learn(fresh, total, voice);
    }

    /// From what came back, in the bands in which the far end speaks. With a voice in it that says little, unless the voice is the far
    /// end's own.
    fn learn(&mut self, fresh: [bool; BANDS], total: f32, voice: bool) {
        self.learning_age += 1;
        let turn = self.learning_age >= TURN;
        if turn {
            self.learning_age = 0;
        }
        let (busy, same) = (self.hold > 0 || voice, voice && self.delay.is_correlated());
        let [telephone @ .., above] = &mut self.bands;
        for (band, _) in telephone.iter_mut().zip(fresh).filter(|(_, fresh)| *fresh) {
            let back = (band.near - band.floor) / band.reference;
            band.coupling.hear(back, busy, turn);
            if same && back > band.coupling.known {
                band.coupling.known = (band.coupling.known * RISE).min(MOST);
            }
        }
        if fresh.contains(&true) {
            let back = above.near - ABOVE_NOISE * above.floor - above.coupling.known * above.reference;
            self.distortion.hear(back / total, busy, turn);
        }
    }

    /// Predicts what comes above the telephone's band; says how loud the echo is below.
    fn distort(&mut self) -> f32 {
        let [telephone @ .., below, above] = &mut self.bands;
        let total = telephone.iter().map(Band::echo).sum::<f32>() + below.echo();
        // The far end speaks too seldom there to learn from.
        above.coupling = below.coupling;
        above.distorted = self.distortion.known * total;
        total
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
}

impl Band {
    /// Takes a frame without echo. The floor is the least power in a while.
    fn follow_floor(&mut self) {
        // A microphone that is just being opened gives digital silence, which is no background, and no way up to one begins there.
        if self.slow <= INAUDIBLE / 100.0 {
            self.slow = self.near;
        } else {
            self.slow += 0.1 * (self.near - self.slow);
            self.least = self.least.min(self.slow);
        }
        let least = self.least.min(self.least_before);
        if least < f32::MAX {
            self.floor = FLOOR_BIAS * least;
        }
        self.floor_age += 1;
        if self.floor_age >= FLOOR_FRAMES {
            self.floor_age = 0;
            (self.least_before, self.least) = (self.least, f32::MAX);
        }
    }

    fn echo(&self) -> f32 {
        self.coupling.known * self.reference + self.distorted
    }

    /// How much speaks for a voice.
    fn points(&self) -> u32 {
        let (stands, echo) = (self.near - ABOVE_NOISE * self.floor - INAUDIBLE, self.echo());
        let worth = |(margin, points): (f32, u32)| if stands > margin * echo { points } else { 0 };
        MARGINS.into_iter().map(worth).sum::<u32>() + worth((self.alone, VOICE))
    }
}

/// A ratio of what came back to what was to come: the most of it in a while.
#[derive(Clone, Copy, Debug)]
struct Learned {
    known: f32,
    least: f32,
    /// The most since the last turn, and between that and the one before.
    most: f32,
    most_before: f32,
}

impl Learned {
    fn new(known: f32, least: f32) -> Self {
        Self { known, least, most: 0.0, most_before: 0.0 }
    }

    fn hear(&mut self, back: f32, voice: bool, turn: bool) {
        if voice {
            (self.most, self.most_before) = (0.0, 0.0);
            return;
        }
        self.most = self.most.max(back);
        if self.most.max(self.most_before) <= self.known {
            self.known *= if back < FAR_BELOW * self.known { FAST_FALL } else { FALL };
        }
        if turn {
            self.known = self.known.max(self.most_before);
            (self.most_before, self.most) = (self.most, 0.0);
        }
        self.known = self.known.max(self.least).min(MOST);
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
