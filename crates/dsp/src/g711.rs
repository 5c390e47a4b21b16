//! G.711 both ways, slice to slice. Packet loss concealment and comfort noise belong to playout, not here.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

/// The companding law (ITU-T G.711); its names in SDP are PCMU and PCMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// μ-law, PCMU.
    Mu,
    /// A-law, PCMA.
    A,
}

impl Law {
    /// The static RTP payload type (RFC 3551, table 4).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// The code word of the smallest positive value: what a silent line carries.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xFF,
            Self::A => 0xD5,
        }
    }

    /// Encodes as many samples as fit into `out`; returns how many.
    pub fn encode(self, pcm: &[i16], out: &mut [u8]) -> usize {
        let law = match self {
            Self::Mu => encode_ulaw,
            Self::A => encode_alaw,
        };
        pcm.iter().zip(out).map(|(sample, code)| *code = law(*sample)).count()
    }

    /// Decodes as many code words as fit into `out`; returns how many.
    pub fn decode(self, codes: &[u8], out: &mut [i16]) -> usize {
        let law = match self {
            Self::Mu => decode_ulaw,
            Self::A => decode_alaw,
        };
        codes.iter().zip(out).map(|(code, sample)| *sample = law(*code)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// ITU-T G.711, tables 1a to 2b: decision values at the ends of segments, on the 16-bit scale.
    #[test]
    fn code_words_are_those_of_the_tables() {
        let cases = [
            (Law::Mu, 0x80, 32_124),
            (Law::Mu, 0x00, -32_124),
            (Law::Mu, 0xFF, 0),
            (Law::Mu, 0x8F, 16_764),
            (Law::A, 0xAA, 32_256),
            (Law::A, 0x2A, -32_256),
            (Law::A, 0xD5, 8),
            (Law::A, 0x55, -8),
        ];
        for (law, code, value) in cases {
            let mut out = [0];
            assert_eq!(law.decode(&[code], &mut out), 1);
            assert_eq!(out, [value], "{law:?} {code:#04x}");
        }
    }

    #[test]
    fn every_code_word_survives_the_round_trip_but_the_negative_zero_of_mu_law() {
        for law in [Law::Mu, Law::A] {
            let codes: Vec<u8> = (0..=255).collect();
            let (mut pcm, mut again) = ([0i16; 256], [0u8; 256]);
            law.decode(&codes, &mut pcm);
            law.encode(&pcm, &mut again);
            for (code, back) in codes.iter().zip(again) {
                assert!(*code == back || (law == Law::Mu && *code == 0x7F), "{law:?} {code:#04x} {back:#04x}");
            }
            assert!(pcm[usize::from(law.silence())].abs() <= 8);
        }
    }

    #[test]
    fn a_short_output_takes_what_fits() {
        assert_eq!(Law::A.encode(&[1, 2, 3], &mut [0; 2]), 2);
        assert_eq!(Law::Mu.decode(&[], &mut [0; 2]), 0);
    }
}
