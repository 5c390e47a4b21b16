//! The Opus module: speech as packets of 20 ms both ways, for a call whose audio goes as frames. The line (`softphone-wasm/modules/line`)
//! has it when it has arrived, and does with G.711 until then.
//!
//! The codec is `ropus`, libopus in Rust, of its fixed-point kind: every target computes the same bits. It allocates while it works, so
//! this is no part of the engine or the line, whose memory never changes. Here are the settings, and what playout asks of a codec.
//! Not here: frames, jitter, and when Opus is spoken.

#[cfg(target_arch = "wasm32")]
mod abi;
pub mod vectors;

use dsp::playout::Codec;
use dsp::units;
use ropus::opus::decoder::opus_packet_has_lbrr;
use ropus::{OPUS_APPLICATION_VOIP, OPUS_OK, OPUS_SIGNAL_VOICE, OpusDecoder, OpusEncoder};

/// What is coded: the trunk carries no more, and a quarter of the samples is a quarter of the work.
const RATE: i32 = 8_000;

/// Samples in a packet that is made: 20 ms.
pub const PIECE: usize = 160;

/// The longest packet that is decoded, in samples: 120 ms (RFC 6716 section 2.1.4).
pub const LONGEST: usize = 960;

/// The longest packet, in bytes: one frame of RFC 6716 section 3.2.1.
pub const MAX_PACKET: usize = 1_275;

/// Bit/s on average: narrow-band speech is transparent from some 16 kbit/s on, the rest is redundancy. The gateway's is as much.
const BITRATE: i32 = 24_000;

/// The loss that redundancy is laid out for, in percent: with it each packet holds a coarse copy of the one before, when that was speech.
/// What is lost is what the sender left out because the network did not keep up.
const EXPECTED_LOSS: i32 = 5;

/// libopus' complexity, 0 to 10: as the gateway's.
const COMPLEXITY: i32 = 5;

/// What speaks.
pub struct Encoder(OpusEncoder);

/// What hears: playout's decoder, with the redundancy of the packet behind a lost one and the concealment of its own.
pub struct Decoder(OpusDecoder);

impl Encoder {
    /// An encoder for voice. `None` when its settings are refused, of which there are none such.
    pub fn new() -> Option<Self> {
        let mut encoder = OpusEncoder::new(RATE, 1, OPUS_APPLICATION_VOIP).ok()?;
        let done = [
            encoder.set_bitrate(BITRATE),
            encoder.set_vbr(1),
            encoder.set_complexity(COMPLEXITY),
            encoder.set_signal(OPUS_SIGNAL_VOICE),
            encoder.set_inband_fec(1),
            encoder.set_packet_loss_perc(EXPECTED_LOSS),
        ];
        done.into_iter().all(|code| code == OPUS_OK).then_some(Self(encoder))
    }

    /// Codes a piece to the beginning of `packet`, and into no more than that; the packet's length, 0 when it cannot.
    pub fn encode(&mut self, piece: &[i16; PIECE], packet: &mut [u8]) -> usize {
        let room = packet.len().min(MAX_PACKET) as i32;
        self.0.encode(piece, PIECE as i32, packet, room).map_or(0, |length| usize::try_from(length).unwrap_or_default())
    }

    /// Forgets the past: the next packet can be decoded by whoever has heard none before.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

impl Decoder {
    /// A decoder that has heard nothing. `None` when it cannot be made.
    pub fn new() -> Option<Self> {
        OpusDecoder::new(RATE, 1).ok().map(Self)
    }

    /// Whether a packet holds redundancy for the one before it: the LBRR flag of RFC 6716 section 4.2.4.
    fn has_redundancy_in(packet: &[u8]) -> bool {
        !packet.is_empty() && opus_packet_has_lbrr(packet, packet.len() as i32).unwrap_or(false)
    }

    fn run(&mut self, packet: Option<&[u8]>, pcm: &mut [f32], is_redundancy: bool) -> usize {
        let mut linear = [0; LONGEST];
        let Some(room) = linear.get_mut(..pcm.len().min(LONGEST)).filter(|room| !room.is_empty()) else { return 0 };
        let length = room.len() as i32;
        let made = self.0.decode(packet, room, length, is_redundancy).map_or(0, |made| made.max(0) as usize);
        pcm.iter_mut().zip(room.iter().take(made)).map(|(to, from)| *to = units::from_i16(*from)).count()
    }
}

impl Codec for Decoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        if payload.is_empty() { 0 } else { self.run(Some(payload), pcm, false) }
    }

    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        // Without redundancy the decoder would conceal; so does playout, and counts it as what it is.
        if Self::has_redundancy_in(next) { self.run(Some(next), pcm, true) } else { 0 }
    }

    fn has_redundancy(&self, next: &[u8]) -> bool {
        Self::has_redundancy_in(next)
    }

    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        self.run(None, pcm, false)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic: that is how it fails")]
mod tests {
    use super::*;
    use crate::vectors::Voice;
    use dsp::playout::{Config, Packet, Playout, SampleTime, Stats};
    use dsp::tone::Sine;
    use dsp::{Dbm0, Hertz, SampleRate, spectrum};

    fn coded(pieces: usize, mut piece: impl FnMut() -> [i16; PIECE]) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new().unwrap();
        let packet = |_| {
            let mut packet = [0; PIECE];
            let length = encoder.encode(&piece(), &mut packet);
            packet[..length].to_vec()
        };
        (0..pieces).map(packet).collect()
    }

    fn played(packets: &[Vec<u8>], passes: impl Fn(usize) -> bool) -> (Vec<f32>, Stats) {
        let mut playout =
            Playout::<MAX_PACKET>::new(SampleRate::HZ_8000, SampleRate::HZ_48000, Config::default()).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let mut heard = Vec::new();
        for (number, payload) in packets.iter().enumerate() {
            let now = SampleTime((number * PIECE) as u64);
            let place = Packet { ssrc: 1, sequence: number as u16, timestamp: number as u32 * 960, payload };
            if passes(number) {
                playout.push(&place, now);
            }
            let mut pcm = [0.0; PIECE];
            playout.pull(&mut decoder, &mut pcm, now);
            heard.extend(pcm);
        }
        (heard, playout.stats())
    }

    #[test]
    fn a_tone_keeps_its_level_and_speech_its_bit_rate() {
        let mut sine = Sine::new(SampleRate::HZ_8000, Hertz(1_000.0), Dbm0(-10.0));
        let packets = coded(200, || core::array::from_fn(|_| units::to_i16(sine.next_sample())));
        let (heard, _) = played(&packets, |_| true);
        let level = spectrum::tone_level(&heard[8_000..24_000], SampleRate::HZ_8000, Hertz(1_000.0)).0;
        assert!((level - Dbm0(-10.0).to_dbov().0).abs() < 1.0, "{level} dBov");

        let mut voice = Voice::default();
        let bytes: usize = coded(500, || voice.piece()).iter().map(Vec::len).sum();
        let rate = bytes * 8 / 10;
        assert!((14_000..26_000).contains(&rate), "{rate} bit/s");
    }

    #[test]
    fn a_packet_that_is_lost_comes_from_the_next_one() {
        let mut voice = Voice::default();
        let packets = coded(500, || voice.piece());
        let (_, stats) = played(&packets, |number| number % 10 != 3);
        let lost = (50 * PIECE) as u64;
        assert!(stats.recovered > lost / 2, "of {lost} samples: {stats:?}");
    }

    #[test]
    fn many_lost_packets_fade_and_what_is_no_packet_gives_nothing() {
        let mut voice = Voice::default();
        let packets = coded(100, || voice.piece());
        let (heard, stats) = played(&packets, |number| number < 50);
        assert!(stats.concealed > 0);
        assert!(heard[8_000 + 8_000 / 2..].iter().all(|sample| sample.abs() < 0.02), "it fades within half a second");

        let mut decoder = Decoder::new().unwrap();
        let mut pcm = [0.0; LONGEST];
        let mut random = 1_u32;
        for length in 0..MAX_PACKET {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 24) as u8
                })
                .collect();
            decoder.has_redundancy(&noise);
            decoder.recover(&noise, &mut pcm[..PIECE]);
            assert!(decoder.decode(&noise, &mut pcm) <= LONGEST);
        }
        assert_eq!(
            (decoder.decode(&[], &mut pcm), decoder.recover(&[], &mut pcm), decoder.conceal(&mut [])),
            (0, 0, 0)
        );
    }

    #[test]
    fn no_packet_is_longer_than_its_room() {
        let (mut encoder, mut random) = (Encoder::new().unwrap(), 1_u32);
        for room in [0, 1, 2, 7, 40, 160] {
            for _ in 0..20 {
                let noise = core::array::from_fn(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 16) as i16
                });
                assert!(encoder.encode(&noise, &mut vec![0; room]) <= room, "{room} bytes");
            }
        }
    }
}
