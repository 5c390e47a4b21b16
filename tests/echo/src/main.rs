//! What each layer against echo does in three rooms and at three levels, with flite's voices: ERLE while only the far end speaks, and
//! what is lost of the near end while both do. Microseconds a quantum, natively and as WASM; bytes. `cargo xtask bench audio --section echo`.
//!
//! The browser's own canceller is not measured: Chromium takes its reference from the sound card, which a test machine has not.

mod onset;
mod room;
mod speech;

use anyhow::{Context as _, Result, ensure};
use canceller::Canceller;
use dsp::SampleRate;
use engine::Engine;
use room::{ROOMS, Room};
use serde_json::json;
use speech::{RATE, active_power, convert, power, say};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const FAR_TEXT: &str = "Thank you for calling. The parcel left our warehouse on Monday, and it should be with you by Thursday at the latest. If it does not arrive, please tell us the number on your receipt, and we will send another one at once. May I ask whether the address is still the same as last time? Good. Then I will make a note of it, and you will get a message as soon as it is on its way.";
const NEAR_TEXT: &str = "Yes, the address is the same. But the shoes that I ordered were the wrong size, so I would like to send them back and get a larger pair. Is that possible? I still have the receipt here, somewhere on the table.";

/// Levels in dBov: what the far end sends, the shopper's voice at the microphone, and its background while both speak.
const FAR: f32 = -24.0;
const VOICE: f32 = -26.0;
const BACKGROUND: f32 = -65.0;
/// With hardly a background, so that comfort noise is not counted as echo.
const SILENCE: f32 = -90.0;

/// How loud the echo is beside the voice, dB.
const ECHOES: [f32; 3] = [-14.0, -7.0, 0.0];

/// What is learned before it counts, seconds; the voice begins later yet.
const LEARNING: usize = 4;
const VOICE_FROM: usize = 6;

/// The targets: dB of echo, dB of the voice, and a hundredth of the 2,667 µs of a quantum.
const ERLE_DB: f32 = 40.0;
const LOST_DB: f32 = 6.0;
const ENGINE_US: f64 = 26.7;

/// The beginning of a word that may be lost.
const ONSET_MS: f32 = 30.0;

/// How much longer denormal numbers may take than others: where they are computed with, it is some fifty times.
const DENORMAL_RATIO: f64 = 2.0;

/// Web Audio's quantum.
const QUANTUM: usize = 128;

enum Layer {
    Suppressor(Box<Engine>),
    Canceller(Box<Canceller>),
}

impl Layer {
    fn both() -> [Self; 2] {
        let mut engine = Engine::new(RATE);
        engine.set_suppressor(true);
        [Self::Suppressor(Box::new(engine)), Self::Canceller(Box::new(Canceller::new(RATE)))]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Suppressor(_) => "suppressor",
            Self::Canceller(_) => "canceller",
        }
    }

    /// What is sent, and the microseconds of a quantum.
    fn run(&mut self, mic: &[f32], far: &[f32]) -> (Vec<f32>, f64) {
        let mut sent = vec![0.0; mic.len()];
        let begun = Instant::now();
        let quanta = mic.chunks(QUANTUM).zip(far.chunks(QUANTUM)).zip(sent.chunks_mut(QUANTUM));
        for ((mic, far), sent) in quanta {
            match self {
                Self::Suppressor(engine) => engine.process(mic, far, sent),
                Self::Canceller(canceller) => canceller.process(mic, far, sent),
            }
        }
        let quanta = mic.len() as f64 / QUANTUM as f64;
        (sent, begun.elapsed().as_secs_f64() * 1e6 / quanta)
    }
}

fn main() -> Result<()> {
    let far: Vec<f32> = scaled(&say(FAR_TEXT, "slt", true)?, FAR);
    let voice = scaled(&say(NEAR_TEXT, "rms", false)?, VOICE);
    let mut near = vec![0.0; seconds(VOICE_FROM)];
    near.extend(voice);
    near.resize(far.len(), 0.0);
    let (words, mut onsets) = (onset::words()?, ECHOES.map(|_| Vec::new()));
    for room in &ROOMS {
        let echo = echo(&far, room);
        for (level, onsets) in ECHOES.into_iter().zip(&mut onsets) {
            let echo = scaled(&echo, VOICE + level);
            let silent = sum(&echo, &noise(far.len(), SILENCE));
            let talked = sum(&sum(&echo, &noise(far.len(), BACKGROUND)), &near);
            for mut layer in Layer::both() {
                let name = format!("{}, {}, echo {level} dB", layer.name(), room.name);
                let (sent, _) = layer.run(&silent, &far);
                let erle = decibels(after(&echo, LEARNING), after(&sent, LEARNING));
                // The issue asks it of the suppressor; the canceller lets a second voice through better for it.
                let target = matches!(layer, Layer::Suppressor(_)).then_some((ERLE_DB.into(), erle >= ERLE_DB));
                report(&format!("{name}: ERLE"), erle.into(), "dB", target);
            }
            let background = sum(&echo, &noise(far.len(), BACKGROUND));
            let voice = 10_f32.powf(VOICE / 20.0);
            onsets.extend(onset::measure(&words, voice, &background, &far, seconds(LEARNING)));
            for mut layer in Layer::both() {
                let name = format!("{}, {}, echo {level} dB", layer.name(), room.name);
                let (sent, _) = layer.run(&talked, &far);
                let lost = lost(&near, &sent);
                report(&format!("{name}: voice lost"), lost.into(), "dB", Some((LOST_DB.into(), lost <= LOST_DB)));
            }
        }
    }
    for (level, mut waits) in ECHOES.into_iter().zip(onsets) {
        let name = format!("suppressor, echo {level} dB: a word's beginning lost");
        // A louder echo hides it from anybody.
        let target = (level <= ECHOES[0]).then_some(ONSET_MS);
        for (what, of) in [("median", 0.5), ("p95", 0.95)] {
            let ms = onset::quantile(&mut waits, of);
            let target = target.map(|target| (target.into(), ms <= target));
            report(&format!("{name}, {what} of {}", waits.len()), ms.into(), "ms", target);
        }
    }
    for mut layer in Layer::both() {
        let (_, time) = layer.run(&near, &far);
        let target = matches!(layer, Layer::Suppressor(_)).then_some((ENGINE_US, time <= ENGINE_US));
        report(&format!("{}, native, mean", layer.name()), time, "µs a quantum", target);
    }
    wasm("engine", 0, Some(ENGINE_US), "engine alone")?;
    wasm("engine", 1, Some(ENGINE_US), "engine with the suppressor")?;
    wasm("canceller", 1, None, "canceller")?;
    wasm("line", 0, None, "line")
}

fn wasm(module: &str, layer: u32, target: Option<f64>, name: &str) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = root.join(format!("target/wasm/web/{module}.wasm"));
    let script = root.join("tests/echo/src/speed.mjs");
    let output = Command::new("node").arg(script).arg(file).arg(layer.to_string()).output().context("node")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    let mut next = || numbers.next().context("speed.mjs printed no numbers");
    // A machine that does other things as well shows in p95 and maximum: the median is what the work takes.
    for (what, judged) in [("minimum", false), ("median", true), ("p95", false), ("maximum", false)] {
        let (value, target) = (next()?, target.filter(|_| judged));
        report(&format!("{name}, WASM, {what}"), value, "µs a quantum", target.map(|target| (target, value <= target)));
    }
    let bytes = next()?;
    report(&format!("{name}, gzip"), bytes, "bytes", None);
    let [denormal, decay, ordinary] = [next()?, next()?, next()?];
    for (what, median) in [("denormal input", denormal), ("a decay", decay)] {
        let ratio = median / ordinary;
        let target = Some((DENORMAL_RATIO, ratio <= DENORMAL_RATIO));
        report(&format!("{name}, WASM, {what} beside ordinary input"), ratio, "times as long", target);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
fn report(name: &str, value: f64, unit: &str, target: Option<(f64, bool)>) {
    let (target, holds) = target.unzip();
    println!(
        "{}",
        json!({ "name": name, "value": value, "unit": unit, "target": target, "holds": holds.unwrap_or(true) })
    );
}

/// The far end as the room gives it back. At 16 kHz: it is a telephone's voice.
fn echo(far: &[f32], room: &Room) -> Vec<f32> {
    let low = convert(far, RATE, SampleRate::HZ_16000);
    let mut back = vec![0.0_f32; low.len()];
    for (delay, weight) in room.response(16_000.0).into_iter().enumerate().filter(|(_, weight)| *weight != 0.0) {
        for (back, far) in back.iter_mut().skip(delay).zip(&low) {
            *back += weight * far;
        }
    }
    let mut back = convert(&back, SampleRate::HZ_16000, RATE);
    back.resize(far.len(), 0.0);
    back
}

/// With an active level of that many dBov.
fn scaled(samples: &[f32], level: f32) -> Vec<f32> {
    let factor = 10_f32.powf(level / 20.0) / active_power(samples).sqrt();
    samples.iter().map(|sample| sample * factor).collect()
}

fn sum(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().zip(right).map(|(left, right)| left + right).collect()
}

/// White noise of that many dBov.
fn noise(length: usize, level: f32) -> Vec<f32> {
    let (mut random, factor) = (0x2545_F491_u32, 3_f32.sqrt() * 10_f32.powf(level / 20.0));
    let next = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random.cast_signed() as f32 / 2_147_483_648.0 * factor
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// What is lost of the voice: in each 20 ms, the share of what was sent that is the voice, at the one delay that fits best.
fn lost(near: &[f32], sent: &[f32]) -> f32 {
    let product = |near: &[f32], sent: &[f32]| near.iter().zip(sent).map(|(near, sent)| near * sent).sum::<f32>();
    let near = after(near, VOICE_FROM);
    let later = |delay: usize| sent.get(seconds(VOICE_FROM) + delay..).unwrap_or_default();
    let best =
        (0..960).max_by(|a, b| product(near, later(*a)).total_cmp(&product(near, later(*b)))).unwrap_or_default();
    let (mut said, mut arrived) = (0.0, 0.0);
    for (near, sent) in near.chunks(960).zip(later(best).chunks(960)) {
        let energy: f32 = near.iter().map(|sample| sample * sample).sum();
        said += energy;
        arrived += product(near, sent).max(0.0).powi(2) / energy.max(1e-9);
    }
    10.0 * (said / arrived.max(1e-12)).log10()
}

fn decibels(before: &[f32], behind: &[f32]) -> f32 {
    10.0 * (power(before) / power(behind).max(1e-12)).log10()
}

fn after(samples: &[f32], from: usize) -> &[f32] {
    samples.get(seconds(from)..).unwrap_or_default()
}

fn seconds(count: usize) -> usize {
    RATE.hz() as usize * count
}
