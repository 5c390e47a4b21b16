//! A process that does not outlive the bench, and what the kernel says that it has cost.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};

/// The kernel's clock ticks in a second, in which it counts CPU time (`getconf CLK_TCK`, the same on every Linux).
const TICKS: f64 = 100.0;

/// A running process, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts `program`; what it prints goes to `<directory>/<name>.log`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(name: &str, directory: &Path, program: &Path, arguments: &[String]) -> Result<Self> {
        let log = File::create(directory.join(format!("{name}.log")))?;
        let mut command = Command::new("setpriv");
        // The kernel ends the child even when a signal ends us before any drop.
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments).current_dir(directory);
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self(child.with_context(|| format!("{} does not start", program.display()))?))
    }

    /// CPU time that it has used, in seconds.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // proc(5): the name in brackets may hold anything; of what follows the 12th and 13th are user and system time.
        let (_, rest) = stat.rsplit_once(") ").context("no stat")?;
        let ticks = |n: usize| rest.split(' ').nth(n).and_then(|word| word.parse::<f64>().ok());
        Ok((ticks(11).context("no user time")? + ticks(12).context("no system time")?) / TICKS)
    }

    /// Memory that it holds alone, in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
