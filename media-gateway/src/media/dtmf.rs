//! Keys in real time: [`dsp::telephone_event`] counts ticks of an RTP clock, a bridge is told instants, and a key is reported
//! once, at its end or after its first second.
//!
//! Deliberately not here: RTP headers, and tones in the audio ([`super::tones`]).

use std::time::{Duration, Instant};

use dsp::telephone_event::{EventPacket, Output, Packet, Receiver, Sender};
use dsp::{Digit, SampleRate};
use tracing::debug;

/// A key that is held this long is reported before it ends.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// The packet time of events that we send.
const EVENT_INTERVAL_MS: u32 = 20;

/// For so long after the last packet of an event its tones may still come, if they come as well: they wait in playout, events do not.
const TONES_WITHIN: Duration = Duration::from_millis(500);

/// A key that somebody pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// To be reported. Once for each key.
    Pressed {
        /// Which.
        digit: Digit,
        /// How long it was down, as far as is known by then.
        held: Duration,
    },
    /// It is up again and may be sent on.
    Released {
        /// Which.
        digit: Digit,
        /// How long it was down.
        held: Duration,
    },
}

/// Makes keys of one leg's telephone events.
#[derive(Debug)]
pub(crate) struct KeyReceiver {
    receiver: Receiver,
    clock: SampleRate,
    start: Instant,
    heard: Option<Instant>,
    held: HeldKey,
}

/// The key that is down on one leg. A key that was overtaken begins and ends inside another, which stays the one that is held.
#[derive(Debug, Default)]
pub(super) struct HeldKey(Option<Down>);

#[derive(Clone, Copy, Debug)]
struct Down {
    digit: Digit,
    since: Instant,
    is_reported: bool,
}

impl HeldKey {
    pub(super) fn down(&mut self, digit: Digit, now: Instant) {
        self.0.get_or_insert(Down { digit, since: now, is_reported: false });
    }

    pub(super) fn up(&mut self, digit: Digit, held: Duration, mut emit: impl FnMut(Key)) {
        let ended = self.0.take_if(|down| down.digit == digit);
        if !ended.is_some_and(|ended| ended.is_reported) {
            emit(Key::Pressed { digit, held });
        }
        emit(Key::Released { digit, held });
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, mut emit: impl FnMut(Key)) {
        if let Some(down) = self.0.as_mut().filter(|down| !down.is_reported && now >= down.since + REPORT_AFTER) {
            down.is_reported = true;
            emit(Key::Pressed { digit: down.digit, held: REPORT_AFTER });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.filter(|down| !down.is_reported).map(|down| down.since + REPORT_AFTER)
    }
}

impl KeyReceiver {
    /// For events with an RTP clock of `clock`.
    pub(crate) fn new(clock: SampleRate, now: Instant) -> Self {
        Self { receiver: Receiver::new(clock), clock, start: now, heard: None, held: HeldKey::default() }
    }

    /// Takes a packet whose events tick at `clock`.
    pub(crate) fn receive(&mut self, packet: Packet<'_>, clock: SampleRate, now: Instant, emit: impl FnMut(Key)) {
        // A peer that offers two clocks uses one of them, but a change of session may change it while a key is down.
        self.receiver.set_clock(clock);
        self.clock = clock;
        self.heard = Some(now);
        if let Err(error) = self.receiver.handle_packet(packet, ticks(self.start, now, clock)) {
            debug!(ssrc = packet.ssrc, timestamp = packet.timestamp, %error, "no telephone event");
        }
        self.emit(now, emit);
    }

    /// Whether a key is down, or was just now.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now < heard + TONES_WITHIN)
    }

    /// Tells the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant, emit: impl FnMut(Key)) {
        self.receiver.handle_timeout(ticks(self.start, now, self.clock));
        self.emit(now, emit);
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lost = self.receiver.poll_timeout().map(|at| self.start + duration(at, self.clock));
        lost.into_iter().chain(self.held.poll_timeout()).min()
    }

    fn emit(&mut self, now: Instant, mut emit: impl FnMut(Key)) {
        while let Some(output) = self.receiver.poll_output() {
            match output {
                Output::Start { digit } => self.held.down(digit, now),
                Output::End { digit, duration: ticks } => {
                    self.held.up(digit, duration(ticks, self.clock), &mut emit);
                }
            }
        }
        self.held.handle_timeout(now, emit);
    }
}

/// Sends keys on, one after the other, in the far end's RTP stream.
#[derive(Debug)]
pub(crate) struct KeySender {
    sender: Sender,
    /// The stream's timestamp, extended, and when it was that.
    at: (u64, Instant),
}

impl KeySender {
    /// For a stream that stands at `timestamp`.
    pub(crate) fn new(timestamp: u32, now: Instant) -> Self {
        Self { sender: Sender::new(SampleRate::HZ_8000, EVENT_INTERVAL_MS), at: (u64::from(timestamp), now) }
    }

    /// A key is to be sent. Keys are sent when they are known to the end, so that none is cut or doubled by what follows.
    pub(crate) fn press(&mut self, digit: Digit, held: Duration, timestamp: u32, now: Instant) {
        let at = self.extend(timestamp, now);
        if let Err(error) = self.sender.press(digit, ticks(now, now + held, SampleRate::HZ_8000), at) {
            debug!(%error, "a key is not sent on");
        }
    }

    /// Sends what is due in a stream that stands at `timestamp`.
    pub(crate) fn advance(&mut self, timestamp: u32, now: Instant, mut emit: impl FnMut(EventPacket)) {
        let at = self.extend(timestamp, now);
        loop {
            self.sender.handle_timeout(at);
            let Some(packet) = self.sender.poll_output() else { return };
            emit(packet);
        }
    }

    /// When [`Self::advance`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (at, now) = self.at;
        self.sender.poll_timeout().map(|due| now + duration(due.saturating_sub(at), SampleRate::HZ_8000))
    }

    /// Whether events stand in the audio's place.
    pub(crate) fn is_sending(&self) -> bool {
        !self.sender.is_idle()
    }

    fn extend(&mut self, timestamp: u32, now: Instant) -> u64 {
        let step = timestamp.wrapping_sub(self.at.0 as u32);
        // Half the range behind is behind: an event never goes back in time.
        let step = if step < u32::MAX / 2 { step } else { 0 };
        self.at = (self.at.0 + u64::from(step), now);
        self.at.0
    }
}

fn ticks(since: Instant, now: Instant, clock: SampleRate) -> u64 {
    let elapsed = now.saturating_duration_since(since).as_micros();
    // Rounded up: a deadline that was made a duration has passed when that duration has.
    (elapsed * u128::from(clock.hz())).div_ceil(1_000_000) as u64
}

fn duration(ticks: u64, clock: SampleRate) -> Duration {
    Duration::from_micros((u128::from(ticks) * 1_000_000 / u128::from(clock.hz())) as u64)
}
