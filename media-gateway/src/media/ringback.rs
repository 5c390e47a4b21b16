//! The local ringback tone, in pieces as [`super::incoming`] has them.

use dsp::tone::{Cadence, Signal};
use dsp::{Dbm0, Hertz};

use super::incoming::{Piece, RATE};
use crate::config::Ringback;

/// Ringback of the United Kingdom: 400 Hz with 450 Hz, twice 0.4 s with 0.2 s between, every 3 s (BT SIN 350). It is played
/// as two cadences of one ring each, the second 0.6 s behind the first.
const RINGBACK_UK: Signal =
    Signal { frequencies: (Hertz(400.0), Some(Hertz(450.0))), level: Dbm0(-19.0), on_ms: 400, off_ms: 2600 };
const UK_SECOND_RING_MS: u32 = 600;

/// A ringback tone, from the beginning of its first ring on.
pub(crate) struct RingbackTone {
    first: Cadence,
    second: Option<Cadence>,
    /// Samples until the second ring begins.
    delay: u32,
}

impl RingbackTone {
    /// `None` for [`Ringback::Silent`].
    pub(crate) fn new(tone: Ringback) -> Option<Self> {
        let cadence = |signal| Cadence::new(RATE, signal);
        let one = |signal| Some(Self { first: cadence(signal), second: None, delay: 0 });
        match tone {
            Ringback::Europe => one(Signal::RINGBACK_ETSI),
            Ringback::NorthAmerica => one(Signal::RINGBACK_US),
            Ringback::UnitedKingdom => Some(Self {
                first: cadence(RINGBACK_UK),
                second: Some(cadence(RINGBACK_UK)),
                delay: RATE.samples(UK_SECOND_RING_MS),
            }),
            Ringback::Silent => None,
        }
    }

    /// The next piece.
    pub(crate) fn fill(&mut self, piece: &mut Piece) {
        for sample in piece {
            let mut sum = self.first.next_sample();
            if self.delay > 0 {
                self.delay -= 1;
            } else if let Some(second) = &mut self.second {
                sum += second.next_sample();
            }
            *sample = sum;
        }
    }
}
