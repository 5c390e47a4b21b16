//! Starting other programs, with the command line shown and with an environment that cargo has not coloured.
//!
//! Not a shell: no quoting, no pipes, no patterns.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The root of the checkout. Asked of cargo at run time: checkouts that share a target folder share this binary.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&manifest).parent().unwrap_or(Path::new(".")).to_owned()
    });
    &ROOT
}

/// The target folder, wherever the user has put it.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A program to be run at the checkout's root.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// Cargo, without the variables that `cargo run` has set for this very process: they would make build scripts run
/// again, and the library path would let another toolchain's rustc load this one's LLVM.
pub(crate) fn cargo() -> Command {
    let mut command = program("cargo");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO" {
            command.env_remove(&name);
        }
    }
    let ours =
        |entry: &PathBuf| entry.starts_with(target()) || entry.components().any(|part| part.as_os_str() == ".rustup");
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        let kept: Vec<_> = std::env::split_paths(&path).filter(|entry| !ours(entry)).collect();
        match std::env::join_paths(&kept) {
            Ok(joined) if !joined.is_empty() => command.env("LD_LIBRARY_PATH", joined),
            _ => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    command
}

/// Shows the command, runs it with our stdout and stderr, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    if !succeeds(command)? {
        bail!("{} failed", display(command));
    }
    Ok(())
}

/// Shows the command, runs it with our stdout and stderr; `true` if it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    eprintln!("  $ {}", display(command));
    let status = command.status().with_context(|| format!("cannot start {}", display(command)))?;
    Ok(status.success())
}

/// Runs the command quietly; its stdout if it succeeded, an error that holds its stderr if not.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", display(command)))?;
    if !output.status.success() {
        bail!("{} failed:\n{}", display(command), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the command with its stdout and stderr passed on as they come; both texts, and whether it succeeded.
pub(crate) fn tee(command: &mut Command) -> Result<(String, bool)> {
    eprintln!("  $ {}", display(command));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| display(command))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let errors = std::thread::spawn(move || err.map_or_else(String::new, |pipe| pass_on(pipe, &mut std::io::stderr())));
    let mut text = out.map_or_else(String::new, |pipe| pass_on(pipe, &mut std::io::stdout()));
    text.push_str(&errors.join().unwrap_or_default());
    Ok((text, child.wait()?.success()))
}

/// The command as one would type it.
pub(crate) fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = |path: &Path| path.strip_prefix(root()).unwrap_or(path).display().to_string();
    words.map(|word| shown(Path::new(word))).collect::<Vec<_>>().join(" ")
}

/// Prints a result. Nobody may read it to its end (`… | head`), and that is no error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Where the program stands in `PATH`, in the folders of the system's administrator as well.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Builds the `ringlet` binary; its path.
pub(crate) fn build_ringlet(release: bool) -> Result<PathBuf> {
    eprintln!("Building ringlet{} …", if release { ", optimised" } else { "" });
    run(cargo().args(["build", "--locked", "--package", "ringlet"]).args(release.then_some("--release")))?;
    Ok(target().join(if release { "release" } else { "debug" }).join("ringlet"))
}

fn pass_on(pipe: impl Read, to: &mut impl Write) -> String {
    let mut seen = String::new();
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        // Nobody reads any more (`… | head`): the child's end still counts.
        let _ = writeln!(to, "{line}");
        seen.push_str(&line);
        seen.push('\n');
    }
    seen
}
