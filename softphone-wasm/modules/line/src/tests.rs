//! The line against another line.

use super::*;
use crate::opus::Opus;
use dsp::playout::Codec as _;
use dsp::tone::Sine;
use dsp::{Dbm0, Hertz, spectrum};
use opus_module::Quality;
use opus_module::vectors::Voice;
use std::boxed::Box;
use std::cell::RefCell;
use std::vec::Vec;

const RATE: SampleRate = SampleRate::HZ_48000;

/// Two lines, of which one speaks and the other hears; what they say goes over a network.
struct Pair {
    near: Line,
    far: Line,
    speaker: Box<dyn FnMut() -> f32>,
    /// Frames that are held back, and how many come at once then: as over a TCP connection.
    late: (usize, usize),
    on_the_way: Vec<Vec<u8>>,
    heard: Vec<f32>,
    sent: Vec<Vec<u8>>,
}

impl Pair {
    /// Speaks a tone.
    fn new(rate: SampleRate) -> Self {
        let mut sine = Sine::new(rate, Hertz(1_000.0), Dbm0(-10.0));
        Self::with(rate, move || sine.next_sample())
    }

    fn with(rate: SampleRate, speaker: impl FnMut() -> f32 + 'static) -> Self {
        let (mut near, mut far) = (Line::new(rate).unwrap(), Line::new(rate).unwrap());
        near.open(true);
        far.open(true);
        let (on_the_way, heard, sent) = (Vec::new(), Vec::new(), Vec::new());
        Self { near, far, speaker: Box::new(speaker), late: (5, 3), on_the_way, heard, sent }
    }

    /// A block is spoken, and another heard. Frames that `passes` refuses by their number were left out.
    fn turn(&mut self, passes: impl Fn(usize) -> bool) {
        let mut out = [0.0; 128];
        let spoken: Vec<f32> = (0..128).map(|_| (self.speaker)()).collect();
        self.near.process(&spoken, &mut out);
        let mut bytes = [0; 2_000];
        loop {
            let length = self.near.take(&mut bytes);
            if length == 0 {
                break;
            }
            self.sent.push(bytes[..length].to_vec());
            if passes(self.sent.len()) {
                self.on_the_way.push(bytes[..length].to_vec());
            }
        }
        let (held, burst) = self.late;
        while self.on_the_way.len() >= held + burst {
            self.on_the_way.drain(..burst).for_each(|frame| assert!(self.far.push(&frame)));
        }
        self.far.process(&[0.0; 128], &mut out);
        self.heard.extend_from_slice(&out);
    }

    fn run(&mut self, seconds: usize) {
        for _ in 0..seconds * self.far.rate.hz() as usize / 128 {
            self.turn(|_| true);
        }
    }

    fn kinds(&self) -> Vec<Kind> {
        self.sent.iter().map(|frame| Frame::read(frame).unwrap().kind).collect()
    }
}

/// Of the 1,000 Hz that are spoken, above or below what was spoken.
fn level(samples: &[f32], rate: SampleRate) -> f32 {
    spectrum::tone_level(samples, rate, Hertz(1_000.0)).0 - Dbm0(-10.0).to_dbov().0
}

#[test]
fn a_tone_passes_at_every_rate_through_bursts() {
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_44100, RATE, SampleRate::new(192_000).unwrap()] {
        let mut pair = Pair::new(rate);
        pair.run(4);
        let steady = &pair.heard[2 * rate.hz() as usize..3 * rate.hz() as usize];
        assert!(level(steady, rate).abs() < 1.0, "{} dB at {} Hz", level(steady, rate), rate.hz());
        let stats = pair.far.playout.stats();
        assert!(stats.late == 0 && stats.overflowed == 0 && stats.target_ms < 120, "{stats:?}");
    }
}

#[test]
fn a_far_end_that_changes_its_law_is_no_noise_and_is_answered_in_it() {
    let mut pair = Pair::new(RATE);
    pair.run(2);
    pair.near.law = Law::A;
    pair.run(2);
    assert!(pair.heard.iter().all(|sample| sample.abs() < 0.5), "louder than was spoken");
    let mut far = pair.far;
    let mut bytes = [0; FRAME_BYTES];
    while far.take(&mut bytes) > 0 {}
    for _ in 0..10 {
        far.process(&[0.0; 128], &mut [0.0; 128]);
    }
    assert!(far.take(&mut bytes) > 0);
    assert_eq!(Frame::read(&bytes).map(|frame| frame.kind), Ok(Kind::Pcma));
}

#[test]
fn a_closed_line_says_nothing_and_what_is_no_frame_does_no_harm() {
    let mut line = Line::new(RATE).unwrap();
    let mut heard = [1.0; 128];
    (0..100).for_each(|_| line.process(&[0.5; 128], &mut heard));
    assert_eq!((line.take(&mut [0; 200]), heard), (0, [0.0; 128]));
    line.open(true);
    // Of Opus there is none as yet.
    for bytes in [&[][..], &[0; HEADER_BYTES], &[111, 0, 0, 0, 0, 0, 0, 1], &[0; HEADER_BYTES + MAX_FRAME + 1]] {
        assert!(!line.push(bytes));
    }
    (0..300).for_each(|_| line.process(&[0.5; 128], &mut heard));
    let mut frames = 0;
    while line.take(&mut [0; 200]) > 0 {
        frames += 1;
    }
    assert_eq!(frames, WAITING, "what nobody fetches is bounded");
}

#[test]
fn opus_takes_over_and_leaves_again_and_nothing_is_lost_doubled_or_moved() {
    let mut pair = Pair::new(RATE);
    pair.run(2);
    pair.far.use_opus(Some(native::HEARS), FRAME);
    pair.near.use_opus(Some(native::OPUS), FRAME);
    let before = pair.far.playout.stats();
    pair.run(2);
    pair.near.use_opus(None, 0);
    pair.run(2);

    let frames: Vec<_> = pair.sent.iter().map(|bytes| Frame::read(bytes).unwrap()).collect();
    for (pair, next) in frames.iter().zip(frames.iter().skip(1)) {
        let at = |frame: &Frame<'_>| frame.timestamp.wrapping_mul(CLOCK.hz() / frame.kind.clock());
        assert_eq!(next.sequence, pair.sequence + 1);
        assert_eq!(at(next) - at(pair), 960, "20 ms after {pair:?}");
    }
    let mut kinds = pair.kinds();
    let of = |kind| kinds.iter().filter(|it| **it == kind).count();
    assert!((99..=101).contains(&of(Kind::Opus)), "{} frames of Opus in 2 s", of(Kind::Opus));
    kinds.dedup();
    assert_eq!(kinds, [Kind::Pcmu, Kind::Opus, Kind::Pcmu]);

    let stats = pair.far.playout.stats();
    let lost =
        |stats: &dsp::playout::Stats| (stats.late, stats.overflowed, stats.malformed, stats.restarts, stats.concealed);
    assert_eq!(lost(&stats), lost(&before), "all that was sent was played in its place");
    let shortest = 960;
    for (at, piece) in pair.heard[RATE.hz() as usize..].chunks_exact(shortest).enumerate() {
        let level = level(piece, RATE);
        // An encoder that begins hands out its first 6.5 ms as silence (RFC 6716 section 4.2.9 and what it looks ahead).
        assert!(level > -8.0 && level < 3.0, "{level} dB {} ms after the first second", at * 20);
    }
    let of_opus = &pair.heard[3 * RATE.hz() as usize..4 * RATE.hz() as usize];
    assert!(level(of_opus, RATE).abs() < 1.0, "{} dB", level(of_opus, RATE));
}

#[test]
fn opus_takes_less_than_half_of_what_g711_takes() {
    let mut pair = Pair::new(RATE);
    pair.near.use_opus(Some(native::OPUS), FRAME);
    pair.far.use_opus(Some(native::HEARS), FRAME);
    pair.run(4);
    let bytes: usize = pair.sent.iter().map(Vec::len).sum();
    let share = bytes as f32 / (pair.sent.len() * (HEADER_BYTES + FRAME)) as f32;
    assert!(share < 0.5, "{share}");
}

#[test]
fn what_opus_loses_comes_from_the_next_frame_and_else_from_its_own_concealment() {
    let mut voice = Voice::default();
    let mut spoken = Vec::new().into_iter();
    let mut pair = Pair::with(SampleRate::HZ_8000, move || {
        if spoken.len() == 0 {
            spoken = voice.piece().map(units::from_i16).to_vec().into_iter();
        }
        spoken.next().unwrap()
    });
    pair.near.use_opus(Some(native::OPUS), FRAME);
    pair.far.use_opus(Some(native::HEARS), FRAME);
    for _ in 0..10 * 8_000 / 128 {
        // One in ten.
        pair.turn(|number| number % 10 != 0);
    }
    let stats = pair.far.playout.stats();
    let lost = (pair.sent.len() / 10 * FRAME) as u64;
    assert!(stats.recovered > lost / 3 && stats.recovered < lost, "of {lost} samples: {stats:?}");
}

#[test]
fn a_line_whose_opus_fails_goes_on_with_g711() {
    let mut pair = Pair::new(RATE);
    pair.far.use_opus(Some(Opus { decode: native::fails, ..native::HEARS }), FRAME);
    pair.near.use_opus(Some(Opus { encode: native::fails, ..native::OPUS }), FRAME);
    pair.run(1);
    assert!(pair.kinds().iter().all(|kind| *kind == Kind::Pcmu));
    pair.near.use_opus(Some(native::OPUS), FRAME);
    pair.run(1);
    assert!(pair.kinds().contains(&Kind::Opus));
    pair.near.use_opus(None, 0);
    pair.run(2);
    let heard = &pair.heard[3 * RATE.hz() as usize..];
    assert!(level(heard, RATE).abs() < 1.0, "{} dB", level(heard, RATE));
}

#[test]
fn who_saves_is_heard_as_well_and_a_pause_of_speech_moves_nothing() {
    native::choose(Quality::Saver);
    // A second of speech, a second of nothing.
    let (mut sine, mut at) = (Sine::new(RATE, Hertz(1_000.0), Dbm0(-10.0)), 0);
    let mut pair = Pair::with(RATE, move || {
        at += 1;
        let sample = sine.next_sample();
        if (at / RATE.hz()).is_multiple_of(2) { sample } else { 0.0 }
    });
    // In a pause nothing comes that could push on what is held back.
    pair.late = (0, 1);
    pair.near.use_opus(Some(native::OPUS), 3 * FRAME);
    pair.far.use_opus(Some(native::HEARS), FRAME);
    pair.run(20);

    let frames: Vec<_> = pair.sent.iter().map(|bytes| Frame::read(bytes).unwrap()).collect();
    assert!(frames.len() < 240, "{} frames in 20 s", frames.len());
    for (frame, next) in frames.iter().zip(frames.iter().skip(1)) {
        assert_eq!((frame.kind, next.sequence), (Kind::Opus, frame.sequence + 1));
        let ticks = next.timestamp - frame.timestamp;
        assert!(ticks % 2_880 == 0 && next.marker == (ticks > 2_880), "{ticks} ticks of 48 kHz before {next:?}");
    }
    let stats = pair.far.playout.stats();
    assert_eq!((stats.late, stats.overflowed, stats.malformed, stats.restarts), (0, 0, 0, 0), "{stats:?}");
    let spoken = |second: usize| &pair.heard[second * RATE.hz() as usize + 24_000..][..RATE.hz() as usize / 4];
    for second in (10..18).step_by(2) {
        let [tone, pause] = [second, second + 1].map(|second| level(spoken(second), RATE));
        assert!(tone.abs() < 2.0 && pause < -40.0, "{tone} dB, and {pause} dB in the pause, after {second} s");
    }
}

#[test]
fn opus_that_fails_or_goes_in_the_middle_of_a_long_frame_loses_none_of_it() {
    native::choose(Quality::Saver);
    let mut pair = Pair::new(RATE);
    pair.near.use_opus(Some(Opus { encode: native::fails, ..native::OPUS }), 3 * FRAME);
    pair.run(2);
    (0..13).for_each(|_| pair.turn(|_| true));
    pair.near.use_opus(None, 0);
    pair.run(2);
    let frames: Vec<_> = pair.sent.iter().map(|bytes| Frame::read(bytes).unwrap()).collect();
    for (frame, next) in frames.iter().zip(frames.iter().skip(1)) {
        assert_eq!((next.kind, next.sequence), (Kind::Pcmu, frame.sequence + 1));
        assert_eq!((next.timestamp - frame.timestamp) as usize, frame.payload.len());
    }
    let steady = &pair.heard[RATE.hz() as usize..];
    assert!(level(steady, RATE).abs() < 1.0, "{} dB", level(steady, RATE));
}

/// The Opus module as the worklet would hand it over, in a native build.
mod native {
    use super::*;
    use opus_module::{Decoder, Encoder, LONGEST, MAX_PACKET, Quality};

    pub(super) const OPUS: Opus = Opus {
        set_word,
        word,
        set_sample,
        sample,
        encode,
        decode,
        recover,
        has_redundancy,
        conceal,
        reset_encoder,
        reset_decoder,
    };

    /// The same, but for what its line says, which is of G.711: there is one encoder.
    pub(super) const HEARS: Opus = Opus { encode: fails, ..OPUS };

    /// Has the encoder code like this from now on.
    pub(super) fn choose(quality: Quality) {
        with(|module| module.encoder = Encoder::new(quality).unwrap());
    }

    struct Module {
        encoder: Encoder,
        decoder: Decoder,
        packet: [u8; MAX_PACKET + 1],
        samples: [i16; LONGEST],
    }

    thread_local! {
        /// Each test has its own.
        static MODULE: RefCell<Module> = RefCell::new(Module {
            encoder: Encoder::new(Quality::Standard).unwrap(),
            decoder: Decoder::new().unwrap(),
            packet: [0; MAX_PACKET + 1],
            samples: [0; LONGEST],
        });
    }

    fn with<R>(body: impl FnOnce(&mut Module) -> R) -> R {
        MODULE.with_borrow_mut(body)
    }

    fn hear(samples: usize, run: impl FnOnce(&mut Decoder, &[u8], &mut [f32]) -> usize) -> usize {
        with(|Module { decoder, packet, samples: slots, .. }| {
            let mut pcm = [0.0; LONGEST];
            let made = run(decoder, packet, &mut pcm[..samples]);
            slots.iter_mut().zip(pcm).for_each(|(to, from)| *to = units::to_i16(from));
            made
        })
    }

    extern "C" fn set_word(at: usize, word: u32) {
        with(|module| module.packet[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes()));
    }

    extern "C" fn word(at: usize) -> u32 {
        with(|module| u32::from_le_bytes(module.packet[4 * at..4 * at + 4].try_into().unwrap()))
    }

    extern "C" fn set_sample(at: usize, sample: i32) {
        with(|module| module.samples[at] = sample as i16);
    }

    extern "C" fn sample(at: usize) -> i32 {
        with(|module| i32::from(module.samples[at]))
    }

    extern "C" fn encode(room: usize) -> usize {
        with(|Module { encoder, packet, samples, .. }| {
            encoder.encode(&samples[..encoder.samples()], &mut packet[..room])
        })
    }

    extern "C" fn decode(length: usize) -> usize {
        hear(LONGEST, |decoder, packet, pcm| decoder.decode(&packet[..length], pcm))
    }

    extern "C" fn recover(length: usize, samples: usize) -> usize {
        hear(samples, |decoder, packet, pcm| decoder.recover(&packet[..length], pcm))
    }

    extern "C" fn has_redundancy(length: usize) -> i32 {
        with(|Module { decoder, packet, .. }| i32::from(decoder.has_redundancy(&packet[..length])))
    }

    extern "C" fn conceal(samples: usize) -> usize {
        hear(samples, |decoder, _, pcm| decoder.conceal(pcm))
    }

    extern "C" fn reset_encoder() {
        with(|module| module.encoder.reset());
    }

    extern "C" fn reset_decoder() {
        with(|module| module.decoder.reset());
    }

    pub(super) extern "C" fn fails(_: usize) -> usize {
        0
    }
}
