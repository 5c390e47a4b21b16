//! What is said: pairs of sentences, by flite, at 8 kHz, made anew each time and the same each time.

use anyhow::{Context as _, Result, bail, ensure};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The cadence of everything that is spoken.
pub(crate) const PACKET: Duration = Duration::from_millis(20);

/// Samples of it at 8 kHz.
const SAMPLES: usize = 160;

/// Samples a second.
pub(crate) const RATE: usize = 8_000;

/// What is quiet before and behind a pair, samples: PESQ and ViSQOL look for its beginning and end there.
const MARGIN: usize = RATE / 2;

/// Between the two sentences of a pair, samples.
const PAUSE: usize = RATE * 3 / 10;

/// The level of active speech, dBov: what ITU-T P.830 tells to speak at.
const LEVEL: f32 = -26.0;

/// From the lists of IEEE Recommended Practice for Speech Quality Measurements (1969), with flite's voices.
const PAIRS: [(&str, &str, &str); 6] = [
    ("slt", "The birch canoe slid on the smooth planks.", "Glue the sheet to the dark blue background."),
    ("rms", "It is easy to tell the depth of a well.", "These days a chicken leg is a rare dish."),
    ("awb", "Rice is often served in round bowls.", "The juice of lemons makes fine punch."),
    ("slt", "The box was thrown beside the parked truck.", "The hogs were fed chopped corn and garbage."),
    ("rms", "Four hours of steady work faced us.", "A large size in stockings is hard to sell."),
    ("awb", "The boy was there when the sun rose.", "A rod is used to catch pink salmon."),
];

/// What is said: samples at 8 kHz, from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// When the first sample is spoken. Silence is sent before and after.
    pub at: Instant,
    /// 16-bit samples.
    pub pcm: Arc<[i16]>,
}

impl Script {
    /// When the first packet from `now` on is due: packets lie on a grid with the first of the speech.
    pub(crate) fn first_packet(&self, now: Instant) -> Instant {
        let early = self.at.saturating_duration_since(now).as_nanos() % PACKET.as_nanos();
        now + Duration::from_nanos(early as u64)
    }

    /// The packet that is due at `now`.
    pub(crate) fn packet(&self, now: Instant) -> [i16; SAMPLES] {
        // Half a packet more, since times are rounded.
        let since = (now + PACKET / 2).checked_duration_since(self.at);
        let first = since.map(|since| (since.as_micros() / PACKET.as_micros()) as usize * SAMPLES);
        let sample = |index| first.and_then(|first| self.pcm.get(first + index)).copied().unwrap_or_default();
        std::array::from_fn(sample)
    }
}

/// What one side says in a call: a pair that is not judged, so that everybody knows the network by then, and those that are.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// All of it.
    pub pcm: Arc<[i16]>,
    /// Where each pair that is judged begins and ends, in samples.
    pub pairs: Vec<(usize, usize)>,
}

/// Says everything twice: as it is, and begun with the second half, so that the two ends of a call do not say the same.
///
/// # Errors
/// When flite is missing or says nothing.
pub(crate) fn programs(directory: &Path) -> Result<[Program; 2]> {
    let said = PAIRS.iter().map(|pair| say(pair, directory)).collect::<Result<Vec<_>>>()?;
    let program = |first: usize| {
        let (mut pcm, mut pairs) = (Vec::new(), Vec::new());
        let order = (0..said.len()).filter_map(|index| said.get((index + first) % said.len()));
        for (index, pair) in order.clone().take(2).chain(order).enumerate() {
            let from = pcm.len();
            pcm.extend_from_slice(pair);
            if index >= 2 {
                pairs.push((from, pcm.len()));
            }
        }
        Program { pcm: pcm.into(), pairs }
    };
    Ok([program(0), program(PAIRS.len() / 2)])
}

fn say((voice, first, second): &(&str, &str, &str), directory: &Path) -> Result<Vec<i16>> {
    let mut pair = vec![0.0; MARGIN];
    for (text, pause) in [(first, PAUSE), (second, MARGIN)] {
        let file = directory.join("said.wav");
        let flite = Command::new("flite").args(["-voice", voice, "-t", text, "-o"]).arg(&file).status();
        ensure!(flite.context("flite (apt-get install flite)")?.success(), "flite failed");
        let (rate, samples) = wav(&std::fs::read(&file)?)?;
        ensure!(rate == 16_000, "{voice} speaks at {rate} Hz");
        pair.extend(halved(&samples));
        pair.resize(pair.len() + pause, 0.0);
    }
    pair.resize(pair.len().next_multiple_of(SAMPLES), 0.0);
    let powers: Vec<f32> =
        pair.chunks(SAMPLES).map(|block| block.iter().map(|x| x * x).sum::<f32>() / SAMPLES as f32).collect();
    let least = powers.iter().fold(0.0_f32, |most, power| most.max(*power)) / 1_000.0;
    let active: Vec<f32> = powers.into_iter().filter(|power| *power > least).collect();
    let factor = 10_f32.powf(LEVEL / 20.0) / (active.iter().sum::<f32>() / active.len().max(1) as f32).sqrt();
    Ok(pair.into_iter().map(|sample| dsp::units::to_i16(sample * factor)).collect())
}

/// Every other sample of what lies below 3.8 kHz.
fn halved(samples: &[f32]) -> Vec<f32> {
    const REACH: isize = 60;
    let tap = |k: isize| {
        let (x, edge) = (std::f32::consts::PI * k as f32, 3_800.0 / 8_000.0);
        let sinc = if k == 0 { edge } else { (x * edge).sin() / x };
        sinc * (0.5 + 0.5 * (x / (REACH + 1) as f32).cos())
    };
    let taps: Vec<(isize, f32)> = (-REACH..=REACH).map(|k| (k, tap(k))).collect();
    let at =
        |index: isize| usize::try_from(index).ok().and_then(|index| samples.get(index)).copied().unwrap_or_default();
    (0..samples.len().cast_signed()).step_by(2).map(|n| taps.iter().map(|(k, tap)| tap * at(n + k)).sum()).collect()
}

/// Rate and samples of a RIFF file of 16-bit mono PCM.
fn wav(bytes: &[u8]) -> Result<(u32, Vec<f32>)> {
    let rate = bytes.get(24..).and_then(|rest| rest.first_chunk()).map(|rate| u32::from_le_bytes(*rate));
    let Some(data) = bytes.windows(4).position(|word| word == b"data") else { bail!("no RIFF file") };
    let (samples, _) = bytes.get(data + 8..).context("no data")?.as_chunks::<2>();
    Ok((rate.context("no rate")?, samples.iter().map(|&pair| dsp::units::from_i16(i16::from_le_bytes(pair))).collect()))
}
