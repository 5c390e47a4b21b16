//! What the phone says: a greeting and then the caller's own words, or a tone. G.711 throughout, nothing is resampled.

use super::line::SAMPLES;
use super::sdp::Codec;
use dsp::{Dbm0, Hertz, SampleRate, g711::Law, tone::Sine, units::to_i16};
use std::collections::VecDeque;

/// Speech of flite's voice slt: 8 kHz, μ-law, without header.
const GREETING: &[u8] = include_bytes!("../../assets/greeting.ulaw");

/// The echo comes 0.6 s later, in samples: late enough to be told from one's own voice.
const DELAY: usize = 4800;

/// An echo that lags further behind than this has a clock of its own; it is cut back.
const MAX_DELAY: usize = 2 * DELAY;

/// Of the tone: a normal speech level.
const TONE_LEVEL: Dbm0 = Dbm0(-10.0);

/// What is said next.
pub(super) struct Voice {
    greeting: &'static [u8],
    tone: Option<Sine>,
    /// The caller's codes, as they came.
    heard: VecDeque<u8>,
    /// Whether the delay has been filled.
    echoing: bool,
}

impl Voice {
    /// The greeting and the echo, or a tone of this frequency.
    pub(super) fn new(tone: Option<f32>) -> Self {
        let tone = tone.map(|hertz| Sine::new(SampleRate::HZ_8000, Hertz(hertz), TONE_LEVEL));
        Self { greeting: GREETING, tone, heard: VecDeque::new(), echoing: false }
    }

    /// Takes what the caller says.
    pub(super) fn hear(&mut self, codes: &[u8]) {
        self.heard.extend(codes);
        if self.heard.len() > MAX_DELAY {
            self.heard.drain(..self.heard.len() - DELAY);
        }
        self.echoing |= self.heard.len() >= DELAY;
    }

    /// The next 20 ms.
    pub(super) fn next_frame(&mut self, codec: Codec) -> [u8; SAMPLES] {
        let law = match codec {
            Codec::Pcmu => Law::Mu,
            Codec::Pcma => Law::A,
        };
        let echo = self.next_echo(law);
        if let Some(tone) = &mut self.tone {
            return encode(law, std::array::from_fn(|_| to_i16(tone.next_sample())));
        }
        match self.greeting.split_first_chunk::<SAMPLES>() {
            Some((frame, rest)) => {
                self.greeting = rest;
                let mut samples = [0; SAMPLES];
                Law::Mu.decode(frame, &mut samples);
                encode(law, samples)
            }
            None => echo,
        }
    }

    /// The delay runs on while the greeting is said, so that the echo is never late.
    fn next_echo(&mut self, law: Law) -> [u8; SAMPLES] {
        self.echoing &= self.heard.len() >= SAMPLES;
        if self.echoing {
            std::array::from_fn(|_| self.heard.pop_front().unwrap_or(law.silence()))
        } else {
            [law.silence(); SAMPLES]
        }
    }
}

fn encode(law: Law, samples: [i16; SAMPLES]) -> [u8; SAMPLES] {
    let mut codes = [law.silence(); SAMPLES];
    law.encode(&samples, &mut codes);
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: [u8; SAMPLES] = [0xFF; SAMPLES];

    #[test]
    fn the_greeting_comes_first_and_then_the_echo_after_the_delay() {
        let mut voice = Voice::new(None);
        let frames = GREETING.len() / SAMPLES;
        for (nth, said) in GREETING.chunks_exact(SAMPLES).enumerate() {
            assert_eq!(voice.next_frame(Codec::Pcmu), said, "frame {nth} of {frames}");
        }
        assert_eq!(voice.next_frame(Codec::Pcmu), SILENCE);
        let mut said_back = Vec::new();
        for nth in 0..100_u8 {
            voice.hear(&[nth; SAMPLES]);
            let [first, ..] = voice.next_frame(Codec::Pcmu);
            said_back.push(first);
        }
        let echoed: Vec<u8> = (0..71).collect();
        assert_eq!(said_back.split_at(29), (&[0xFF; 29][..], &echoed[..]));
    }

    #[test]
    fn an_echo_that_runs_dry_waits_for_the_delay_again() {
        let mut voice = Voice { greeting: &[], ..Voice::new(None) };
        voice.hear(&[1; DELAY]);
        for _ in 0..DELAY / SAMPLES {
            assert_eq!(voice.next_frame(Codec::Pcma), [1; SAMPLES]);
        }
        assert_eq!(voice.next_frame(Codec::Pcma), [0xD5; SAMPLES]);
        voice.hear(&[2; SAMPLES]);
        assert_eq!(voice.next_frame(Codec::Pcma), [0xD5; SAMPLES]);
    }

    #[test]
    fn a_caller_with_a_faster_clock_does_not_fill_the_memory() {
        let mut voice = Voice::new(None);
        for _ in 0..10_000 {
            voice.hear(&[1; SAMPLES]);
        }
        assert!(voice.heard.len() <= MAX_DELAY);
    }
}
