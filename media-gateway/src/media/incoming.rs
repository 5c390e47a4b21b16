//! Audio that comes in on a leg: a playout buffer ([`dsp::playout`]) and the decoder of the leg's codec. Packets go in as they
//! arrive, a piece of 20 ms comes out whenever one is due, whatever the network does.
//!
//! Deliberately not here: RTP headers and statistics ([`super::rtp`], [`super::sequence`]), what becomes of the pieces
//! ([`super::bridge`]), and when they are due.

use std::time::{Duration, Instant};

use dsp::SampleRate;
use dsp::g711::Law;
use dsp::playout::{Arrival, Codec, Config, Content, G711, Packet, Playout, SampleTime, Stats};

use super::numbering::Numbering;

/// What both legs are decoded to: a phone line carries no more, and nothing is resampled.
pub(crate) const RATE: SampleRate = SampleRate::HZ_8000;

/// The cadence of everything that is sent (RFC 3551 section 4.2: the default packet time).
pub(crate) const PIECE_TIME: Duration = Duration::from_millis(20);

/// Samples in a piece.
pub(crate) const PIECE_SAMPLES: usize = 160;

/// 20 ms of audio at [`RATE`], full scale ±1.0.
pub(crate) type Piece = [f32; PIECE_SAMPLES];

/// Opus frames have 1275 bytes at most (RFC 6716 section 3.2.1). A packet may hold several; none that negotiated our bit rates does
/// and is longer.
const MAX_OPUS_PACKET: usize = 1275;

/// The longest payload, behind the byte that says what it is: 120 ms of G.711 are 960 bytes, and none sends more than 60 ms.
const MAX_PAYLOAD: usize = 1 + MAX_OPUS_PACKET;
const MAX_AGENT_PAYLOAD: usize = 1 + 960;

/// Opus' RTP clock runs so many times as fast as that of G.711.
const OPUS_TICKS: u32 = 6;

/// The byte before a payload of Opus; G.711 has its static payload type (RFC 3551 section 6).
const OPUS_TAG: u8 = 0xFF;

/// The visitor's Opus, or G.711 where audio goes as frames.
pub(crate) type VisitorAudio = Incoming<VisitorDecoder, MAX_PAYLOAD>;

/// The far end's G.711.
pub(crate) type AgentAudio = Incoming<G711Decoder, MAX_AGENT_PAYLOAD>;

/// Why there is no decoder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AudioError {
    /// libopus has no memory.
    #[error("no Opus: {0}")]
    Opus(#[from] opus::Error),
    /// Playout refuses rates above 48 kHz.
    #[error("no playout at this rate")]
    Rate,
}

/// One leg's audio.
pub(crate) struct Incoming<C, const PAYLOAD: usize> {
    playout: Box<Playout<PAYLOAD>>,
    codec: C,
    start: Instant,
    numbering: Numbering,
}

impl<C: Codec, const PAYLOAD: usize> Incoming<C, PAYLOAD> {
    fn with(codec: C, clock: SampleRate, now: Instant) -> Result<Self, AudioError> {
        let playout = Box::new(Playout::new(RATE, clock, Config::default()).ok_or(AudioError::Rate)?);
        Ok(Self { playout, codec, start: now, numbering: Numbering::default() })
    }

    /// The stream has used a sequence number for something else than audio (an event, comfort noise), which is no loss.
    pub(crate) fn leave_out(&mut self, number: u16) {
        self.numbering.leave_out(number);
    }

    /// Another sender comes: what is held of this one is not played.
    pub(crate) fn forget(&mut self) {
        self.playout.restart();
        self.numbering = Numbering::default();
    }

    /// The piece that is due at `due`: all of it, whatever has come.
    pub(crate) fn pull(&mut self, piece: &mut Piece, due: Instant) -> Content {
        self.playout.pull(&mut self.codec, piece, sample_time(self.start, due))
    }

    /// What was counted, and the delay of now.
    pub(crate) fn stats(&self) -> Stats {
        self.playout.stats()
    }

    /// A stream may change its codec at any packet, and what waits is decoded later: so each says what it is.
    fn store(&mut self, tag: u8, (ssrc, sequence, timestamp): Place, payload: &[u8], now: Instant) -> Arrival {
        let mut tagged = [0; MAX_PAYLOAD];
        let Some((first, rest)) = tagged.split_first_mut() else { return Arrival::BadLength };
        let Some(rest) = rest.get_mut(..payload.len()).filter(|rest| !rest.is_empty()) else {
            return Arrival::BadLength;
        };
        *first = tag;
        rest.copy_from_slice(payload);
        let payload = tagged.get(..=payload.len()).unwrap_or_default();
        let sequence = self.numbering.audio(sequence);
        self.playout.push(&Packet { ssrc, sequence, timestamp, payload }, sample_time(self.start, now))
    }
}

/// SSRC, sequence number and timestamp.
type Place = (u32, u16, u32);

impl VisitorAudio {
    /// Nothing has come as yet.
    ///
    /// # Errors
    /// [`AudioError::Opus`].
    pub(crate) fn new(now: Instant) -> Result<Self, AudioError> {
        let opus = OpusDecoder(opus::Decoder::new(RATE.hz(), opus::Channels::Mono)?);
        // RFC 7587 section 4.1: Opus' RTP clock runs at 48 kHz whatever is decoded to.
        Self::with(VisitorDecoder { opus, is_opus: true }, SampleRate::HZ_48000, now)
    }

    /// Takes a packet that arrives at `now`: G.711 of `law`, its timestamp at 8 kHz, or Opus, at 48 kHz.
    pub(crate) fn push(&mut self, law: Option<Law>, place: Place, payload: &[u8], now: Instant) -> Arrival {
        match law {
            None => self.store(OPUS_TAG, place, payload, now),
            // One clock for both codecs, so that a sender may change between them.
            Some(law) => {
                let (ssrc, sequence, timestamp) = place;
                let place = (ssrc, sequence, timestamp.wrapping_mul(OPUS_TICKS));
                self.store(law.payload_type(), place, payload, now)
            }
        }
    }
}

impl AgentAudio {
    /// Nothing has come as yet.
    ///
    /// # Errors
    /// [`AudioError`].
    pub(crate) fn new(now: Instant) -> Result<Self, AudioError> {
        Self::with(G711Decoder, RATE, now)
    }

    /// Takes a packet of `law` that arrives at `now`.
    pub(crate) fn push(&mut self, law: Law, place: Place, payload: &[u8], now: Instant) -> Arrival {
        self.store(law.payload_type(), place, payload, now)
    }
}

/// Whatever a visitor sends.
pub(crate) struct VisitorDecoder {
    opus: OpusDecoder,
    /// What came last decides who conceals.
    is_opus: bool,
}

impl Codec for VisitorDecoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        let opus = opus_of(payload);
        self.is_opus = opus.is_some();
        match opus {
            Some(packet) => self.opus.decode(packet, pcm),
            None => G711Decoder.decode(payload, pcm),
        }
    }

    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        opus_of(next).map_or(0, |packet| self.opus.recover(packet, pcm))
    }

    fn has_redundancy(&self, next: &[u8]) -> bool {
        opus_of(next).is_some_and(has_redundancy)
    }

    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        if self.is_opus { self.opus.conceal(pcm) } else { 0 }
    }

    fn reset(&mut self) {
        self.opus.reset();
    }
}

fn opus_of(payload: &[u8]) -> Option<&[u8]> {
    payload.split_first().filter(|(tag, _)| **tag == OPUS_TAG).map(|(_, packet)| packet)
}

/// libopus, with its own concealment and the redundancy of the packet behind a lost one.
struct OpusDecoder(opus::Decoder);

impl Codec for OpusDecoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        self.0.decode_float(payload, pcm, false).unwrap_or_default()
    }

    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        // Without redundancy libopus would conceal; so does playout, and counts it as what it is.
        if has_redundancy(next) { self.0.decode_float(next, pcm, true).unwrap_or_default() } else { 0 }
    }

    fn has_redundancy(&self, next: &[u8]) -> bool {
        has_redundancy(next)
    }

    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        self.0.decode_float(&[], pcm, false).unwrap_or_default()
    }

    fn reset(&mut self) {
        // It fails for no decoder that could be made.
        let _ = self.0.reset_state();
    }
}

/// Both laws of G.711: a peer that offered both may change between them in mid-stream, so each packet says which it is of.
pub(crate) struct G711Decoder;

impl Codec for G711Decoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        let Some((&payload_type, codes)) = payload.split_first() else { return 0 };
        let law = if payload_type == Law::A.payload_type() { Law::A } else { Law::Mu };
        G711(law).decode(codes, pcm)
    }
}

/// Whether an Opus packet holds redundancy for the one before it: the LBRR flag of RFC 6716 section 4.2.4, of either channel, which
/// stands in the first byte of the first SILK frame behind one flag of voice activity for each 20 ms.
pub(super) fn has_redundancy(packet: &[u8]) -> bool {
    const FIRST_CELT_ONLY: u8 = 16;
    let Some(toc) = packet.first() else { return false };
    if toc >> 3 >= FIRST_CELT_ONLY {
        return false;
    }
    let Ok(length) = opus::packet::get_samples_per_frame(packet, RATE.hz()) else { return false };
    let Ok(parsed) = opus::packet::parse(packet) else { return false };
    let Some(first) = parsed.frames.first().and_then(|frame| frame.first()) else { return false };
    let frames = (length / PIECE_SAMPLES).max(1) as u32;
    let is_stereo = toc & 0x04 != 0;
    let flag = |place: u32| 7u32.checked_sub(place).is_some_and(|bit| first >> bit & 1 == 1);
    flag(frames) || (is_stereo && flag(2 * frames + 1))
}

fn sample_time(start: Instant, at: Instant) -> SampleTime {
    let elapsed = at.saturating_duration_since(start).as_micros();
    SampleTime((elapsed * u128::from(RATE.hz()) / 1_000_000) as u64)
}
