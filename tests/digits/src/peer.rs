//! spandsp's detector, in a process of its own: `spandsp.c`, compiled when the bench runs. It is no part of the product.

use anyhow::{Context as _, Result, ensure};
use dsp::Digit;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The compiled program; the file goes with the value.
pub(crate) struct Peer(PathBuf);

impl Peer {
    /// Compiles it.
    ///
    /// # Errors
    /// When there is no C compiler or no `libspandsp-dev`.
    pub(crate) fn new() -> Result<Self> {
        let program = std::env::temp_dir().join(format!("ringlet-spandsp-{}", std::process::id()));
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/spandsp.c"));
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-O2", "-o"]).arg(&program).arg(source).args(["-lspandsp", "-lm"]);
        ensure!(compiler.status().context("cc")?.success(), "spandsp.c (apt-get install libspandsp-dev)");
        Ok(Self(program))
    }

    /// The digits that it finds at 8 kHz, and the processor's seconds that it takes.
    ///
    /// # Errors
    /// When it does not run to its end.
    pub(crate) fn find(&self, samples: &[i16]) -> Result<(Vec<Digit>, f64)> {
        let mut child = Command::new(&self.0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        // It says a few thousand bytes at most, which the pipe holds: nobody waits for the other.
        child.stdin.take().context("no pipe")?.write_all(&bytes)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "spandsp's detector: {}", output.status);
        let text = String::from_utf8(output.stdout)?;
        let (digits, seconds) = text.trim_end().rsplit_once('\n').context("spandsp's detector says nothing")?;
        Ok((digits.chars().filter_map(Digit::from_char).collect(), seconds.parse()?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The temporary folder's owner removes what is left.
        let _ = std::fs::remove_file(&self.0);
    }
}
