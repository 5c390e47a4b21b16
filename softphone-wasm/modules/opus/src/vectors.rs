//! One number over the bits of everything that this crate computes. A native and a WASM build that both give [`EXPECTED`] agree bit
//! for bit. For tests; no product calls it.

use crate::{Decoder, Encoder, PIECE};
use dsp::playout::Codec;

/// What [`checksum`] gives on every target.
pub const EXPECTED: u32 = 3_295_665_212;

/// Pieces that are coded: 4 s.
const PIECES: u32 = 200;

/// Computes the checksum.
pub fn checksum() -> u32 {
    let mut hash = Hash(0x811C_9DC5);
    let (Some(mut encoder), Some(mut decoder)) = (Encoder::new(), Decoder::new()) else { return 0 };
    let mut voice = Voice::default();
    let mut lost = false;
    for number in 0..PIECES {
        let mut packet = [0; PIECE];
        let length = encoder.encode(&voice.piece(), &mut packet);
        let packet = packet.get(..length).unwrap_or_default();
        packet.iter().for_each(|byte| hash.word(u32::from(*byte)));
        let mut pcm = [0.0; PIECE];
        // Alone and in pairs, of which the first is concealed and the second recovered.
        if number % 16 == 7 || number % 16 > 13 {
            lost = true;
            if number % 16 == 14 {
                pcm.chunks_mut(PIECE / 2).for_each(|half| _ = decoder.conceal(half));
                hash.samples(&pcm);
            }
            continue;
        }
        if core::mem::take(&mut lost) {
            hash.word(u32::from(decoder.has_redundancy(packet)));
            if decoder.recover(packet, &mut pcm) == 0 {
                pcm.chunks_mut(PIECE / 2).for_each(|half| _ = decoder.conceal(half));
            }
            hash.samples(&pcm);
        }
        decoder.decode(packet, &mut pcm);
        hash.samples(&pcm);
        if number == PIECES / 2 {
            encoder.reset();
            decoder.reset();
        }
    }
    hash.0
}

/// Something like speech, of whole numbers: glottal pulses of a wandering pitch through two resonances, breath, and pauses.
#[derive(Default)]
pub struct Voice {
    at: u32,
    since_pulse: u32,
    random: u32,
    resonances: [[i32; 2]; 2],
}

impl Voice {
    /// The next piece.
    pub fn piece(&mut self) -> [i16; PIECE] {
        core::array::from_fn(|_| self.sample())
    }

    fn sample(&mut self) -> i16 {
        let Self { at, since_pulse, random, resonances } = self;
        *at += 1;
        *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (*random >> 16) as i32 - 32_768;
        let (speaks, hisses) = (*at % 4_000 < 3_000, *at % 4_000 > 2_600);
        *since_pulse += 1;
        let mut source = noise >> 10;
        if speaks && *since_pulse > 52 + (*at / 400) % 16 {
            *since_pulse = 0;
            source += 6_000;
        }
        if speaks && hisses {
            source = noise >> 5;
        }
        // Two poles each, at some 500 and 1,500 Hz, in units of 1/4,096.
        for (state, (a, b)) in resonances.iter_mut().zip([(7_190, -3_770), (2_960, -3_610)]) {
            let [one, two] = *state;
            source += (one * a + two * b) >> 12;
            source = source.clamp(-30_000, 30_000);
            *state = [source, one];
        }
        source as i16
    }
}

/// FNV-1a over 32-bit words.
struct Hash(u32);

impl Hash {
    fn word(&mut self, word: u32) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0193);
    }

    fn samples(&mut self, samples: &[f32]) {
        samples.iter().for_each(|sample| self.word(sample.to_bits()));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_native_build_computes_the_expected_bits() {
        assert_eq!(super::checksum(), super::EXPECTED, "see EXPECTED before you change it");
    }
}
