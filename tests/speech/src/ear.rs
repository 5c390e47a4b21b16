//! What a listener hears: packets with the time at which they came, played out afterwards. Whoever carried them, the ear is the same.

use dsp::SampleRate;
use dsp::g711::Law;
use dsp::playout::{Codec, Config, G711, Packet, Playout, SampleTime};
use std::time::{Duration, Instant};

/// What is heard before it counts, so that the buffer knows the network.
pub(crate) const LEAD: Duration = Duration::from_secs(1);

/// What sound cards ask for at a time, in samples: 10 ms.
const BLOCK: usize = 80;

/// One packet as it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub at: Instant,
    pub sequence: u16,
    /// In ticks of its clock.
    pub timestamp: u32,
    pub ssrc: u32,
    /// G.711 µ-law, or Opus.
    pub payload: Vec<u8>,
}

/// Plays PCMU from `from` on, at 8 kHz.
pub(crate) fn telephone(heard: &[Heard], from: Instant, length: usize) -> Vec<f32> {
    play(heard, SampleRate::HZ_8000, G711(Law::Mu), from, length)
}

/// Plays Opus as a browser does: with its redundancy and its own concealment.
///
/// # Errors
/// What libopus says when it has no memory.
pub(crate) fn browser(heard: &[Heard], from: Instant, length: usize) -> Result<Vec<f32>, opus::Error> {
    let decoder = Opus(opus::Decoder::new(8_000, opus::Channels::Mono)?);
    Ok(play(heard, SampleRate::HZ_48000, decoder, from, length))
}

struct Opus(opus::Decoder);

impl Codec for Opus {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        self.0.decode_float(payload, pcm, false).unwrap_or_default()
    }

    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        self.0.decode_float(next, pcm, true).unwrap_or_default()
    }

    fn has_redundancy(&self, _: &[u8]) -> bool {
        // An ear that waits for it in any case favours nobody.
        true
    }

    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        self.0.decode_float(&[], pcm, false).unwrap_or_default()
    }
}

fn play(heard: &[Heard], clock: SampleRate, mut codec: impl Codec, from: Instant, length: usize) -> Vec<f32> {
    let Some(mut playout) = Playout::<1275>::new(SampleRate::HZ_8000, clock, Config::default()) else {
        return Vec::new();
    };
    let begin = from.checked_sub(LEAD).unwrap_or(from);
    let time = |at: Instant| SampleTime(at.saturating_duration_since(begin).as_micros() as u64 * 8 / 1_000);
    let mut heard = heard.iter().filter(|heard| heard.at >= begin).peekable();
    let lead = LEAD.as_millis() as usize * 8;
    let mut audio = vec![0.0; lead + length];
    for (index, block) in (0..).zip(audio.chunks_mut(BLOCK)) {
        let now = begin + Duration::from_millis(10) * index;
        while let Some(Heard { at, sequence, timestamp, ssrc, payload }) = heard.next_if(|heard| heard.at <= now) {
            let packet = Packet { ssrc: *ssrc, sequence: *sequence, timestamp: *timestamp, payload };
            playout.push(&packet, time(*at));
        }
        playout.pull(&mut codec, block, time(now));
    }
    audio.split_off(lead)
}
