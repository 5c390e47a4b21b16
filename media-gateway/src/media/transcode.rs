//! What goes out on a leg: pieces of 20 ms in, packets out, Opus or G.711 for the visitor and frames of any packet time for the far end. Here
//! are also the timelines that go out: sequence numbers and timestamps that run on evenly, whatever came in.
//!
//! Deliberately not here: what the pieces hold ([`super::incoming`]), and how much Opus may spend ([`super::quality`]).

use std::time::{Duration, Instant};

use dsp::g711::Law;
use dsp::units;
use tracing::debug;

use super::incoming::{PIECE_SAMPLES, Piece, RATE};
use super::quality::OpusSettings;

/// The longest packet that goes out: 60 ms, in samples at 8 kHz.
const MAX_PACKET_SAMPLES: usize = 480;

/// Opus' RTP clock (RFC 7587 section 4.1) runs at 48 kHz: so many ticks to a sample at 8 kHz.
const TICKS_PER_SAMPLE: u32 = 6;

/// RFC 6716: the largest Opus packet of one frame.
const MAX_OPUS_PACKET: usize = 1275;

/// What libopus makes of a frame that discontinuous transmission leaves out: such a packet need not be sent.
const DTX_PACKET: usize = 2;

/// A packet's audio, at 8 kHz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame<'a> {
    /// Of its first sample, at 8 kHz.
    pub timestamp: u32,
    /// The first after silence.
    pub marker: bool,
    /// Full scale ±1.0.
    pub samples: &'a [f32],
}

impl Frame<'_> {
    /// Writes the samples as 16-bit ones; returns them.
    pub(crate) fn to_i16(self, linear: &mut [i16; MAX_PACKET_SAMPLES]) -> &[i16] {
        linear.iter_mut().zip(self.samples).for_each(|(to, from)| *to = units::to_i16(*from));
        linear.get(..self.samples.len()).unwrap_or(linear)
    }
}

/// Packs pieces into frames of one length and knows their timestamps, which go on through pieces that are not sent.
pub(crate) struct Framer {
    size: usize,
    next_size: usize,
    samples: Vec<f32>,
    head: u32,
    marker: bool,
    last_piece: Option<Instant>,
}

impl Framer {
    /// Frames of a piece each, the first of which carries `timestamp`, which is to be random (RFC 3550 section 5.1).
    pub(crate) fn new(timestamp: u32) -> Self {
        let samples = Vec::with_capacity(MAX_PACKET_SAMPLES + PIECE_SAMPLES);
        Self { size: PIECE_SAMPLES, next_size: PIECE_SAMPLES, samples, head: timestamp, marker: true, last_piece: None }
    }

    /// Sets how many samples a frame has from the next one on: 10 to 60 ms.
    pub(crate) fn set_size(&mut self, samples: usize) {
        self.next_size = samples.clamp(PIECE_SAMPLES / 2, MAX_PACKET_SAMPLES);
    }

    /// Takes the piece of `now`; `None` is silence that is not sent, but for what completes a frame that has begun. Whole frames go to
    /// `emit`.
    pub(crate) fn push(&mut self, piece: Option<&Piece>, now: Instant, mut emit: impl FnMut(Frame<'_>)) {
        self.last_piece = Some(now);
        match piece {
            Some(piece) => self.extend(piece, &mut emit),
            None => {
                let open = if self.samples.is_empty() { 0 } else { self.size.saturating_sub(self.samples.len()) };
                let closing = open.min(PIECE_SAMPLES);
                self.extend([0.0; PIECE_SAMPLES].get(..closing).unwrap_or_default(), &mut emit);
                if closing < PIECE_SAMPLES {
                    self.head = self.head.wrapping_add((PIECE_SAMPLES - closing) as u32);
                    self.marker = true;
                }
            }
        }
    }

    /// The timestamp of this moment, for what is not made of pieces. Never before that of audio sent.
    pub(crate) fn timestamp_at(&self, now: Instant) -> u32 {
        let since = self.last_piece.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        // At most a day, so that it fits.
        self.end().wrapping_add(since.as_millis().min(86_400_000) as u32 * (RATE.hz() / 1000))
    }

    /// The next frame is the first of something.
    pub(crate) fn mark(&mut self) {
        self.marker = true;
    }

    fn end(&self) -> u32 {
        self.head.wrapping_add(self.samples.len() as u32)
    }

    fn extend(&mut self, mut samples: &[f32], emit: &mut impl FnMut(Frame<'_>)) {
        while !samples.is_empty() {
            if self.samples.is_empty() {
                self.size = self.next_size;
            }
            let (now, later) = samples.split_at(samples.len().min(self.size.saturating_sub(self.samples.len())));
            self.samples.extend_from_slice(now);
            samples = later;
            if self.samples.len() >= self.size {
                emit(Frame { timestamp: self.head, marker: self.marker, samples: &self.samples });
                self.head = self.end();
                self.samples.clear();
                self.marker = false;
            }
        }
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
    /// Counts up by one for each packet.
    pub sequence: u64,
    /// At the clock of the coding.
    pub timestamp: u32,
    /// The first after silence.
    pub marker: bool,
    /// One packet.
    pub payload: &'a [u8],
}

/// From pieces to packets, of Opus unless told otherwise.
pub(crate) struct Encoder {
    opus: opus::Encoder,
    framer: Framer,
    sequence: u64,
    settings: OpusSettings,
    coding: Coding,
}

impl Encoder {
    /// An encoder whose first packet carries `sequence` and `timestamp`, which are to be random (RFC 3550 section 5.1).
    /// The sequence number is to be below 2¹⁵, so that SRTP's rollover counter starts at 0 on both sides (RFC 3711).
    ///
    /// # Errors
    /// What libopus says when it has no memory.
    pub(crate) fn new(sequence: u16, timestamp: u32, settings: OpusSettings) -> Result<Self, opus::Error> {
        let opus = opus::Encoder::new(RATE.hz(), opus::Channels::Mono, opus::Application::Voip)?;
        let framer = Framer::new(timestamp);
        let mut encoder = Self { opus, framer, sequence: u64::from(sequence), settings, coding: Coding::Opus };
        encoder.opus.set_vbr(true)?;
        encoder.apply(settings)?;
        Ok(encoder)
    }

    /// Codes Opus like this from the next packet on.
    pub(crate) fn set_opus(&mut self, settings: OpusSettings) {
        if std::mem::replace(&mut self.settings, settings) == settings {
            return;
        }
        debug!(?settings, "what the visitor is sent");
        if let Err(error) = self.apply(settings) {
            debug!(%error, "libopus does not do as it is told");
        }
    }

    /// The packets go to another browser from now on, with the same condition for `sequence` as at the beginning.
    pub(crate) fn renumber(&mut self, sequence: u16) {
        self.redirect(Coding::Opus, u64::from(sequence));
    }

    /// The packets go another way from now on, coded like this, from `sequence` on. Returns the number that would have come next.
    pub(crate) fn redirect(&mut self, coding: Coding, sequence: u64) -> u64 {
        self.recode(coding);
        self.framer.mark();
        std::mem::replace(&mut self.sequence, sequence)
    }

    /// How packets are coded.
    pub(crate) fn coding(&self) -> Coding {
        self.coding
    }

    /// Codes packets in another way; they go where they went.
    pub(crate) fn recode(&mut self, coding: Coding) {
        let before = std::mem::replace(&mut self.coding, coding);
        if coding == Coding::Opus && before != coding {
            // Who hears the first packet may have heard none before, and none of what was coded since. It fails for no encoder.
            let _ = self.opus.reset_state();
        }
        self.set_size();
    }

    /// Takes the piece of `now`; `None` is silence that is not sent. Whole packets go to `emit`.
    pub(crate) fn push(&mut self, piece: Option<&Piece>, now: Instant, mut emit: impl FnMut(Coded<'_>)) {
        let Self { opus, framer, sequence, coding, .. } = self;
        let mut left_out = false;
        framer.push(piece, now, |frame| {
            let mut packet = [0; MAX_OPUS_PACKET];
            let (coded, clock) = match *coding {
                Coding::Opus => (opus.encode_float(frame.samples, &mut packet), TICKS_PER_SAMPLE),
                Coding::G711(law) => (Ok(law.encode(frame.to_i16(&mut [0; MAX_PACKET_SAMPLES]), &mut packet)), 1),
            };
            match coded {
                Ok(length) if length <= DTX_PACKET => left_out = true,
                Ok(length) => {
                    emit(Coded {
                        coding: *coding,
                        sequence: *sequence,
                        timestamp: frame.timestamp.wrapping_mul(clock),
                        marker: frame.marker,
                        payload: packet.get(..length).unwrap_or_default(),
                    });
                    *sequence += 1;
                }
                Err(error) => debug!(%error, "a frame was not encoded"),
            }
        });
        if left_out {
            framer.mark();
        }
    }

    fn apply(&mut self, settings: OpusSettings) -> Result<(), opus::Error> {
        self.set_size();
        self.opus.set_bitrate(opus::Bitrate::Bits(settings.bitrate))?;
        self.opus.set_complexity(settings.complexity)?;
        self.opus.set_dtx(settings.dtx)?;
        self.opus.set_inband_fec(settings.expected_loss > 0)?;
        self.opus.set_packet_loss_perc(settings.expected_loss)
    }

    fn set_size(&mut self) {
        let pieces = if let Coding::Opus = self.coding { self.settings.pieces } else { 1 };
        self.framer.set_size(pieces * PIECE_SAMPLES);
    }
}
