//! Opus or G.711 ↔ G.711, all at 8 kHz: what a phone line can carry is all that is coded, so nothing is resampled. Here are also the
//! timelines: from the RTP timestamps of one side to those of the other, over loss, silence and restarts.
//!
//! Deliberately no jitter buffer: packets go on as they come, and the ends, which play them, hold them back as they must.

use std::time::{Duration, Instant};

use dsp::g711::Law;
use tracing::debug;

use super::rtp::AGENT_CLOCK;

/// Samples at 8 kHz in the Opus packets that we send: 20 ms, what every browser expects.
pub(crate) const OPUS_FRAME: usize = 160;

/// The longest audio of an Opus packet (RFC 6716 section 3.2.5): 120 ms, in samples at 8 kHz.
const MAX_OPUS_SAMPLES: usize = 960;

/// Opus' RTP clock (RFC 7587 section 4.1) runs at 48 kHz: so many ticks to a sample at 8 kHz.
const TICKS_PER_SAMPLE: u32 = 6;

/// How much loss the decoder makes up for, in samples at 8 kHz: 120 ms. Beyond it concealment is noise, and the far end's own
/// handling of a gap sounds better.
const MAX_CONCEALED: u32 = 960;

/// libopus conceals in steps of 2.5 ms.
const CONCEALMENT_STEP: u32 = 20;

/// A step in a sender's timestamps beyond this is a restart of its clock, not silence: 60 s, in samples at 8 kHz.
const MAX_SILENCE: u32 = 60 * AGENT_CLOCK;

/// RFC 6716: the largest Opus packet of one frame.
const MAX_OPUS_PACKET: usize = 1275;

/// Narrow-band speech is transparent to Opus from about 16 kbit/s; the rest pays for FEC.
const BITRATE: i32 = 24_000;

/// Of 0 to 10. At 8 kHz, 5 costs half the CPU of 10 and is not told from it by ear.
const COMPLEXITY: i32 = 5;

/// The loss that FEC is laid out for, in percent.
const EXPECTED_LOSS: i32 = 10;

/// A piece of audio at 8 kHz for the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Of its first sample, at 8 kHz.
    pub timestamp: u32,
    /// The first after silence.
    pub marker: bool,
    /// Linear samples.
    pub samples: &'a [i16],
}

/// From the visitor's Opus to samples at 8 kHz in pieces of the far end's ptime.
pub(crate) struct Decoder {
    opus: opus::Decoder,
    /// The visitor's timestamp that follows what was decoded last, at 48 kHz.
    expected: Option<u32>,
    last_input: Option<Instant>,
    framer: Framer,
}

impl Decoder {
    /// A decoder whose first frame carries `timestamp`, which is to be random (RFC 3550 section 5.1).
    ///
    /// # Errors
    /// What libopus says when it has no memory.
    pub(crate) fn new(timestamp: u32) -> Result<Self, opus::Error> {
        let opus = opus::Decoder::new(AGENT_CLOCK, opus::Channels::Mono)?;
        Ok(Self { opus, expected: None, last_input: None, framer: Framer::new(OPUS_FRAME, timestamp) })
    }

    /// Sets how many samples a frame has from now on.
    pub(crate) fn set_ptime(&mut self, samples: u16) {
        self.framer.size = usize::from(samples).max(1);
    }

    /// Takes an Opus packet in order of sequence; `is_gap` tells that packets before it never came. Whole frames go to `emit`.
    ///
    /// # Errors
    /// What libopus says of a packet that is no Opus; the packet is lost, the decoder is not.
    pub(crate) fn push(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        is_gap: bool,
        now: Instant,
        mut emit: impl FnMut(Frame<'_>),
    ) -> Result<(), opus::Error> {
        let mut pcm = [0; MAX_OPUS_SAMPLES];
        if let Some(expected) = self.expected {
            let missing = timestamp.wrapping_sub(expected) / TICKS_PER_SAMPLE;
            let conceals = is_gap && (CONCEALMENT_STEP..=MAX_CONCEALED).contains(&missing);
            let whole = (missing - missing % CONCEALMENT_STEP) as usize;
            // The last frame of the gap comes from this packet's FEC when it has it, everything else from thin air.
            if let Some(gap) = pcm.get_mut(..whole).filter(|_| conceals) {
                let concealed = self.opus.decode(payload, gap, true)?;
                self.framer.extend(pcm.get(..concealed).unwrap_or_default(), &mut emit);
            } else if missing > 0 {
                self.skip(missing, now, &mut emit);
            }
        } else {
            self.skip(MAX_SILENCE, now, &mut emit);
        }
        let decoded = self.opus.decode(payload, &mut pcm, false)?;
        self.framer.extend(pcm.get(..decoded).unwrap_or_default(), &mut emit);
        self.expected = Some(timestamp.wrapping_add(decoded as u32 * TICKS_PER_SAMPLE));
        self.last_input = Some(now);
        Ok(())
    }

    /// Takes G.711 in order of sequence, its timestamp at 8 kHz; what is missing before it is silence.
    pub(crate) fn push_g711(
        &mut self,
        law: Law,
        payload: &[u8],
        timestamp: u32,
        now: Instant,
        mut emit: impl FnMut(Frame<'_>),
    ) {
        let mut pcm = [0; MAX_OPUS_SAMPLES];
        let length = law.decode(payload, &mut pcm);
        // One clock for both codecs, so that a sender may change between them.
        let timestamp = timestamp.wrapping_mul(TICKS_PER_SAMPLE);
        let missing = self.expected.map_or(MAX_SILENCE, |expected| timestamp.wrapping_sub(expected) / TICKS_PER_SAMPLE);
        if missing > 0 {
            self.skip(missing, now, &mut emit);
        }
        self.framer.extend(pcm.get(..length).unwrap_or_default(), &mut emit);
        self.expected = Some(timestamp.wrapping_add(length as u32 * TICKS_PER_SAMPLE));
        self.last_input = Some(now);
    }

    /// Takes samples that are made here, one piece after the other without a gap. Whole frames go to `emit`.
    pub(crate) fn push_local(&mut self, samples: &[i16], now: Instant, mut emit: impl FnMut(Frame<'_>)) {
        if self.expected.take().is_some() {
            self.framer.skip(elapsed(self.last_input, now), &mut emit);
        }
        self.framer.extend(samples, &mut emit);
        self.last_input = Some(now);
    }

    /// The visitor's stream starts anew (another SSRC): its timestamps mean nothing any more.
    pub(crate) fn forget(&mut self) {
        self.expected = None;
    }

    /// The far end's timestamp of this moment, for what is not decoded from Opus. Never before that of audio sent.
    pub(crate) fn timestamp_at(&self, now: Instant) -> u32 {
        self.framer.end().wrapping_add(elapsed(self.last_input, now))
    }

    fn skip(&mut self, missing: u32, now: Instant, emit: &mut impl FnMut(Frame<'_>)) {
        // A clock that jumped, backward included, is replaced by ours.
        let silence = if missing < MAX_SILENCE { missing } else { elapsed(self.last_input, now) };
        self.framer.skip(silence, emit);
    }
}

/// How the visitor's audio is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Opus, its timestamps at 48 kHz.
    Opus,
    /// G.711, its timestamps at 8 kHz.
    G711(Law),
}

/// A coded piece of audio for the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coded<'a> {
    /// How.
    pub coding: Coding,
    /// Counts up; a number is left out where the far end's packets were lost, so that the browser conceals.
    pub sequence: u64,
    /// At the clock of the coding.
    pub timestamp: u32,
    /// The first after silence.
    pub marker: bool,
    /// 20 ms.
    pub payload: &'a [u8],
}

/// From samples at 8 kHz to packets of 20 ms, of Opus unless told otherwise.
pub(crate) struct Encoder {
    coder: Coder,
    /// The far end's timestamp that follows what was taken last, at 8 kHz.
    expected: Option<u32>,
    last_input: Option<Instant>,
    framer: Framer,
    sequence: u64,
}

impl Encoder {
    /// An encoder whose first packet carries `sequence` and `timestamp`, which are to be random (RFC 3550 section 5.1).
    /// The sequence number is to be below 2¹⁵, so that SRTP's rollover counter starts at 0 on both sides (RFC 3711).
    ///
    /// # Errors
    /// What libopus says when it has no memory.
    pub(crate) fn new(sequence: u16, timestamp: u32) -> Result<Self, opus::Error> {
        let mut opus = opus::Encoder::new(AGENT_CLOCK, opus::Channels::Mono, opus::Application::Voip)?;
        opus.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
        opus.set_vbr(true)?;
        opus.set_complexity(COMPLEXITY)?;
        opus.set_inband_fec(true)?;
        opus.set_packet_loss_perc(EXPECTED_LOSS)?;
        let framer = Framer::new(OPUS_FRAME, timestamp);
        let coder = Coder { opus, coding: Coding::Opus };
        Ok(Self { coder, expected: None, last_input: None, framer, sequence: u64::from(sequence) })
    }

    /// The packets go to another browser from now on, with the same condition for `sequence` as at the beginning.
    pub(crate) fn renumber(&mut self, sequence: u16) {
        self.redirect(Coding::Opus, u64::from(sequence));
    }

    /// The packets go another way from now on, coded like this, from `sequence` on. Returns the number that would have come next.
    pub(crate) fn redirect(&mut self, coding: Coding, sequence: u64) -> u64 {
        self.coder.coding = coding;
        self.framer.marker = true;
        std::mem::replace(&mut self.sequence, sequence)
    }

    /// How packets are coded.
    pub(crate) fn coding(&self) -> Coding {
        self.coder.coding
    }

    /// Codes packets in another way; they go where they went.
    pub(crate) fn recode(&mut self, coding: Coding) {
        self.coder.coding = coding;
    }

    /// Takes samples of the far end in order of sequence; `is_gap` tells that packets before them never came. Whole packets
    /// go to `emit`.
    pub(crate) fn push(
        &mut self,
        samples: &[i16],
        timestamp: u32,
        is_gap: bool,
        now: Instant,
        mut emit: impl FnMut(Coded<'_>),
    ) {
        let Self { coder, framer, sequence, .. } = self;
        let missing = self.expected.map_or(MAX_SILENCE, |expected| timestamp.wrapping_sub(expected));
        if is_gap && missing <= MAX_CONCEALED {
            // What completes the open frame is silence; whole lost frames are left out by number, so that the browser
            // conceals them; the odd rest is silence again, so that frames stay whole.
            let closing = framer.open().min(missing);
            framer.silence(closing, &mut |frame| encode(coder, sequence, frame, &mut emit));
            let frames = (missing - closing) / OPUS_FRAME as u32;
            *sequence += u64::from(frames);
            framer.head = framer.head.wrapping_add(frames * OPUS_FRAME as u32);
            framer.silence((missing - closing) % OPUS_FRAME as u32, &mut |frame| {
                encode(coder, sequence, frame, &mut emit)
            });
        } else if missing > 0 {
            let silence = if missing < MAX_SILENCE { missing } else { elapsed(self.last_input, now) };
            framer.skip(silence, &mut |frame| encode(coder, sequence, frame, &mut emit));
        }
        framer.extend(samples, &mut |frame| encode(coder, sequence, frame, &mut emit));
        self.expected = Some(timestamp.wrapping_add(samples.len() as u32));
        self.last_input = Some(now);
    }

    /// Takes samples that are made here, one piece after the other without a gap.
    pub(crate) fn push_local(&mut self, samples: &[i16], now: Instant, mut emit: impl FnMut(Coded<'_>)) {
        let Self { coder, framer, sequence, .. } = self;
        if self.expected.take().is_some() {
            framer.skip(elapsed(self.last_input, now), &mut |frame| encode(coder, sequence, frame, &mut emit));
        }
        framer.extend(samples, &mut |frame| encode(coder, sequence, frame, &mut emit));
        self.last_input = Some(now);
    }
}

struct Coder {
    opus: opus::Encoder,
    coding: Coding,
}

fn encode(coder: &mut Coder, sequence: &mut u64, frame: Frame<'_>, emit: &mut impl FnMut(Coded<'_>)) {
    let mut packet = [0; MAX_OPUS_PACKET];
    let (coded, clock) = match coder.coding {
        Coding::Opus => (coder.opus.encode(frame.samples, &mut packet), TICKS_PER_SAMPLE),
        Coding::G711(law) => (Ok(law.encode(frame.samples, &mut packet)), 1),
    };
    match coded {
        Ok(length) => emit(Coded {
            coding: coder.coding,
            sequence: *sequence,
            timestamp: frame.timestamp.wrapping_mul(clock),
            marker: frame.marker,
            payload: packet.get(..length).unwrap_or_default(),
        }),
        Err(error) => debug!(%error, "a frame was not encoded"),
    }
    *sequence += 1;
}

/// Cuts samples into frames of one size and knows their timestamps.
struct Framer {
    size: usize,
    samples: Vec<i16>,
    head: u32,
    marker: bool,
}

impl Framer {
    fn new(size: usize, timestamp: u32) -> Self {
        Self { size, samples: Vec::with_capacity(MAX_OPUS_SAMPLES), head: timestamp, marker: true }
    }

    /// The timestamp that follows the last sample.
    fn end(&self) -> u32 {
        self.head.wrapping_add(self.samples.len() as u32)
    }

    /// How many samples the frame that has begun still lacks; 0 when none has begun.
    fn open(&self) -> u32 {
        if self.samples.is_empty() { 0 } else { self.size.saturating_sub(self.samples.len()) as u32 }
    }

    fn extend(&mut self, mut samples: &[i16], emit: &mut impl FnMut(Frame<'_>)) {
        loop {
            let (now, later) = samples.split_at(samples.len().min(self.size.saturating_sub(self.samples.len())));
            self.samples.extend_from_slice(now);
            samples = later;
            if self.samples.len() < self.size {
                return;
            }
            emit(Frame { timestamp: self.head, marker: self.marker, samples: &self.samples });
            self.head = self.end();
            self.samples.clear();
            self.marker = false;
        }
    }

    fn silence(&mut self, samples: u32, emit: &mut impl FnMut(Frame<'_>)) {
        let zeros = [0; MAX_OPUS_SAMPLES];
        self.extend(zeros.get(..samples as usize).unwrap_or(&zeros), emit);
    }

    /// Leaves out silence: the frame that has begun is completed with it, the rest is not sent.
    fn skip(&mut self, samples: u32, emit: &mut impl FnMut(Frame<'_>)) {
        let closing = self.open().min(samples);
        self.silence(closing, emit);
        if samples > closing {
            self.head = self.head.wrapping_add(samples - closing);
            self.marker = true;
        }
    }
}

fn elapsed(since: Option<Instant>, now: Instant) -> u32 {
    let silence = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    // 8 samples to a millisecond; at most a day, so that it fits.
    (silence.as_millis().min(86_400_000) as u32) * (AGENT_CLOCK / 1000)
}
