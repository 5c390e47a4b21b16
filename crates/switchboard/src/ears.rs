//! Keys of the far end that the gateway does not know but the shopper's browser has heard as tones in the audio: through gateways that pass
//! tones on, and over trunks where nobody else listens for them.
//!
//! A browser can say it has heard what it likes. It gains nothing: the far end's keys act on that very shopper's own page and sound,
//! within what the merchant allows.

use crate::call::{Call, Effects};
use protocol::command::is_plain_key;
use protocol::visitor::CallState;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far apart the two reports of one key may be: what is heard has gone through two playout buffers and comes back; an INFO may be
/// sent again, and comes when the key is up.
const APART: Duration = Duration::from_millis(1_500);

/// So long after a page has another socket it may repeat what it heard long before.
const STALE: Duration = Duration::from_secs(1);

/// Keys that are remembered: a press every 100 ms, for as long as two reports are apart.
const REMEMBERED: usize = 16;

/// No line carries keys faster than this: a tone of 40 ms and a pause of as much (ITU-T Q.24). A browser that says so makes them up.
const SHORTEST: Duration = Duration::from_millis(80);

/// What tells keys that come both ways from others.
#[derive(Debug, Default)]
pub(crate) struct Ears {
    /// What the gateway has told, the shopper's own keys as well, and when it went down.
    told: Recent,
    /// What counted when it was heard, and has not been told.
    heard: Recent,
    deaf_until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Recent(VecDeque<(char, Instant)>);

impl Recent {
    fn push(&mut self, digit: char, at: Instant) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((digit, at));
    }

    /// Whether as many as are remembered have come in less time than they take.
    fn is_flooded(&self, at: Instant) -> bool {
        let oldest = self.0.front().filter(|_| self.0.len() == REMEMBERED);
        oldest.is_some_and(|(_, first)| at.saturating_duration_since(*first) < SHORTEST * REMEMBERED as u32)
    }

    fn find(&self, digit: char, at: Instant) -> Option<usize> {
        self.0.iter().position(|(it, when)| *it == digit && (*when).max(at) - (*when).min(at) <= APART)
    }
}

impl Ears {
    /// The gateway tells of a key that went down at `down`. Whether it is one that has not counted.
    fn tell(&mut self, digit: char, down: Instant) -> bool {
        self.told.push(digit, down);
        let twin = self.heard.find(digit, down).and_then(|twin| self.heard.0.remove(twin));
        twin.is_none()
    }

    /// The shopper has pressed a key. A telephone line sends it back as a tone.
    pub(crate) fn press(&mut self, digit: char, now: Instant) {
        self.told.push(digit, now);
    }

    /// The page may repeat what it said before.
    pub(crate) fn cover(&mut self, now: Instant) {
        self.deaf_until = Some(now + STALE);
    }

    /// The browser has heard a key. Whether it is one that the gateway does not know.
    fn hear(&mut self, digit: char, now: Instant) -> bool {
        // Packets that are lost make two tones of one: what the gateway has told is all there was.
        let counts = self.deaf_until.is_none_or(|until| now >= until)
            && self.told.find(digit, now).is_none()
            && !self.heard.is_flooded(now);
        if counts {
            self.heard.push(digit, now);
        }
        counts
    }
}

impl Call {
    /// The gateway tells of a key of the far end.
    pub(crate) fn key_told(&mut self, state: CallState, digit: char, duration_ms: u32, fx: &mut Effects<'_>) {
        let held = Duration::from_millis(duration_ms.into());
        if self.ears.tell(digit, fx.now.checked_sub(held).unwrap_or(fx.now)) {
            self.key(state, digit, duration_ms, fx);
        }
    }

    /// The browser has heard a key.
    pub(crate) fn key_heard(&mut self, state: CallState, digit: char, fx: &mut Effects<'_>) {
        if self.ears.hear(digit, fx.now) {
            self.key(state, digit, 0, fx);
        }
    }
}

/// The key that a browser names.
pub(crate) fn key_of(digit: &str) -> Option<char> {
    let mut chars = digit.chars();
    let key = chars.next().filter(|key| is_plain_key(*key) || matches!(key, '*' | '#'))?;
    chars.next().is_none().then_some(key)
}
