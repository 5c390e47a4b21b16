//! What a quantum costs as WASM: which modules are measured, with Node as the driver, and how the figures are told. Not here: the measuring
//! (`quanta.mjs`), and browsers (`bench-browser-speed` of `tests/e2e`).

use crate::scene::{report, report_beside};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A hundredth of the 2,667 µs of a quantum: the target.
pub const ENGINE_US: f64 = 26.7;

/// How much longer denormal numbers may take than others: where they are computed with, it is some fifty times.
const DENORMAL_RATIO: f64 = 2.0;

/// A module, and what of it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its file's name, without the ending.
    pub file: &'static str,
    /// What its `set_echo` is told, where it has one.
    pub layer: u32,
    /// The most that its median may be, in µs a quantum.
    pub target: Option<f64>,
    /// What that is called.
    pub name: &'static str,
}

/// All that runs on the audio thread.
pub const MODULES: [Module; 4] = [
    Module { file: "engine", layer: 0, target: Some(ENGINE_US), name: "engine alone" },
    Module { file: "engine", layer: 1, target: Some(ENGINE_US), name: "engine with the suppressor" },
    Module { file: "canceller", layer: 1, target: None, name: "canceller" },
    Module { file: "line", layer: 0, target: None, name: "line" },
];

/// What `quanta.mjs` measures, in µs a quantum.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Minimum, median, 95th percentile and maximum.
    pub quantiles: [f64; 4],
    /// Medians of denormal input, of a decay through all denormal numbers, of digital silence behind a voice, and of ordinary input
    /// beside them.
    pub medians: [f64; 4],
}

impl Figures {
    /// Of the numbers as they are printed.
    ///
    /// # Errors
    /// When there are too few.
    pub fn of(numbers: &[f64]) -> Result<Self> {
        let read = || Some(Self { quantiles: *numbers.first_chunk()?, medians: *numbers.get(4..)?.first_chunk()? });
        read().with_context(|| format!("not what was to be measured: {numbers:?}"))
    }
}

impl Module {
    /// Where the web assets have it.
    pub fn path(&self) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/wasm/web")).join(format!("{}.wasm", self.file))
    }

    /// What it takes in Node where so many quanta are timed together, and its bytes on the wire.
    ///
    /// # Errors
    /// What Node says.
    pub fn in_node(&self, batch: u32) -> Result<(Figures, f64)> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/speed.mjs");
        let numbers = [self.layer, batch].map(|number| number.to_string());
        let output = Command::new("node").arg(script).arg(self.path()).args(numbers).output().context("node")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Ok((Figures::of(&numbers)?, *numbers.last().context("speed.mjs printed no numbers")?))
    }

    /// Tells what it takes somewhere; beside what it takes elsewhere, if that is known.
    pub fn tell(&self, place: &str, figures: Figures, elsewhere: Option<(&str, Figures)>) {
        let Self { name, target, .. } = self;
        let others = elsewhere.map(|(place, figures)| (place, figures.quantiles));
        for (at, what) in ["minimum", "median", "p95", "maximum"].into_iter().enumerate() {
            let Some(value) = figures.quantiles.get(at).copied() else { continue };
            // A machine that does other things as well shows in p95 and maximum: the median is what the work takes.
            let target = target.filter(|_| what == "median").map(|target| (target, value <= target));
            let peer = others.and_then(|(place, quantiles)| Some((place, value / quantiles.get(at).copied()?)));
            report_beside(&format!("{name}, {place}, {what}"), value, "µs a quantum", target, peer);
        }
        let [denormal, decay, silence, ordinary] = figures.medians;
        for (what, median) in [("denormal input", denormal), ("a decay", decay), ("silence", silence)] {
            let ratio = median / ordinary;
            let target = Some((DENORMAL_RATIO, ratio <= DENORMAL_RATIO));
            report(&format!("{name}, {place}, {what} beside ordinary input"), ratio, "times as long", target);
        }
    }
}
