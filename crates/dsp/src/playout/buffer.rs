//! The buffer itself: what to do when the next sample is due.

use super::conceal::{Concealer, FADED_MS};
use super::jitter::Jitter;
use super::pcm::{MAX_FRAME, Pcm};
use super::redundancy::Redundancy;
use super::store::{Insert, PACKETS, Place, Store};
use super::stream::{Placed, Stream, transit};
use super::stretch::{Direction, best_lag, fade};
use super::{Arrival, Codec, Config, Content, Packet, SampleTime, Stats};
use crate::SampleRate;

/// No larger cap: what is held must fit.
const MAX_DELAY_MS: u32 = 400;

/// How like each other two places of speech must be for a cut between them.
const ALIKE: f32 = 0.6;

/// Below this mean square (−35 dBov) a frame may be silence, if it is no louder than [`NOISE_MARGIN`] above the noise.
const QUIET: f32 = 3e-4;
const NOISE_MARGIN: f32 = 2.5;

/// Below this (−60 dBov) a frame is silence in any case.
const SILENT: f32 = 1e-6;

/// A rounding of the RTP clock to samples is no gap.
const ROUNDING: i64 = 2;

/// An adaptive jitter buffer for one stream, of packets of up to `PAYLOAD` bytes: 960 take 120 ms of G.711, 1275 any Opus frame. It
/// holds some 60 KB and 64 `PAYLOAD`s, never allocates, and can be made in a constant.
///
/// Packets go in with [`Playout::push`] as they arrive, samples come out of [`Playout::pull`] when they are due.
#[derive(Clone, Debug)]
pub struct Playout<const PAYLOAD: usize> {
    rate: SampleRate,
    config: Config,
    stream: Stream,
    jitter: Jitter,
    store: Store<PAYLOAD>,
    pcm: Pcm,
    concealer: Concealer,
    /// The timestamp after the last decoded sample, and its sequence number; `None` until the stream has begun.
    end: Option<Place>,
    /// Samples played since then in place of what is missing.
    missing: i64,
    /// Whether those are the concealer's.
    own_concealment: bool,
    /// The packet that was asked for FEC last.
    asked: Option<i64>,
    redundancy: Redundancy,
    reset_codec: bool,
    frame: usize,
    block: usize,
    noise: f32,
    spliced: u64,
    stats: Stats,
}

enum Step {
    Decode(Place),
    Recover(Place, usize),
    Conceal(usize),
}

impl<const PAYLOAD: usize> Playout<PAYLOAD> {
    /// A buffer that gives samples of `rate` for timestamps of `clock` (RFC 7587 section 4.1: 48 kHz for Opus at any rate). `None` for
    /// rates above 48 kHz.
    pub const fn new(rate: SampleRate, clock: SampleRate, config: Config) -> Option<Self> {
        if rate.hz() > SampleRate::HZ_48000.hz() {
            return None;
        }
        Some(Self {
            rate,
            config,
            stream: Stream::new(clock, rate),
            jitter: Jitter::new(rate),
            store: Store::new(),
            pcm: Pcm::new(),
            concealer: Concealer::new(rate),
            end: None,
            missing: 0,
            own_concealment: true,
            asked: None,
            redundancy: Redundancy::new(),
            reset_codec: false,
            frame: rate.samples(20) as usize,
            block: 0,
            noise: QUIET,
            spliced: 0,
            stats: Stats::ZERO,
        })
    }

    /// Takes a packet that arrives at `now`.
    pub fn push(&mut self, packet: &Packet<'_>, now: SampleTime) -> Arrival {
        self.stats.received += 1;
        if packet.payload.is_empty() || packet.payload.len() > PAYLOAD {
            self.stats.malformed += 1;
            return Arrival::BadLength;
        }
        let (place, arrival) = match self.stream.place(packet, now.0, self.jitter.base()) {
            Placed::Here(place) => (place, Arrival::Stored),
            Placed::Restart(place) => (place, self.begin_anew()),
            Placed::Suspect => {
                self.stats.malformed += 1;
                return Arrival::Suspect;
            }
            Placed::Stale => return Arrival::Stale,
        };
        // With nothing waiting, the past is still open: what comes now is played late rather than never.
        if self.end.is_some_and(|end| place.at + ROUNDING < end.at) {
            self.stats.late += 1;
            self.jitter.measure(transit(now.0, place.at), now.0);
            return Arrival::Late;
        }
        loop {
            match self.store.insert(place, packet.payload) {
                Insert::Stored => break,
                Insert::Duplicate => {
                    self.stats.duplicate += 1;
                    return Arrival::Duplicate;
                }
                Insert::Full => self.drop_first(),
            }
        }
        self.jitter.measure(transit(now.0, place.at), now.0);
        while self.held() > self.cap() && self.store.span() > 0 {
            self.drop_first();
        }
        arrival
    }

    /// Fills `out` with what is due at `now`, the moment at which its first sample is heard; all of it, whatever is there.
    ///
    /// Give the moment that the block was due, not the one at which a late timer fired, and blocks of one length, 60 ms at most: both
    /// add to the delay.
    pub fn pull(&mut self, codec: &mut impl Codec, out: &mut [f32], now: SampleTime) -> Content {
        self.block = out.len();
        let mut content = Content::Silence;
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            if self.pcm.waiting() == 0 {
                self.refill(codec, now.0 + filled as u64, rest.len());
            }
            if !self.own_concealment || !self.concealer.is_faded() {
                content = Content::Sound;
            }
            filled += self.pcm.play(rest);
        }
        content
    }

    /// The sender is gone and another comes: what is held is dropped, there is silence, and the next packet is the first of a stream. What
    /// is known of the network stays.
    pub fn restart(&mut self) {
        self.stream.forget();
        self.begin_anew();
        self.pcm.clear();
        self.concealer = Concealer::new(self.rate);
        self.own_concealment = true;
        self.missing = 0;
    }

    /// What was counted so far, and the delay of now.
    pub fn stats(&self) -> Stats {
        let ms = |samples: i64| self.rate.milliseconds(u64::try_from(samples).unwrap_or_default()) as u32;
        Stats { target_ms: ms(self.target()), held_ms: ms(self.held()), ..self.stats }
    }

    /// Makes at least one sample wait. Each turn of the loop takes a packet out or ends it.
    fn refill(&mut self, codec: &mut impl Codec, at: u64, wanted: usize) {
        for _ in 0..=2 * PACKETS {
            match self.step(at, wanted) {
                Step::Decode(place) => self.decode(codec, place, at),
                Step::Recover(place, length) => self.recover(codec, place, length, at),
                Step::Conceal(length) => self.conceal(codec, length),
            }
            if self.pcm.waiting() > 0 {
                return;
            }
        }
        self.conceal(codec, wanted);
    }

    fn step(&self, at: u64, wanted: usize) -> Step {
        let (Some((next, _)), Some(base)) = (self.store.first(), self.jitter.base()) else {
            return Step::Conceal(wanted);
        };
        // How late the packet would be played if it were now.
        let delay = transit(at, next.at) - base;
        let early = self.target() - delay;
        let Some(end) = self.end else {
            return if early <= 0 { Step::Decode(next) } else { Step::Conceal(wanted.min(early as usize)) };
        };
        let gap = next.at - end.at;
        let open = gap - self.missing;
        if gap <= ROUNDING {
            return Step::Decode(next);
        }
        let is_lost = next.sequence > end.sequence + 1;
        let frame = self.frame as i64;
        let may_recover = is_lost && open > 0 && self.asked != Some(next.sequence) && self.held() + frame <= self.cap();
        if may_recover && (open <= frame || early <= 0) {
            return Step::Recover(next, open.min(frame) as usize);
        }
        // Speech goes on where it would have; after a pause, or once faded, there is no hurry and the delay can be put right.
        let is_speech = is_lost && self.missing < i64::from(self.rate.samples(FADED_MS));
        if early <= 0 || (is_speech && open <= 0) {
            return Step::Decode(next);
        }
        let until = if is_speech { early.min(if open > frame { open - frame } else { open }) } else { early };
        Step::Conceal(wanted.min(until.max(1) as usize))
    }

    fn decode(&mut self, codec: &mut impl Codec, place: Place, at: u64) {
        if core::mem::take(&mut self.reset_codec) {
            codec.reset();
        }
        let is_continued = self.end.is_some_and(|end| self.missing == place.at - end.at) && !self.own_concealment;
        let overlap = if is_continued || self.is_contiguous(place) { 0 } else { self.begin_merge() };
        let follows_loss = self.end.is_some_and(|end| place.sequence > end.sequence + 1);
        let Some((_, payload)) = self.store.first() else { return };
        self.redundancy.handle_time(at, self.rate);
        if follows_loss && codec.has_redundancy(payload) {
            self.redundancy.lost(at, self.rate);
        }
        let length = self.pcm.append(MAX_FRAME, |room| codec.decode(payload, room)).len();
        self.store.remove(place);
        if length == 0 {
            self.stats.malformed += 1;
            return;
        }
        // What overlaps with what was played is not played again.
        let replayed = self.end.map_or(0, |end| end.at - place.at).max(0);
        if replayed > ROUNDING {
            self.pcm.drop_first(replayed as usize, length);
        }
        self.frame = length;
        self.merge(overlap);
        self.listen();
        self.end = Some(Place { at: place.at + length as i64, ..place });
        self.missing = 0;
        self.own_concealment = false;
        self.adjust(codec, at);
    }

    fn recover(&mut self, codec: &mut impl Codec, next: Place, length: usize, at: u64) {
        self.asked = Some(next.sequence);
        let overlap = if self.own_concealment { self.begin_merge() } else { 0 };
        let Some((_, payload)) = self.store.first() else { return };
        let frame = self.frame;
        let recovered = self.pcm.append(frame, |room| codec.recover(payload, room)).len();
        if recovered == 0 {
            return;
        }
        self.pcm.drop_first(recovered.saturating_sub(length), recovered);
        self.merge(overlap);
        self.stats.recovered += recovered.min(length) as u64;
        self.redundancy.lost(at, self.rate);
        self.end = Some(Place { sequence: next.sequence - 1, at: next.at });
        self.missing = 0;
        self.own_concealment = false;
    }

    fn conceal(&mut self, codec: &mut impl Codec, length: usize) {
        let ten = self.rate.samples(10) as usize;
        let quantum = (ten / 4).max(1);
        let whole = (length.min(ten)).div_ceil(quantum) * quantum;
        let may_ask = self.end.is_some() && !self.own_concealment;
        let mut made = 0;
        if may_ask {
            made = self.pcm.append(whole.min(ten), |room| codec.conceal(room)).len();
        }
        if made == 0 {
            if !core::mem::replace(&mut self.own_concealment, true) {
                let (past, at) = self.pcm.view();
                self.concealer.start(past.get(..at).unwrap_or_default());
            }
            let concealer = &mut self.concealer;
            made = self
                .pcm
                .append(length.min(ten), |room| {
                    concealer.fill(room);
                    room.len()
                })
                .len();
        }
        self.missing += made as i64;
        self.stats.concealed += made as u64;
    }

    /// Moves the delay towards its target by one cut, where the signal allows it.
    fn adjust(&mut self, codec: &mut impl Codec, at: u64) {
        let (Some(end), Some(base)) = (self.end, self.jitter.base()) else { return };
        let delay = transit(at, end.at - self.pcm.waiting() as i64) - base;
        let rate = self.rate;
        let ms = |ms: u32| i64::from(rate.samples(ms));
        self.stats.delay_ms = self.rate.milliseconds(delay.max(0) as u64) as u32;
        let excess = delay - self.target();
        let is_silent = self.is_silent();
        let rest = if is_silent {
            0
        } else if excess > ms(40) {
            ms(20)
        } else {
            ms(50)
        };
        if at.saturating_sub(self.spliced) < rest as u64 {
            return;
        }
        let (shortest, window) = (ms(5) / 2, (ms(15) / 2) as usize);
        let direction = match (is_silent, excess) {
            (true, excess) if excess > shortest => Direction::Forward,
            (false, excess) if excess > ms(8) => Direction::Forward,
            (true, excess) if excess < -shortest => Direction::Back,
            (false, excess) if excess < -ms(5) => Direction::Back,
            _ => return,
        };
        let longest = excess.abs().min(ms(25) / 2).max(shortest) as usize;
        if direction == Direction::Forward {
            self.look_ahead(codec, longest + window);
        }
        let (samples, head) = self.pcm.view();
        let Some(found) = best_lag(samples, head, window, (shortest as usize, longest), direction, self.rate) else {
            return;
        };
        // Far off the target, a rough cut is the lesser evil.
        let enough = if excess > ms(80) { 0.0 } else { ALIKE };
        if !is_silent && found.correlation < enough {
            return;
        }
        let overlap = ms(5) as usize;
        match direction {
            Direction::Forward => self.stats.removed += found.lag as u64,
            Direction::Back if self.pcm.has_room(found.lag) => self.stats.inserted += found.lag as u64,
            Direction::Back => return,
        }
        self.pcm.splice(direction, found.lag, overlap);
        self.spliced = at;
    }

    /// Decodes what follows without a gap until `wanted` samples wait.
    fn look_ahead(&mut self, codec: &mut impl Codec, wanted: usize) {
        while self.pcm.waiting() < wanted {
            let Some((place, payload)) = self.store.first() else { return };
            if !self.is_contiguous(place) {
                return;
            }
            let length = self.pcm.append(MAX_FRAME, |room| codec.decode(payload, room)).len();
            self.store.remove(place);
            if length == 0 {
                self.stats.malformed += 1;
                return;
            }
            self.end = Some(Place { at: place.at + length as i64, ..place });
        }
    }

    fn is_contiguous(&self, place: Place) -> bool {
        self.end.is_some_and(|end| self.missing == 0 && (place.at - end.at).abs() <= ROUNDING)
    }

    /// Makes sure that there is a continuation of what was played; returns how long to fade over from it.
    fn begin_merge(&mut self) -> usize {
        if !self.own_concealment {
            let (past, at) = self.pcm.view();
            self.concealer.start(past.get(..at).unwrap_or_default());
        }
        self.concealer.overlap()
    }

    fn merge(&mut self, overlap: usize) {
        let concealer = &mut self.concealer;
        for (k, sample) in self.pcm.ahead_mut().iter_mut().take(overlap).enumerate() {
            *sample = fade(concealer.next_sample(), *sample, k, overlap);
        }
    }

    /// Follows the level of the background: down at once, up by 1 dB in 10 frames.
    fn listen(&mut self) {
        let power = mean_square(self.pcm.ahead());
        self.noise = (self.noise * 1.023).clamp(SILENT, QUIET).min(power.max(SILENT));
    }

    fn is_silent(&self) -> bool {
        let power = mean_square(self.pcm.ahead());
        power <= SILENT || (power < QUIET && power < self.noise * NOISE_MARGIN)
    }

    /// What is decoded already is played; the rest belongs to a sender that is gone.
    fn begin_anew(&mut self) -> Arrival {
        let is_first = self.end.is_none() && self.store.is_empty();
        self.store.clear();
        self.jitter.restart();
        self.end = None;
        self.asked = None;
        if is_first {
            return Arrival::Stored;
        }
        self.reset_codec = true;
        self.stats.restarts += 1;
        Arrival::Restarted
    }

    fn drop_first(&mut self) {
        if let Some((place, _)) = self.store.first() {
            self.store.remove(place);
            self.stats.overflowed += 1;
        }
    }

    /// Samples held, decoded or not.
    fn held(&self) -> i64 {
        let packets = if self.store.is_empty() { 0 } else { self.store.span() + self.frame as i64 };
        packets + self.pcm.waiting() as i64
    }

    fn cap(&self) -> i64 {
        i64::from(self.rate.samples(self.config.max_delay_ms.min(MAX_DELAY_MS)))
    }

    /// The delay to steer to. A block is asked for as a whole, so the last of its samples must be there when the first is due. It stays
    /// below the cap by what may come at once: a stream that waited for more than may be held would never begin.
    fn target(&self) -> i64 {
        let highest = self.cap() - (2 * self.frame + self.block) as i64;
        let redundancy = if self.redundancy.is_waited_for() { self.frame as i64 } else { 0 };
        let wanted = self.jitter.percentile() + self.block as i64 + redundancy;
        wanted.max(i64::from(self.rate.samples(self.config.min_delay_ms))).min(highest).max(0)
    }
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32
}
