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
    /// Runs the commands with root's rights; an error names all of them where there are none to be had.
    pub(crate) fn run(self, commands: &[&[&str]]) -> Result<()> {
        if self == Self::None {
            let lines: Vec<String> = commands.iter().map(|words| format!("\n    sudo {}", words.join(" "))).collect();
            bail!("that needs root. Type:{}\nand start again.", lines.concat());
        }
        for words in commands {
            let sudo: &[&str] = if self == Self::Sudo { &["sudo", "--non-interactive"] } else { &[] };
            let mut all = sudo.iter().chain(*words);
            let Some(name) = all.next() else { continue };
            let mut command = shell::program(name);
            shell::run(command.args(all).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rights_every_command_is_named_and_none_is_run() {
        let tried =
            Privilege::None.run(&[&["true"], &["apt-get", "install", "cmake"]]).map_err(|error| error.to_string());
        assert!(
            tried.as_ref().is_err_and(|error| error.contains("sudo true\n    sudo apt-get install cmake")),
            "{tried:?}"
        );
    }
}
