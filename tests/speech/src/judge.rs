//! Scores by PESQ and ViSQOL, which are a Python script's to compute.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a listener thinks of one pair of sentences.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// MOS-LQO of ITU-T P.862.1, 1.0 to 4.5.
    pub pesq: f64,
    /// MOS-LQO of ViSQOL, 1 to 5; of some pairs only.
    pub visqol: Option<f64>,
    /// From mouth to ear.
    pub delay_ms: f64,
}

/// What was said, what was heard from the same moment on, and where the pairs lie that are judged; at 8 kHz.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    pub name: &'a str,
    pub said: &'a [i16],
    pub heard: &'a [f32],
    pub pairs: &'a [(usize, usize)],
}

/// Judges all tasks. What was heard stays in `directory`, for people to listen to.
///
/// # Errors
/// When `BENCH_PYTHON` has not what the script needs.
pub(crate) fn judge(tasks: &[Task<'_>], directory: &Path) -> Result<Vec<Vec<Score>>> {
    let python = std::env::var_os("BENCH_PYTHON").context("BENCH_PYTHON names no interpreter")?;
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/judge.py"));
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("no stdin")?;
    for Task { name, said, heard, pairs } in tasks {
        let heard: Vec<i16> = heard.iter().map(|sample| dsp::units::to_i16(*sample)).collect();
        let said = write(directory, &format!("{name}, said"), said)?;
        let heard = write(directory, &format!("{name}, heard"), &heard)?;
        writeln!(input, "{}", json!({ "said": said, "heard": heard, "pairs": pairs }))?;
    }
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "judge.py ended with {}", output.status);
    let scores: Vec<Vec<Score>> = String::from_utf8(output.stdout)?.lines().map(read).collect::<Result<_>>()?;
    ensure!(scores.len() == tasks.len(), "{} of {} tasks judged", scores.len(), tasks.len());
    Ok(scores)
}

fn read(line: &str) -> Result<Vec<Score>> {
    let scores: Vec<Value> = serde_json::from_str(line)?;
    let read = |score: &Value| {
        let number = |key: &str| score.get(key).and_then(Value::as_f64);
        Some(Score { pesq: number("pesq")?, visqol: number("visqol"), delay_ms: number("delay_ms")? })
    };
    scores.iter().map(|score| read(score).with_context(|| format!("no score: {score}"))).collect()
}

fn write(directory: &Path, name: &str, samples: &[i16]) -> Result<PathBuf> {
    let path = directory.join(format!("{name}.s16"));
    std::fs::write(&path, samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(path)
}
