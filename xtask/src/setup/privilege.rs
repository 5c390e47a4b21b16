//! Whether this process may change the system, and running the commands that do.

use crate::shell;
use anyhow::{Result, bail};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

/// How root's rights are to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// This process is root.
    Root,
    /// sudo works without a question.
    Sudo,
    /// Neither: commands are printed for the user to type.
    None,
}

/// Finds out.
pub(crate) fn privilege() -> Privilege {
    if is_root() {
        return Privilege::Root;
    }
    let mut sudo = shell::program("sudo");
    sudo.args(["--non-interactive", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match sudo.status() {
        Ok(status) if status.success() => Privilege::Sudo,
        _ => Privilege::None,
    }
}

/// Whether this process is root. The owner of a process's `/proc` entry is its effective user.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

impl Privilege {
    /// Runs the command with root's rights.
    pub(crate) fn run(self, words: &[&str]) -> Result<()> {
        let all = match self {
            Self::Root => words.to_vec(),
            Self::Sudo => [&["sudo", "--non-interactive"], words].concat(),
            Self::None => bail!("that needs root. Type:\n    sudo {}", words.join(" ")),
        };
        let Some((name, args)) = all.split_first() else { return Ok(()) };
        shell::run(shell::program(name).args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()))
    }
}
