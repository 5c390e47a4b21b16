//! The echo suppressor: a switch in the microphone's path that closes while only the far end speaks. Half duplex with soft switching:
//! who speaks first keeps the way, and a second voice opens it where it stands out of the predicted echo.
//!
//! The echo is predicted from the far end's levels in six bands of the telephone range and in all that lies above it, with a delay of 0
//! to 250 ms found by correlating both envelopes, a reverberant tail, and an attenuation learned for each band (the coupling). Above the
//! telephone's range a far end has next to nothing, and what a loudspeaker's distortion makes there is learned as well. Where the switch
//! is closed, noise of the microphone's own background takes the microphone's place, so that nobody asks whether the line is dead.
//!
//! A voice takes its time to be told from an echo. So the microphone is sent 20 ms late: of an echo that begins nothing passes before the
//! switch is closed. Where a voice opens it, the switch goes back to where something first stood out, 80 ms at most, and what is said
//! is sent as late as that until its next pause: hardly a word's beginning is lost, and a late word is better than half of one.
//!
//! Deliberately not a canceller: it subtracts nothing, and while both speak the echo passes with the voice. It costs some 6,000
//! operations for 128 samples, and needs no more than 18 KB.

mod analysis;
mod coupling;
mod noise;

use crate::{SampleRate, units};
use analysis::{Analysis, FRAMES_PER_SECOND};
use coupling::Coupling;
use noise::ComfortNoise;

/// How long the switch takes to open: short against the softest beginning of a word.
const OPEN_MS: u32 = 4;

/// How long it takes to close: longer than a click, and shorter than the way of the sound through loudspeaker and room.
const CLOSE_MS: u32 = 8;

/// How much later the microphone is sent at least: a packet's worth. More would be felt in a conversation.
const LOOKAHEAD_MS: u32 = 20;

/// And at most, where a voice opened the switch: 19 of 20 words need no more that are 14 dB louder than the echo.
const MOST_LATE_MS: u32 = 80;

/// That many samples at 48 kHz, and one; at higher rates they are a shorter time.
const LINE: usize = 3_841;

/// The switch, for one microphone.
#[derive(Clone, Debug)]
pub struct Suppressor {
    near: Analysis,
    far: Analysis,
    coupling: Coupling,
    noise: ComfortNoise,
    /// What has come; the newest at `at`.
    line: [f32; LINE],
    at: usize,
    late: usize,
    lookahead: usize,
    most_late: usize,
    frame: usize,
    gain: f32,
    opening: f32,
    closing: f32,
}

impl Suppressor {
    /// Open, with nothing learned: until it knows better, it takes the room for one that gives back all that it hears.
    pub fn new(rate: SampleRate) -> Self {
        let samples = |ms| (rate.samples(ms) as usize).min(LINE - 1);
        Self {
            near: Analysis::new(rate),
            far: Analysis::new(rate),
            coupling: Coupling::new(),
            noise: ComfortNoise::new(rate),
            line: [0.0; LINE],
            at: 0,
            late: samples(LOOKAHEAD_MS),
            lookahead: samples(LOOKAHEAD_MS),
            most_late: samples(MOST_LATE_MS),
            frame: samples(1_000 / FRAMES_PER_SECOND),
            gain: 1.0,
            opening: 1.0 / rate.samples(OPEN_MS) as f32,
            closing: 1.0 / rate.samples(CLOSE_MS) as f32,
        }
    }

    /// One sample of the microphone and what the far end says at that moment; as it is to be sent, the microphone's sample from
    /// [`late`](Self::late) before. What is not a number counts as silence.
    pub fn process(&mut self, mic: f32, far: f32) -> f32 {
        let [mic, far] = [mic, far].map(|sample| units::audible(sample).clamp(-1.0, 1.0));
        let (near_frame, far_frame) = (self.near.push(mic), self.far.push(far));
        // Both decimate alike, so both frames are complete at the same sample.
        if let (Some(near), Some(far)) = (near_frame, far_frame) {
            self.coupling.decide(&near, &far);
            if self.coupling.is_background() {
                self.noise.learn(&self.near.correlation());
            }
        }
        // Behind noise that is like the background, nobody hears that some of the background is left out.
        let catches_up = self.late > self.lookahead && self.coupling.is_background();
        if self.gain <= 0.0 {
            self.late = (self.lookahead + self.frame * self.coupling.stood_out()).min(self.most_late);
        }
        self.gain = if self.coupling.is_open() && !catches_up {
            (self.gain + self.opening).min(1.0)
        } else {
            (self.gain - self.closing).max(0.0)
        };
        let mic = self.delayed(mic);
        if self.gain >= 1.0 {
            return mic;
        }
        // Less the square: on the way, the powers of both add up to little less than either.
        mic * self.gain + self.noise.next_sample() * (1.0 - self.gain * self.gain)
    }

    /// Takes the newest sample, and gives the one that is to be sent.
    fn delayed(&mut self, mic: f32) -> f32 {
        self.at = if self.at + 1 < LINE { self.at + 1 } else { 0 };
        if let Some(slot) = self.line.get_mut(self.at) {
            *slot = mic;
        }
        let from = if self.at < self.late { self.at + LINE - self.late } else { self.at - self.late };
        self.line.get(from).copied().unwrap_or_default()
    }

    /// By how many samples the microphone is sent late now: 20 ms, and up to 80 ms from where a voice opened the switch to its next
    /// pause. Above 48 kHz no more than 3,840 samples.
    pub fn late(&self) -> usize {
        self.late
    }

    /// How far the switch is open for what is sent now: 0 to 1.
    pub fn gain(&self) -> f32 {
        self.gain
    }

    /// The delay of the echo, milliseconds; `None` until both envelopes agree on one.
    pub fn delay_ms(&self) -> Option<u32> {
        self.coupling.delay_ms()
    }
}

#[cfg(test)]
mod tests;
