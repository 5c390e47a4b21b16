//! What the far end hears while no page of the visitor sends audio: silence that keeps the RTP flowing, a short soft tone when
//! the page goes, two low ones when nobody has come back. In pieces as [`super::incoming`] has them.

use dsp::tone::{Cadence, Signal};
use dsp::{Dbm0, Hertz};

use super::incoming::{Piece, RATE};
use crate::config::AwayTone;

/// A page that turns within this goes by unremarked: a tone for each would tell the far end of what it would not have noticed.
const UNREMARKED_MS: u32 = 300;

/// "One moment": high enough to stand out from speech, soft enough not to startle.
const AWAY: Signal = Signal { frequencies: (Hertz(660.0), None), level: Dbm0(-26.0), on_ms: 180, off_ms: 20 };

/// "Gone": lower, twice, and no signal of a network (E.180: those are at 425 Hz or have two frequencies).
const GONE: Signal = Signal { frequencies: (Hertz(330.0), None), level: Dbm0(-22.0), on_ms: 200, off_ms: 150 };

/// The stream of samples that stands in for the visitor's.
pub(crate) struct StandIn {
    tone: Option<Cadence>,
    /// Samples of silence before the tone.
    waits: u32,
    /// Samples of the tone that are not yet played.
    left: u32,
    is_farewell: bool,
}

impl StandIn {
    /// Silence.
    pub(crate) fn silence() -> Self {
        Self { tone: None, waits: 0, left: 0, is_farewell: false }
    }

    /// Silence for as long as nobody minds, the tone for a page that goes, then silence.
    pub(crate) fn away(tone: AwayTone) -> Self {
        Self { waits: RATE.samples(UNREMARKED_MS), ..Self::playing(tone, AWAY, 1) }
    }

    /// The next page is there, and its audio soon: a tone that has not begun is put off once more.
    pub(crate) fn next_page(&mut self) {
        if self.waits > 0 {
            self.waits = RATE.samples(UNREMARKED_MS);
        }
    }

    /// The tones for a visitor who has not come back.
    pub(crate) fn farewell(tone: AwayTone) -> Self {
        Self { is_farewell: true, ..Self::playing(tone, GONE, 2) }
    }

    /// The next piece.
    pub(crate) fn fill(&mut self, piece: &mut Piece) {
        piece.fill_with(|| self.next_sample());
    }

    /// Whether it was a farewell and all of it is played.
    pub(crate) fn has_said_farewell(&self) -> bool {
        self.is_farewell && self.left == 0
    }

    fn playing(tone: AwayTone, signal: Signal, times: u32) -> Self {
        match tone {
            AwayTone::Soft => {
                let left = times * RATE.samples(signal.on_ms + signal.off_ms);
                Self { tone: Some(Cadence::new(RATE, signal)), waits: 0, left, is_farewell: false }
            }
            AwayTone::Off => Self::silence(),
        }
    }

    fn next_sample(&mut self) -> f32 {
        if self.waits > 0 {
            self.waits -= 1;
            return 0.0;
        }
        let Some(tone) = self.tone.as_mut().filter(|_| self.left > 0) else { return 0.0 };
        self.left -= 1;
        tone.next_sample()
    }
}
