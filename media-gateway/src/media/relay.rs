//! The visitor's keys on their way to the far end: as events, or as tones for one that knows no events.
//!
//! Deliberately not here: what the far end negotiated ([`super::bridge`]).

use std::time::Instant;

use dsp::telephone_event::EventPacket;

use super::dtmf::{Key, KeySender};
use super::incoming::Piece;
use super::tones::ToneSender;

/// Sends keys on, one after the other.
#[derive(Debug)]
pub(crate) struct KeyRelay {
    events: KeySender,
    tones: ToneSender,
    as_tones: bool,
}

impl KeyRelay {
    /// For a stream that stands at `timestamp`.
    pub(crate) fn new(timestamp: u32, now: Instant) -> Self {
        Self { events: KeySender::new(timestamp, now), tones: ToneSender::default(), as_tones: false }
    }

    /// Keys go as tones from the next one on, or as events.
    pub(crate) fn send_tones(&mut self, as_tones: bool) {
        self.as_tones = as_tones;
    }

    /// The visitor has pressed a key, while the stream stands at `timestamp`.
    pub(crate) fn handle(&mut self, key: Key, timestamp: u32, now: Instant) {
        match key {
            Key::Pressed { .. } => {}
            Key::Released { digit, held } if self.as_tones => self.tones.press(digit, held),
            Key::Released { digit, held } => self.events.press(digit, held, timestamp, now),
        }
    }

    /// The packets that are due in a stream that stands at `timestamp`.
    pub(crate) fn advance(&mut self, timestamp: u32, now: Instant, emit: impl FnMut(EventPacket)) {
        self.events.advance(timestamp, now, emit);
    }

    /// Puts the tones that are due in the place of what the piece holds. Returns whether there are any.
    pub(crate) fn fill(&mut self, piece: &mut Piece) -> bool {
        self.tones.fill(piece)
    }

    /// When [`Self::advance`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.events.poll_timeout()
    }

    /// Whether events stand in the audio's place (RFC 4733 section 2.5.1.2).
    pub(crate) fn is_sending_events(&self) -> bool {
        self.events.is_sending()
    }

    /// Whether [`Self::fill`] has something.
    pub(crate) fn is_sending_tones(&self) -> bool {
        self.tones.is_sending()
    }
}
