//! Speech for both ends, by flite: made anew each time, and the same each time.

use anyhow::{Context as _, Result, bail, ensure};
use canceller::resample::Resampler;
use dsp::SampleRate;
use std::process::Command;

/// What everything here runs at.
pub const RATE: SampleRate = SampleRate::HZ_48000;

/// Says `text` in flite's `voice`, at [`RATE`], with an active level of 1 (RMS of where it is not silent). `telephone` cuts it to what
/// G.711 carries.
///
/// # Errors
/// When flite is missing or says nothing.
pub fn say(text: &str, voice: &str, telephone: bool) -> Result<Vec<f32>> {
    let file = std::env::temp_dir().join(format!("ringlet-echo-{}-{voice}.wav", std::process::id()));
    let flite = Command::new("flite").args(["-voice", voice, "-t", text, "-o"]).arg(&file).status();
    ensure!(flite.context("flite (apt-get install flite)")?.success(), "flite failed");
    let bytes = std::fs::read(&file)?;
    std::fs::remove_file(&file)?;
    let (rate, mut samples) = wav(&bytes)?;
    let mut rate = SampleRate::new(rate).context("flite's rate")?;
    if telephone {
        samples = convert(&samples, rate, SampleRate::HZ_8000);
        rate = SampleRate::HZ_8000;
    }
    let mut samples = convert(&samples, rate, RATE);
    let level = active_power(&samples).sqrt();
    samples.iter_mut().for_each(|sample| *sample /= level);
    Ok(samples)
}

/// Mean power of the blocks of 20 ms that are not 30 dB below the loudest.
pub fn active_power(samples: &[f32]) -> f32 {
    let powers: Vec<f32> = samples.chunks(960).map(power).collect();
    let least = powers.iter().fold(0.0_f32, |most, power| most.max(*power)) / 1_000.0;
    let active: Vec<f32> = powers.into_iter().filter(|power| *power > least).collect();
    active.iter().sum::<f32>() / active.len().max(1) as f32
}

/// Mean square.
pub fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32
}

/// At another rate.
fn convert(samples: &[f32], from: SampleRate, to: SampleRate) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to);
    let mut out = Vec::with_capacity(samples.len() * 6);
    samples.iter().for_each(|sample| resampler.push(*sample, |sample| out.push(sample)));
    out
}

/// Rate and samples of a RIFF file of 16-bit mono PCM.
fn wav(bytes: &[u8]) -> Result<(u32, Vec<f32>)> {
    let rate = bytes.get(24..).and_then(|rest| rest.first_chunk()).map(|rate| u32::from_le_bytes(*rate));
    let Some(data) = bytes.windows(4).position(|word| word == b"data") else { bail!("no RIFF file") };
    let (samples, _) = bytes.get(data + 8..).context("no data")?.as_chunks::<2>();
    Ok((rate.context("no rate")?, samples.iter().map(|&pair| dsp::units::from_i16(i16::from_le_bytes(pair))).collect()))
}
