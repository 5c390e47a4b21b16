//! The visitor's keys on their way to the far end: as events, or as tones for one that knows no events.
//!
//! Deliberately not here: what the far end negotiated ([`super::bridge`]).

use std::time::{Duration, Instant};

use dsp::Digit;
use dsp::telephone_event::EventPacket;

use super::dtmf::{Key, KeySender};
use super::incoming::Piece;
use super::tones::ToneSender;

/// For so long after a key of the visitor went out, the same key as a tone of the far end's is its echo: a telephone line's hybrid sends
/// back what a gateway makes of an event, and a tone is reported when it is over.
const ECHO: Duration = Duration::from_secs(1);

/// Sends keys on, one after the other.
#[derive(Debug)]
pub(crate) struct KeyRelay {
    events: KeySender,
    tones: ToneSender,
    as_tones: bool,
    /// What has gone out, a bit for each digit, and until when that may echo.
    sent: (u16, Instant),
}

impl KeyRelay {
    /// For a stream that stands at `timestamp`.
    pub(crate) fn new(timestamp: u32, now: Instant) -> Self {
        Self { events: KeySender::new(timestamp, now), tones: ToneSender::default(), as_tones: false, sent: (0, now) }
    }

    /// Keys go as tones from the next one on, or as events.
    pub(crate) fn send_tones(&mut self, as_tones: bool) {
        self.as_tones = as_tones;
    }

    /// The visitor has pressed a key, while the stream stands at `timestamp`.
    pub(crate) fn handle(&mut self, key: Key, timestamp: u32, now: Instant) {
        let Key::Released { digit, held } = key else { return };
        if self.as_tones {
            self.tones.press(digit, held);
        } else {
            self.events.press(digit, held, timestamp, now);
        }
        let before = if now < self.sent.1 { self.sent.0 } else { 0 };
        self.sent = (before | bit(digit), now + ECHO);
    }

    /// Whether a key that is found in the far end's audio is the visitor's own.
    pub(crate) fn echoes(&self, key: Key, now: Instant) -> bool {
        let (Key::Pressed { digit, .. } | Key::Released { digit, .. }) = key;
        let (sent, until) = self.sent;
        now < until && sent & bit(digit) != 0
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

    /// Whether a key goes out at `now`, in whatever way. To be asked at each tick.
    pub(crate) fn is_sending(&mut self, now: Instant) -> bool {
        let is_sending = self.is_sending_events() || self.is_sending_tones();
        if is_sending {
            self.sent.1 = now + ECHO;
        }
        is_sending
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

fn bit(digit: Digit) -> u16 {
    1 << digit.event()
}
