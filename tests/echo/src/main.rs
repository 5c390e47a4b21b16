//! What each layer against echo does in three rooms and at three levels, with flite's voices: ERLE while only the far end speaks, and
//! what is lost of the near end while both do. Microseconds a quantum, natively and as WASM; bytes. `cargo xtask bench audio --section echo`.
//!
//! The browser's own canceller is measured where a browser is: `bench-browser-echo` of `tests/e2e`.

mod onset;

use anyhow::{Context as _, Result, ensure};
use canceller::Canceller;
use echo::room::ROOMS;
use echo::scene::{
    BACKGROUND, ECHOES, LEARNING, LOST_DB, ON_THE_SPOT, SILENCE, Script, VOICE, after, decibels, echo, lost, noise,
    report, scaled, seconds, sum,
};
use echo::speech::RATE;
use engine::Engine;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The targets: dB of echo, and a hundredth of the 2,667 µs of a quantum.
const ERLE_DB: f32 = 40.0;
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
    let Script { far, near } = Script::new()?;
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
                let lost = lost(&near, &sent, ON_THE_SPOT);
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
