//! The line: audio as frames both ways, for a call whose network lets no WebRTC pass. The microphone's samples go to 8 kHz and into frames of
//! 20 ms, or of up to 60 where the shopper saves; frames that come are played out through an adaptive jitter buffer and brought to the
//! context's rate. They are of G.711, or of Opus once the module that codes it is there ([`opus`]): its head says of each frame what it is,
//! and playout goes on over the change.
//!
//! A module of its own, fetched only when it is needed: a call over WebRTC does without these bytes. No strings, no allocation, no imports;
//! nothing in [`Line::process`] locks or panics. Not here: who carries the frames, and when the line is open.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod abi;
pub mod opus;

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic: that is how it fails")]
mod tests;

use crate::opus::{Coded, Coder, Opus};
use dsp::g711::Law;
use dsp::playout::{Arrival, Config, Packet, Playout, SampleTime};
use dsp::resample::{Decimator, Interpolator, Kernel};
use dsp::{SampleRate, units};
use frame::{Frame, HEADER_BYTES, Kind};

/// Samples in a frame of G.711 that goes: 20 ms.
const FRAME: usize = 160;

/// Samples in the longest frame that goes: 60 ms of Opus, or of G.711 in the place of Opus that failed.
const LONGEST_FRAME: usize = 3 * FRAME;

/// The most bytes of a frame that goes.
const FRAME_BYTES: usize = HEADER_BYTES + LONGEST_FRAME;

/// Samples that are played out at a time: 5 ms, since a larger block delays by as much.
const BLOCK: usize = 40;

/// The longest payload that is played: 60 ms of G.711. Gateways send 20 ms of it, or up to 60 ms of Opus in less.
const MAX_FRAME: usize = 480;

/// Opus' clock (RFC 7587 section 4.1) is everybody's here, so that a sender may change between codecs in mid-stream.
const CLOCK: SampleRate = SampleRate::HZ_48000;

/// Frames that wait to be fetched: more than the largest block of a context makes, and the worklet fetches after each.
const WAITING: usize = 16;

/// On a reliable transport audio comes late rather than not: what waits longer has been overtaken by events.
const PLAYOUT: Config = Config { min_delay_ms: 20, max_delay_ms: 400 };

/// All frames that come are one stream.
const SSRC: u32 = 0;

/// Both directions.
#[derive(Clone, Debug)]
pub struct Line {
    rate: SampleRate,
    kernel: Kernel,
    is_open: bool,
    down: Decimator,
    up: Interpolator,
    playout: Playout<{ 1 + MAX_FRAME }>,
    /// Samples of the context since the line was opened.
    clock: u64,
    /// Samples at 8 kHz that were played out since then.
    played: u64,
    block: [f32; BLOCK],
    next: usize,
    law: Law,
    coder: Coder,
    spoken: [i16; LONGEST_FRAME],
    filled: usize,
    /// Samples that the next frame holds.
    size: usize,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    waiting: [([u8; FRAME_BYTES], usize); WAITING],
    first: usize,
    count: usize,
}

impl Line {
    /// A line that is not open. `None` for rates that cannot be played out, of which there are none.
    pub fn new(rate: SampleRate) -> Option<Self> {
        Some(Self {
            rate,
            kernel: Kernel::new(),
            is_open: false,
            down: Decimator::new(rate),
            up: Interpolator::new(rate),
            playout: Playout::new(SampleRate::HZ_8000, CLOCK, PLAYOUT)?,
            clock: 0,
            played: 0,
            block: [0.0; BLOCK],
            next: BLOCK,
            law: Law::Mu,
            coder: Coder::default(),
            spoken: [0; LONGEST_FRAME],
            filled: 0,
            size: FRAME,
            sequence: 0,
            timestamp: 0,
            marker: true,
            waiting: [([0; FRAME_BYTES], 0); WAITING],
            first: 0,
            count: 0,
        })
    }

    /// Opens the line, or closes it. What waits to be played out when it closes is played to its end.
    pub fn open(&mut self, is_open: bool) {
        self.is_open = is_open;
        self.marker = true;
        self.filled = 0;
        self.count = 0;
        // Whoever listens now has heard nothing before.
        self.coder.reset_encoder();
    }

    /// Speaks Opus from the next frame on, of so many `samples` at 8 kHz, 60 ms at most, and understands it; or G.711 again.
    pub fn use_opus(&mut self, opus: Option<Opus>, samples: usize) {
        self.size = if opus.is_some() { samples.clamp(FRAME, LONGEST_FRAME) } else { FRAME };
        self.coder = Coder::new(opus);
        self.coder.reset_encoder();
    }

    /// Takes the bytes of a frame that came; whether it was one that can be played. The law that it has is spoken while Opus is not.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let Ok(frame) = Frame::read(bytes) else { return false };
        match frame.kind {
            Kind::Pcmu => self.law = Law::Mu,
            Kind::Pcma => self.law = Law::A,
            Kind::Opus if self.coder.has_opus() => {}
            Kind::Opus => return false,
        }
        let mut tagged = [0; 1 + MAX_FRAME];
        let Some((tag, room)) = tagged.split_first_mut() else { return false };
        let Some(room) = room.get_mut(..frame.payload.len()) else { return false };
        *tag = frame.kind.number();
        room.copy_from_slice(frame.payload);
        let payload = tagged.get(..1 + frame.payload.len()).unwrap_or_default();
        let timestamp = frame.timestamp.wrapping_mul(CLOCK.hz() / frame.kind.clock());
        let packet = Packet { ssrc: SSRC, sequence: frame.sequence, timestamp, payload };
        let now = SampleTime(self.clock * 8_000 / u64::from(self.rate.hz()));
        !matches!(self.playout.push(&packet, now), Arrival::BadLength)
    }

    /// Codes `spoken` and fills `heard`, both of the context's rate and of one length. Silence is heard where nothing came.
    pub fn process(&mut self, spoken: &[f32], heard: &mut [f32]) {
        if self.is_open {
            for sample in spoken {
                self.speak(*sample);
            }
        }
        // Never opened: nothing can have come.
        if !self.is_open && self.clock == 0 {
            return heard.fill(0.0);
        }
        let Self { kernel, up, playout, coder, played, block, next, .. } = self;
        for sample in heard.iter_mut() {
            *sample = up.next(kernel, || {
                if *next == BLOCK {
                    playout.pull(coder, block, SampleTime(*played));
                    *played += BLOCK as u64;
                    *next = 0;
                }
                *next += 1;
                block.get(*next - 1).copied().unwrap_or_default()
            });
        }
        self.clock += heard.len() as u64;
    }

    /// Writes the next frame that goes to the beginning of `out`; returns its length, 0 when there is none.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let (true, Some((frame, length))) = (self.count > 0, self.waiting.get(self.first)) else { return 0 };
        let (Some(out), Some(frame)) = (out.get_mut(..*length), frame.get(..*length)) else { return 0 };
        out.copy_from_slice(frame);
        self.first = (self.first + 1) % WAITING;
        self.count -= 1;
        frame.len()
    }

    /// How many samples at 8 kHz were played out, and how many of them stand for what was not there in time.
    pub fn counts(&self) -> (u64, u64) {
        (self.played, self.playout.stats().concealed)
    }

    fn speak(&mut self, sample: f32) {
        let Some(sample) = self.down.push(units::audible(sample), &self.kernel) else { return };
        if let Some(slot) = self.spoken.get_mut(self.filled) {
            *slot = units::to_i16(sample);
        }
        self.filled += 1;
        if self.filled < self.size {
            return;
        }
        let samples = core::mem::take(&mut self.filled);
        let mut payload = [0; LONGEST_FRAME];
        match self.code(samples, &mut payload) {
            Some((kind, length)) => self.put(kind, payload.get(..length).unwrap_or_default()),
            None => self.marker = true,
        }
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
    }

    /// Puts a frame that goes to those that wait. Where they are too many it is left out, and its number with it.
    fn put(&mut self, kind: Kind, payload: &[u8]) {
        let Self { marker, sequence, timestamp, .. } = *self;
        let timestamp = timestamp.wrapping_mul(kind.clock() / SampleRate::HZ_8000.hz());
        let frame = Frame { kind, marker, sequence, timestamp, payload };
        if let Some((slot, length)) =
            self.waiting.get_mut((self.first + self.count) % WAITING).filter(|_| self.count < WAITING)
        {
            *length = frame.write(slot);
            self.count += 1;
        }
        self.marker = false;
        self.sequence = sequence.wrapping_add(1);
    }

    /// Codes the first `samples` that were spoken; what that is then, and how long. `None` when it need not be sent.
    fn code(&mut self, samples: usize, payload: &mut [u8; LONGEST_FRAME]) -> Option<(Kind, usize)> {
        let spoken = self.spoken.get(..samples).unwrap_or(&self.spoken);
        match self.coder.encode(spoken, payload) {
            Coded::Packet(length) => Some((Kind::Opus, length)),
            Coded::LeftOut => None,
            Coded::Failed => {
                let kind = match self.law {
                    Law::Mu => Kind::Pcmu,
                    Law::A => Kind::Pcma,
                };
                Some((kind, self.law.encode(spoken, payload)))
            }
        }
    }
}
