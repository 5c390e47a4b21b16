//! What the far end hears of its commands: a short tone over the call's own audio, high for done, low for not possible; behind the former
//! the score of a connection as so many beeps. At neither frequency do networks signal (E.180), nor are they near one of DTMF's (Q.23).

use dsp::tone::{Cadence, Signal};
use dsp::{Dbm0, Hertz};
use protocol::gateway::Tone;
use protocol::settings::MAX_SCORE;

use super::incoming::{Piece, RATE};

/// "Done": one.
const DONE: Signal = Signal { frequencies: (Hertz(1_047.0), None), level: Dbm0(-20.0), on_ms: 120, off_ms: 20 };

/// Between "done" and the first beep: long enough not to be taken for one of them.
const BEFORE_SCORE_MS: u32 = 400;

/// A point of a score: so slow that people count along.
const POINT: Signal = Signal { on_ms: 60, off_ms: 200, ..DONE };

/// "Not possible": three.
const REFUSED: Signal = Signal { frequencies: (Hertz(392.0), None), level: Dbm0(-18.0), on_ms: 80, off_ms: 60 };

/// A tone that is being played, in pieces as [`super::incoming`] has them.
pub(crate) struct Notice {
    cadence: Cadence,
    /// Samples that are not yet played.
    left: u32,
    /// Samples of silence behind them, and beeps behind that.
    score: Option<(u32, u32)>,
}

impl Notice {
    /// The tone from its beginning.
    pub(crate) fn new(tone: Tone) -> Self {
        let (signal, times, points) = match tone {
            Tone::Done => (DONE, 1, None),
            Tone::Scored(points) => (DONE, 1, Some(points.min(MAX_SCORE))),
            Tone::Refused => (REFUSED, 3, None),
        };
        let score = points.map(|points| (RATE.samples(BEFORE_SCORE_MS), points));
        Self { score, ..Self::playing(signal, times) }
    }

    /// Adds the tone to what is played meanwhile. Returns whether all of it has been played.
    pub(crate) fn mix(&mut self, piece: &mut Piece) -> bool {
        for sample in piece.iter_mut() {
            *sample = (*sample + self.next_sample()).clamp(-1.0, 1.0);
        }
        self.left == 0 && self.score.is_none()
    }

    fn playing(signal: Signal, times: u32) -> Self {
        let left = times * RATE.samples(signal.on_ms + signal.off_ms);
        Self { cadence: Cadence::new(RATE, signal), left, score: None }
    }

    fn next_sample(&mut self) -> f32 {
        if self.left > 0 {
            self.left -= 1;
            return self.cadence.next_sample();
        }
        match &mut self.score {
            Some((silence @ 1.., _)) => *silence -= 1,
            Some((0, points)) => *self = Self::playing(POINT, *points),
            None => {}
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_added_to_the_audio_for_as_long_as_it_lasts_and_clips_nothing() {
        for (tone, ms) in [(Tone::Done, 140), (Tone::Refused, 420), (Tone::Scored(0), 560), (Tone::Scored(4), 1_600)] {
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

    #[test]
    fn a_score_is_as_many_beeps_behind_the_tone_for_what_is_done() {
        for points in [1, 5, 4_000_000_000] {
            let mut notice = Notice::new(Tone::Scored(points));
            let mut lengths = Vec::new();
            let mut silent = true;
            loop {
                let mut samples = [0.0; 160];
                let over = notice.mix(&mut samples);
                for block in samples.chunks(80) {
                    let is_silent = block.iter().all(|sample| sample.abs() < 0.001);
                    if !is_silent && silent {
                        lengths.push(0);
                    }
                    if let Some(length) = lengths.last_mut().filter(|_| !is_silent) {
                        *length += 10;
                    }
                    silent = is_silent;
                }
                if over {
                    break;
                }
            }
            let expected: Vec<i32> = [120].into_iter().chain((0..points.min(5)).map(|_| 60)).collect();
            assert_eq!(lengths, expected);
        }
    }
}
