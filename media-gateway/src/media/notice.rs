//! What the far end hears of its commands: a short tone over the call's own audio, high for done, low for not possible. At
//! neither frequency do networks signal (E.180), nor are they near one of DTMF's (Q.23).

use dsp::tone::{Cadence, Signal};
use dsp::{Dbm0, Hertz};
use protocol::gateway::Tone;

use super::incoming::{Piece, RATE};

/// "Done": one.
const DONE: Signal = Signal { frequencies: (Hertz(1_047.0), None), level: Dbm0(-20.0), on_ms: 120, off_ms: 20 };

/// "Not possible": three.
const REFUSED: Signal = Signal { frequencies: (Hertz(392.0), None), level: Dbm0(-18.0), on_ms: 80, off_ms: 60 };

/// A tone that is being played, in pieces as [`super::incoming`] has them.
pub(crate) struct Notice {
    cadence: Cadence,
    /// Samples that are not yet played.
    left: u32,
}

impl Notice {
    /// The tone from its beginning.
    pub(crate) fn new(tone: Tone) -> Self {
        let (signal, times) = match tone {
            Tone::Done => (DONE, 1),
            Tone::Refused => (REFUSED, 3),
        };
        let left = times * RATE.samples(signal.on_ms + signal.off_ms);
        Self { cadence: Cadence::new(RATE, signal), left }
    }

    /// Adds the tone to what is played meanwhile. Returns whether all of it has been played.
    pub(crate) fn mix(&mut self, piece: &mut Piece) -> bool {
        for sample in piece.iter_mut().take(self.left as usize) {
            *sample = (*sample + self.cadence.next_sample()).clamp(-1.0, 1.0);
        }
        self.left = self.left.saturating_sub(piece.len() as u32);
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_added_to_the_audio_for_as_long_as_it_lasts_and_clips_nothing() {
        for (tone, ms) in [(Tone::Done, 140), (Tone::Refused, 420)] {
            let mut notice = Notice::new(tone);
            let mut pieces = 1;
            let mut loudest = 0.0_f32;
            loop {
                let mut samples = [0.97; 160];
                let over = notice.mix(&mut samples);
                loudest = samples.into_iter().fold(loudest, f32::max);
                if over {
                    break;
                }
                pieces += 1;
            }
            assert_eq!((pieces * 20, loudest), (ms, 1.0), "{tone:?}");
            let mut silence = [0.0; 160];
            assert!(notice.mix(&mut silence) && silence == [0.0; 160]);
        }
    }
}
