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

/// Samples that are coded at a time, of which a packet holds one to three: 20 ms.
pub const PIECE: usize = 160;

/// The longest packet that is decoded, in samples: 120 ms (RFC 6716 section 2.1.4).
pub const LONGEST: usize = 960;

/// The longest packet, in bytes: one frame of RFC 6716 section 3.2.1.
pub const MAX_PACKET: usize = 1_275;

/// The loss that redundancy is laid out for, in percent: with it each packet holds a coarse copy of the one before, when that was speech.
/// What is lost is what the sender left out because the network did not keep up.
const EXPECTED_LOSS: i32 = 5;

/// libopus' complexity, 0 to 10: as the gateway's.
const COMPLEXITY: i32 = 5;

/// What the shopper's voice may cost: `protocol::visitor::Quality`, which this module does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// As good as a telephone line can be.
    Standard,
    /// As little as speech can do with: packets of 60 ms without redundancy, next to nothing in silence.
    Saver,
    /// The last bit of it.
    Best,
}

impl Quality {
    /// From its place in the ABI; a number that has none is the first.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Saver,
            2 => Self::Best,
            _ => Self::Standard,
        }
    }

    /// Pieces in a packet.
    pub fn pieces(self) -> usize {
        if self == Self::Saver { 3 } else { 1 }
    }

    /// Bit/s on average, redundancy included, as the gateway's: narrow-band speech is transparent from some 16 kbit/s on.
    fn bitrate(self) -> i32 {
        match self {
            Self::Saver => 12_000,
            Self::Standard => 24_000,
            Self::Best => 40_000,
        }
    }
}

/// What speaks.
pub struct Encoder {
    opus: OpusEncoder,
    quality: Quality,
}

/// What hears: playout's decoder, with the redundancy of the packet behind a lost one and the concealment of its own.
pub struct Decoder(OpusDecoder);

impl Encoder {
    /// An encoder for voice. `None` when its settings are refused, of which there are none such.
    pub fn new(quality: Quality) -> Option<Self> {
        let mut opus = OpusEncoder::new(RATE, 1, OPUS_APPLICATION_VOIP).ok()?;
        let saves = i32::from(quality == Quality::Saver);
        let done = [
            opus.set_bitrate(quality.bitrate()),
            opus.set_vbr(1),
            opus.set_complexity(COMPLEXITY),
            opus.set_signal(OPUS_SIGNAL_VOICE),
            opus.set_dtx(saves),
            opus.set_inband_fec(1 - saves),
            opus.set_packet_loss_perc(EXPECTED_LOSS),
        ];
        done.into_iter().all(|code| code == OPUS_OK).then_some(Self { opus, quality })
    }

    /// Samples in a packet.
    pub fn samples(&self) -> usize {
        self.quality.pieces() * PIECE
    }

    /// Codes [`samples`](Self::samples) to the beginning of `packet`, and into no more than that; the packet's length, 0 when it cannot. One of
    /// a byte or two says only that nobody speaks, and need not be sent.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> usize {
        if samples.len() != self.samples() {
            return 0;
        }
        let room = packet.len().min(MAX_PACKET) as i32;
        let length = self.opus.encode(samples, samples.len() as i32, packet, room);
        length.map_or(0, |length| usize::try_from(length).unwrap_or_default())
    }

    /// Forgets the past: the next packet can be decoded by whoever has heard none before.
    pub fn reset(&mut self) {
        self.opus.reset();
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
        let mut encoder = Encoder::new(Quality::Standard).unwrap();
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

    /// Bytes of 12 s of speech, and of 4 s of silence behind it; how many packets each takes that must be sent.
    fn cost(quality: Quality) -> [(usize, usize); 2] {
        let (mut encoder, mut voice) = (Encoder::new(quality).unwrap(), Voice::default());
        let mut sent = |pieces: usize, mut piece: Box<dyn FnMut() -> [i16; PIECE] + '_>| {
            let packets = (0..pieces / quality.pieces()).map(|_| {
                let samples: Vec<i16> = (0..quality.pieces()).flat_map(|_| piece()).collect();
                encoder.encode(&samples, &mut [0; MAX_PACKET])
            });
            let sent: Vec<usize> =
                packets.inspect(|length| assert!(*length > 0)).filter(|length| *length > 2).collect();
            (sent.iter().sum(), sent.len())
        };
        [sent(600, Box::new(|| voice.piece())), sent(201, Box::new(|| [0; PIECE]))]
    }

    #[test]
    fn quality_sets_how_many_packets_there_are_and_how_long() {
        let [saver, standard, best] = [Quality::Saver, Quality::Standard, Quality::Best].map(cost);
        let all = format!("saver {saver:?}, standard {standard:?}, best {best:?}");
        assert_eq!([standard[0].1, best[0].1, best[1].1], [600, 600, 201], "{all}");
        assert!(saver[0].1 <= 200 && saver[1].1 <= 20, "{all}");
        assert!(saver[0].0 * 3 < standard[0].0 * 2 && standard[0].0 * 5 < best[0].0 * 4, "{all}");
    }

    #[test]
    fn a_packet_of_another_length_than_its_quality_has_is_refused() {
        let mut encoder = Encoder::new(Quality::Saver).unwrap();
        for samples in [0, PIECE, 2 * PIECE, 4 * PIECE] {
            assert_eq!(encoder.encode(&vec![1_000; samples], &mut [0; MAX_PACKET]), 0, "{samples} samples");
        }
        assert!(encoder.encode(&[1_000; 3 * PIECE], &mut [0; MAX_PACKET]) > 0);
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
        let (mut encoder, mut random) = (Encoder::new(Quality::Best).unwrap(), 1_u32);
        for room in [0, 1, 2, 7, 40, 160] {
            for _ in 0..20 {
                let noise: [i16; PIECE] = core::array::from_fn(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 16) as i16
                });
                assert!(encoder.encode(&noise, &mut vec![0; room]) <= room, "{room} bytes");
            }
        }
    }
}
