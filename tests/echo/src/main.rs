//! What each layer against echo does in three rooms and at three levels, with flite's voices: ERLE while only the far end speaks, and
//! what is lost of the near end while both do. Microseconds a quantum, natively and as WASM; bytes. `cargo xtask bench audio --section echo`.
//!
//! What needs a browser is measured where one is, in `tests/e2e`: its own canceller by `bench-browser-echo`, a quantum's time by
//! `bench-browser-speed`.

mod onset;

use anyhow::Result;
use canceller::Canceller;
use echo::room::ROOMS;
use echo::scene::{
    BACKGROUND, ECHOES, LEARNING, LOST_DB, ON_THE_SPOT, SILENCE, Script, VOICE, after, decibels, echo, lost, noise,
    report, scaled, seconds, sum,
};
use echo::speech::RATE;
use echo::speed::{ENGINE_US, MODULES};
use engine::Engine;
use std::time::Instant;

/// The target, dB of echo.
const ERLE_DB: f32 = 40.0;

/// The beginning of a word that may be lost.
const ONSET_MS: f32 = 30.0;

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
                let lost = match layer {
                    Layer::Suppressor(_) => lost(&onset::as_late(&near, &talked, &far), &sent, 0..1),
                    Layer::Canceller(_) => lost(&near, &sent, ON_THE_SPOT),
                };
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
    for module in MODULES {
        let (figures, bytes) = module.in_node(1)?;
        module.tell("Node", figures, None);
        report(&format!("{}, gzip", module.name), bytes, "bytes", None);
    }
    Ok(())
}
