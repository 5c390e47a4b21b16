//! Half an hour of speech at 8 kHz: the prompts of Debian's `asterisk-core-sounds-en-wav` (a telephone's recorded voice), then flite's voices
//! until it is full. Nothing of it is in the repository.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
const VOICES: [&str; 3] = ["slt", "rms", "awb"];
const SECONDS: usize = 30 * 60;
const RATE: usize = 8_000;

/// What the synthesised voices read, with another number in front each time.
const TEXT: &str = "Thank you for calling. The parcel left our warehouse on Monday, and it should be with you by Thursday at the latest. Yes, the shoes come in blue, in green and in a rather loud yellow. May I ask whether the address is still the same as last time? Good. Then I will make a note of it, and you will get a message as soon as it is on its way. Who else would choose violet, honestly? We owe you sixteen euros and eighty cents, and you will see them on your next statement.";

/// 16-bit samples at 8 kHz.
///
/// # Errors
/// When the prompts or flite are not installed.
pub(crate) fn half_an_hour() -> Result<Vec<i16>> {
    let mut files = Vec::new();
    collect(Path::new(PROMPTS), &mut files)?;
    files.sort();
    ensure!(files.len() > 400, "{} prompts (apt-get install asterisk-core-sounds-en-wav)", files.len());
    let mut samples = Vec::with_capacity(SECONDS * RATE);
    for file in files {
        let (rate, prompt) = wav(&std::fs::read(&file)?).with_context(|| file.display().to_string())?;
        ensure!(rate as usize == RATE, "{} has {rate} Hz", file.display());
        samples.extend(prompt);
    }
    let mut round = 0;
    while samples.len() < SECONDS * RATE {
        samples.extend(
            VOICES
                .iter()
                .map(|voice| say(&format!("Number {round}. {TEXT}"), voice))
                .collect::<Result<Vec<_>>>()?
                .concat(),
        );
        round += 1;
    }
    samples.truncate(SECONDS * RATE);
    Ok(samples)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).context("the prompts (apt-get install asterisk-core-sounds-en-wav)")? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("silence") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "wav") {
            files.push(path);
        }
    }
    Ok(())
}

fn say(text: &str, voice: &str) -> Result<Vec<i16>> {
    let file = std::env::temp_dir().join(format!("ringlet-dtmf-{}.wav", std::process::id()));
    let flite = Command::new("flite").args(["-voice", voice, "-t", text, "-o"]).arg(&file).status();
    ensure!(flite.context("flite (apt-get install flite)")?.success(), "flite failed");
    let bytes = std::fs::read(&file)?;
    std::fs::remove_file(&file)?;
    let (rate, samples) = wav(&bytes)?;
    ensure!(rate == 16_000, "flite's {voice} has {rate} Hz");
    // Half the rate: the band above would fold down, so it goes first.
    let half_band = [-0.0318, 0.0, 0.2818, 0.5, 0.2818, 0.0, -0.0318_f32];
    let windows = samples.windows(half_band.len()).step_by(2);
    Ok(windows
        .map(|it| it.iter().zip(half_band).map(|(&sample, weight)| f32::from(sample) * weight).sum::<f32>() as i16)
        .collect())
}

/// Rate and samples of a RIFF file of 16-bit mono PCM.
fn wav(bytes: &[u8]) -> Result<(u32, Vec<i16>)> {
    let rate = bytes.get(24..).and_then(|rest| rest.first_chunk()).map(|rate| u32::from_le_bytes(*rate));
    let data = bytes.windows(4).position(|word| word == b"data").context("no RIFF file")?;
    let (samples, _) = bytes.get(data + 8..).context("no data")?.as_chunks::<2>();
    Ok((rate.context("no rate")?, samples.iter().map(|&pair| i16::from_le_bytes(pair)).collect()))
}
