//! Keys as tones in the audio, for far ends that know no telephone events: found in what they send, and taken out of it on its way to
//! the visitor; made for them of the visitor's keys.
//!
//! Deliberately not here: events ([`super::dtmf`]), and whether tones are wanted ([`super::bridge`]).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dsp::Digit;
use dsp::dtmf::{Blanker, Event, Generator, Shape};
use tracing::debug;

use super::dtmf::{HeldKey, Key};
use super::incoming::{Piece, RATE};

/// Keys that wait for their turn, as many as [`dsp::telephone_event::Sender`] takes: more than anybody dials ahead.
const QUEUED_KEYS: usize = 32;

/// The shortest tones and the pause behind each: ETSI ES 201 235-2, section 4.2.4, wants 65 ms of both.
const SHORTEST: Duration = Duration::from_millis(70);
const PAUSE_MS: u32 = 70;

/// The longest tones: beyond ten seconds something hangs.
const LONGEST: Duration = Duration::from_secs(10);

/// Makes keys of the tones in one leg's audio.
pub(crate) struct ToneReceiver {
    blanker: Blanker,
    held: HeldKey,
}

impl Default for ToneReceiver {
    /// Has heard nothing as yet.
    fn default() -> Self {
        Self { blanker: Blanker::new(RATE), held: HeldKey::default() }
    }
}

impl ToneReceiver {
    /// Takes keys out of the piece of `now`, at the first suspicion if it `is_wary`. Every piece is to go through here, silent ones as
    /// well.
    pub(crate) fn take(&mut self, piece: &mut Piece, is_wary: bool, now: Instant, mut emit: impl FnMut(Key)) {
        let Self { blanker, held } = self;
        blanker.set_wary(is_wary);
        blanker.process(piece, |event| match event {
            Event::Start { digit, .. } => held.down(digit, now),
            Event::End { digit, duration } => {
                held.up(digit, Duration::from_millis(RATE.milliseconds(duration)), &mut emit);
            }
        });
        held.handle_timeout(now, emit);
    }
}

/// Sends keys as tones, one after the other, in the audio's place.
#[derive(Debug, Default)]
pub(crate) struct ToneSender {
    waiting: VecDeque<(Digit, Duration)>,
    playing: Option<Generator>,
}

impl ToneSender {
    /// A key is to be sent.
    pub(crate) fn press(&mut self, digit: Digit, held: Duration) {
        if self.waiting.len() < QUEUED_KEYS {
            self.waiting.push_back((digit, held.clamp(SHORTEST, LONGEST)));
        } else {
            debug!(waiting = QUEUED_KEYS, "a key is not sent on");
        }
    }

    /// Puts tones, or the pause behind them, in the place of what the piece holds. Returns whether there are any.
    pub(crate) fn fill(&mut self, piece: &mut Piece) -> bool {
        let is_sending = self.is_sending();
        if is_sending {
            piece.fill_with(|| self.next_sample());
        }
        is_sending
    }

    /// Whether [`Self::fill`] has something.
    pub(crate) fn is_sending(&self) -> bool {
        self.playing.is_some() || !self.waiting.is_empty()
    }

    fn next_sample(&mut self) -> f32 {
        loop {
            if let Some(sample) = self.playing.as_mut().and_then(Iterator::next) {
                return sample;
            }
            let next = self.waiting.pop_front();
            self.playing = next.map(|(digit, held)| {
                let shape = Shape { on_ms: held.as_millis() as u32, off_ms: PAUSE_MS, ..Shape::default() };
                Generator::new(RATE, digit, shape)
            });
            if self.playing.is_none() {
                return 0.0;
            }
        }
    }
}
