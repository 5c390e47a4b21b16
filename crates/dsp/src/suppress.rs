//! The echo suppressor: a switch in the microphone's path that closes while only the far end speaks. Half duplex with soft switching:
//! who speaks first keeps the way, and a second voice opens it where it stands out of the predicted echo.
//!
//! The echo is predicted from the far end's levels in six bands of the telephone range and in all that lies above it, with a delay of 0
//! to 250 ms found by correlating both envelopes, a reverberant tail, and an attenuation learned for each band (the coupling). Above the
//! telephone's range a far end has next to nothing, and what a loudspeaker's distortion makes there is learned as well. Where the switch
//! is closed, noise of the microphone's own background takes the microphone's place, so that nobody asks whether the line is dead.
//!
//! A voice takes its time to be told from an echo. So the microphone is sent 20 ms late, and the switch opens for what was said before it
//! was sure: of a word's beginning that much less is lost, and of an echo that begins nothing passes before the switch is closed.
//!
//! Deliberately not a canceller: it subtracts nothing, and while both speak the echo passes with the voice. It costs some 6,000
//! operations for 128 samples, and needs no more than 7 KB.

mod analysis;
mod coupling;
mod noise;

use crate::{SampleRate, units};
use analysis::Analysis;
use coupling::Coupling;
use noise::ComfortNoise;

/// How long the switch takes to open: short against the softest beginning of a word.
const OPEN_MS: u32 = 4;

/// How long it takes to close: longer than a click, and shorter than the way of the sound through loudspeaker and room.
const CLOSE_MS: u32 = 8;

/// How much later the microphone is sent: a packet's worth. More would be felt in a conversation.
const LOOKAHEAD_MS: u32 = 20;

/// That many samples at 48 kHz; at higher rates they are a shorter time.
const MAX_LOOKAHEAD: usize = 960;

/// The switch, for one microphone.
#[derive(Clone, Debug)]
pub struct Suppressor {
    near: Analysis,
    far: Analysis,
    coupling: Coupling,
    noise: ComfortNoise,
    /// What has come and is not sent yet; the oldest at `at`.
    waiting: [f32; MAX_LOOKAHEAD],
    lookahead: usize,
    at: usize,
    gain: f32,
    opening: f32,
    closing: f32,
}

impl Suppressor {
    /// Open, with nothing learned: until it knows better, it takes the room for one that gives back all that it hears.
    pub fn new(rate: SampleRate) -> Self {
        Self {
            near: Analysis::new(rate),
            far: Analysis::new(rate),
            coupling: Coupling::new(),
            noise: ComfortNoise::new(rate),
            waiting: [0.0; MAX_LOOKAHEAD],
            lookahead: (rate.samples(LOOKAHEAD_MS) as usize).min(MAX_LOOKAHEAD),
            at: 0,
            gain: 1.0,
            opening: 1.0 / rate.samples(OPEN_MS) as f32,
            closing: 1.0 / rate.samples(CLOSE_MS) as f32,
        }
    }

    /// One sample of the microphone and what the far end says at that moment; as it is to be sent, the microphone's sample from
    /// [`lookahead`](Self::lookahead) before. What is not a number counts as silence.
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
        self.gain = if self.coupling.is_open() {
            (self.gain + self.opening).min(1.0)
        } else {
            (self.gain - self.closing).max(0.0)
        };
        let mic = self.waiting.get_mut(self.at).map_or(mic, |slot| core::mem::replace(slot, mic));
        self.at = if self.at + 1 < self.lookahead { self.at + 1 } else { 0 };
        if self.gain >= 1.0 {
            return mic;
        }
        // Less the square: on the way, the powers of both add up to little less than either.
        mic * self.gain + self.noise.next_sample() * (1.0 - self.gain * self.gain)
    }

    /// By how many samples the microphone is sent late: 20 ms, and less above 48 kHz.
    pub fn lookahead(&self) -> usize {
        self.lookahead
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
