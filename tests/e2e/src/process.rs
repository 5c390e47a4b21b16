//! Child processes that write a log and never outlive the test. Not here: what any of them is told.

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Enough for the last words of a server, few enough to read.
const TAIL_LINES: usize = 60;

/// A running program. Dropping it ends it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to `<directory>/<name>.log`.
    ///
    /// # Errors
    /// When the log cannot be made or the program not be started.
    pub fn start(name: &str, directory: &Path, program: &str, arguments: &[&str]) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        // The kernel ends the child even when a signal ends us before any drop.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .current_dir(directory)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The kernel's number of the program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that the program has printed.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines that it has printed, under its name.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!(
            "--- {} ({}), last lines\n{}\n",
            self.name,
            self.log.display(),
            lines.get(from..).unwrap_or_default().join("\n")
        )
    }

    /// Fails when the program has ended already.
    ///
    /// # Errors
    /// Its exit status and last words.
    pub fn require_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended with {status}\n{}", self.name, self.tail()),
        }
    }

    /// Asks the program to end (SIGTERM).
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn terminate(&self) -> Result<()> {
        signal("TERM", self.child.id())
    }

    /// Sends a signal to every process below its first descendants: what `unshare` has started stays, and so do we.
    ///
    /// # Errors
    /// When the kernel's table cannot be read, or a signal not be sent.
    pub fn signal_offspring(&self, name: &str) -> Result<()> {
        let all = processes()?;
        let mut family = vec![self.child.id()];
        let mut n = 0;
        while let Some(&parent) = family.get(n) {
            family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            n += 1;
        }
        // The program, and what it was made to start.
        for pid in family.iter().skip(2) {
            signal(name, *pid)?;
        }
        Ok(())
    }

    /// Ends the program at once (SIGKILL), as a crash or the kernel would.
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until the program has ended by itself.
    ///
    /// # Errors
    /// When it still runs at the end of `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        crate::wait::eventually(&format!("{name} ends"), limit, async || {
            self.child.try_wait()?.with_context(|| format!("{name} still runs\n{}", self.tail()))
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All processes and their parents.
fn processes() -> Result<Vec<(u32, u32)>> {
    let stat = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name stands in brackets and may hold anything.
        let parent = text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    };
    Ok(std::fs::read_dir("/proc")?.flatten().filter_map(stat).collect())
}

fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("sh").args(["-c", "kill -\"$0\" \"$1\" 2>/dev/null", name, &pid.to_string()]).status()?;
    if status.success() { Ok(()) } else { bail!("cannot send SIG{name} to {pid}") }
}
