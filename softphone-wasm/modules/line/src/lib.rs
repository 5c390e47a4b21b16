//! The line: audio as frames of G.711 both ways, for a call whose network lets no WebRTC pass. The microphone's samples go to 8 kHz and
//! into frames of 20 ms; frames that come are played out through an adaptive jitter buffer and brought to the context's rate.
//!
//! A module of its own, fetched only when it is needed: a call over WebRTC does without these bytes. No strings, no allocation, no imports;
//! nothing in [`Line::process`] locks or panics. Not here: who carries the frames, and when the line is open.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod abi;

use dsp::g711::Law;
use dsp::playout::{self, Arrival, Config, G711, Packet, Playout, SampleTime};
use dsp::resample::{Decimator, Interpolator, Kernel};
use dsp::{SampleRate, units};
use frame::{Frame, HEADER_BYTES, Kind};

/// Samples in a frame that goes: 20 ms.
const FRAME: usize = 160;

/// The bytes of a frame that goes.
const FRAME_BYTES: usize = HEADER_BYTES + FRAME;

/// Samples that are played out at a time: 5 ms, since a larger block delays by as much.
const BLOCK: usize = 40;

/// The longest frame that is played, in samples: 60 ms. Gateways send 20 ms.
const MAX_FRAME: usize = 480;

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
    spoken: [i16; FRAME],
    filled: usize,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    waiting: [[u8; FRAME_BYTES]; WAITING],
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
            playout: Playout::new(SampleRate::HZ_8000, SampleRate::HZ_8000, PLAYOUT)?,
            clock: 0,
            played: 0,
            block: [0.0; BLOCK],
            next: BLOCK,
            law: Law::Mu,
            spoken: [0; FRAME],
            filled: 0,
            sequence: 0,
            timestamp: 0,
            marker: true,
            waiting: [[0; FRAME_BYTES]; WAITING],
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
    }

    /// Takes the bytes of a frame that came; whether it was one that can be played. The law that it has is spoken from now on.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let Ok(frame) = Frame::read(bytes) else { return false };
        self.law = match frame.kind {
            Kind::Pcmu => Law::Mu,
            Kind::Pcma => Law::A,
            Kind::Opus => return false,
        };
        let mut tagged = [0; 1 + MAX_FRAME];
        let Some((tag, room)) = tagged.split_first_mut() else { return false };
        let Some(room) = room.get_mut(..frame.payload.len()) else { return false };
        *tag = self.law.payload_type();
        room.copy_from_slice(frame.payload);
        let payload = tagged.get(..1 + frame.payload.len()).unwrap_or_default();
        let packet = Packet { ssrc: SSRC, sequence: frame.sequence, timestamp: frame.timestamp, payload };
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
        let Self { kernel, up, playout, played, block, next, .. } = self;
        for sample in heard.iter_mut() {
            *sample = up.next(kernel, || {
                if *next == BLOCK {
                    playout.pull(&mut Tagged, block, SampleTime(*played));
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
        let (true, Some(frame)) = (self.count > 0, self.waiting.get(self.first)) else { return 0 };
        let Some(out) = out.get_mut(..FRAME_BYTES) else { return 0 };
        out.copy_from_slice(frame);
        self.first = (self.first + 1) % WAITING;
        self.count -= 1;
        FRAME_BYTES
    }

    /// How many samples at 8 kHz were played out, and how many of them stand for what was not there in time.
    pub fn counts(&self) -> (u64, u64) {
        (self.played, self.playout.stats().concealed)
    }

    fn speak(&mut self, sample: f32) {
        let Some(sample) = self.down.push(sample, &self.kernel) else { return };
        if let Some(slot) = self.spoken.get_mut(self.filled) {
            *slot = units::to_i16(sample);
        }
        self.filled += 1;
        if self.filled < FRAME {
            return;
        }
        self.filled = 0;
        let mut payload = [0; FRAME];
        self.law.encode(&self.spoken, &mut payload);
        let kind = match self.law {
            Law::Mu => Kind::Pcmu,
            Law::A => Kind::Pcma,
        };
        let Self { marker, sequence, timestamp, .. } = *self;
        let frame = Frame { kind, marker, sequence, timestamp, payload: &payload };
        if let Some(slot) = self.waiting.get_mut((self.first + self.count) % WAITING).filter(|_| self.count < WAITING) {
            frame.write(slot);
            self.count += 1;
        }
        self.marker = false;
        self.sequence = sequence.wrapping_add(1);
        self.timestamp = timestamp.wrapping_add(FRAME as u32);
    }
}

/// G.711 whose law stands before the codes: a far end that answers in another law than the ringback's does not turn into noise.
struct Tagged;

impl playout::Codec for Tagged {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        let Some((&tag, codes)) = payload.split_first() else { return 0 };
        let law = if tag == Law::A.payload_type() { Law::A } else { Law::Mu };
        G711(law).decode(codes, pcm)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic: that is how it fails")]
mod tests {
    use super::*;
    use dsp::tone::Sine;
    use dsp::{Dbm0, Hertz, spectrum};

    /// Two lines whose frames come 5 frames late, in bursts of three, as over a TCP connection.
    fn talk(rate: SampleRate, laws: impl Fn(usize) -> Law) -> (Vec<f32>, Line) {
        let (mut near, mut far) = (Line::new(rate).unwrap(), Line::new(rate).unwrap());
        near.open(true);
        far.open(true);
        let mut sine = Sine::new(rate, Hertz(1_000.0), Dbm0(-10.0));
        let (mut heard, mut on_the_way) = (Vec::new(), Vec::new());
        let mut out = vec![0.0; 128];
        for block in 0..rate.hz() as usize * 4 / 128 {
            near.law = laws(block);
            let spoken: Vec<f32> = (0..128).map(|_| sine.next_sample()).collect();
            near.process(&spoken, &mut out);
            let mut bytes = [0; 2_000];
            while near.take(&mut bytes) > 0 {
                on_the_way.push(bytes[..FRAME_BYTES].to_vec());
            }
            if on_the_way.len() >= 8 {
                on_the_way.drain(..3).for_each(|frame| assert!(far.push(&frame)));
            }
            far.process(&[0.0; 128], &mut out);
            heard.extend_from_slice(&out);
        }
        (heard, far)
    }

    fn level(samples: &[f32], rate: SampleRate) -> f32 {
        spectrum::tone_level(samples, rate, Hertz(1_000.0)).0 - Dbm0(-10.0).to_dbov().0
    }

    #[test]
    fn a_tone_passes_at_every_rate_through_bursts() {
        for rate in [SampleRate::HZ_8000, SampleRate::HZ_44100, SampleRate::HZ_48000, SampleRate::new(192_000).unwrap()]
        {
            let (heard, far) = talk(rate, |_| Law::Mu);
            let steady = &heard[2 * rate.hz() as usize..3 * rate.hz() as usize];
            assert!(level(steady, rate).abs() < 1.0, "{} dB at {} Hz", level(steady, rate), rate.hz());
            let stats = far.playout.stats();
            assert!(stats.late == 0 && stats.overflowed == 0 && stats.target_ms < 120, "{stats:?}");
        }
    }

    #[test]
    fn a_far_end_that_changes_its_law_is_no_noise_and_is_answered_in_it() {
        let rate = SampleRate::HZ_48000;
        let (heard, mut far) = talk(rate, |block| if block < 600 { Law::Mu } else { Law::A });
        assert!(heard.iter().all(|sample| sample.abs() < 0.5), "louder than was spoken");
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
        let mut line = Line::new(SampleRate::HZ_48000).unwrap();
        let mut heard = [1.0; 128];
        (0..100).for_each(|_| line.process(&[0.5; 128], &mut heard));
        assert_eq!((line.take(&mut [0; 200]), heard), (0, [0.0; 128]));
        line.open(true);
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
}
