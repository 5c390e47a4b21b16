//! One number over the bits of everything that this crate computes. A native and a WASM build that both give [`EXPECTED`] agree bit
//! for bit. For tests; no product calls it.

use crate::{Decoder, Encoder, PIECE, Quality};
use dsp::playout::Codec;

/// What [`checksum`] gives on every target.
pub const EXPECTED: u32 = 2_258_495_643;

/// Samples in the longest packet that is made, and more than the bytes it takes.
const MOST: usize = 3 * PIECE;

/// Packets that are coded in each quality.
const PACKETS: u32 = 100;

/// Computes the checksum: of speech with pauses in each quality, since whoever runs this has run all that a call will.
pub fn checksum() -> u32 {
    let mut hash = Hash(0x811C_9DC5);
    for quality in [Quality::Standard, Quality::Saver, Quality::Best] {
        if add(&mut hash, quality).is_none() {
            return 0;
        }
    }
    hash.0
}

/// Codes and decodes, packets lost among them; `None` when there is no codec.
fn add(hash: &mut Hash, quality: Quality) -> Option<()> {
    let (mut encoder, mut decoder, mut voice) = (Encoder::new(quality)?, Decoder::new()?, Voice::default());
    let mut lost = false;
    for number in 0..PACKETS {
        let mut spoken = [0; MOST];
        let spoken = spoken.get_mut(..encoder.samples())?;
        spoken.chunks_mut(PIECE).for_each(|piece| piece.copy_from_slice(&voice.piece()));
        let mut packet = [0; MOST];
        let length = encoder.encode(spoken, &mut packet);
        let packet = packet.get(..length)?;
        packet.iter().for_each(|byte| hash.word(u32::from(*byte)));
        let mut heard = [0.0; MOST];
        let heard = heard.get_mut(..spoken.len())?;
        // Alone and in pairs, of which the first is concealed and the second recovered.
        if number % 16 == 7 || number % 16 > 13 {
            lost = true;
            if number % 16 == 14 {
                heard.chunks_mut(PIECE / 2).for_each(|half| _ = decoder.conceal(half));
                hash.samples(heard);
            }
            continue;
        }
        if core::mem::take(&mut lost) {
            hash.word(u32::from(decoder.has_redundancy(packet)));
            if decoder.recover(packet, heard) == 0 {
                heard.chunks_mut(PIECE / 2).for_each(|half| _ = decoder.conceal(half));
            }
            hash.samples(heard);
        }
        decoder.decode(packet, heard);
        hash.samples(heard);
        if number == PACKETS / 2 {
            encoder.reset();
            decoder.reset();
        }
    }
    Some(())
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
