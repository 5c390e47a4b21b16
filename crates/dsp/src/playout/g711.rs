//! G.711 as playout needs it: it has neither FEC nor concealment of its own.

use super::Codec;
use crate::g711::Law;
use crate::units::from_i16;

/// The decoder of one law; stateless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct G711(pub Law);

impl Codec for G711 {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        payload
            .iter()
            .zip(pcm)
            .map(|(code, sample)| {
                let mut linear = [0];
                self.0.decode(&[*code], &mut linear);
                *sample = linear.map(from_i16)[0];
            })
            .count()
    }
}
