//! The toolchain that compiles to wasm32: the active one with its target added by rustup or, where rustup cannot
//! download, Debian's rustc with a standard library built here, linked into rustup as `wasm`.
//!
//! Not here: what is compiled, and what happens to the modules afterwards ([`crate::web`]).

use crate::setup::{apt_install, privilege};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of phone and engine.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_SYSROOT: &str = "/usr";
/// rustc looks for its own lld under this name.
const RUST_LLD: &str = "/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld";
/// Which rustc built the standard library that lies beside this file.
const STAMP: &str = "/usr/lib/rustlib/wasm32-unknown-unknown/lib/built-by";

/// Who compiles to wasm32 on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Toolchain {
    Active,
    Debian,
}

/// Installs a toolchain for wasm32 unless there is one.
pub(crate) fn ensure() -> Result<()> {
    if find().is_some() {
        return Ok(());
    }
    eprintln!("Missing: the target {TARGET} — phone and engine run in the browser.");
    if shell::which("rustup").is_some() && shell::succeeds(rustup().args(["target", "add", TARGET]))? {
        return Ok(());
    }
    eprintln!("rustup cannot download it here; Debian's rustc, with a standard library built here, serves as well.");
    install_debian()?;
    find().map(|_| ()).context("the wasm toolchain was installed, but is not found")
}

/// Cargo of the toolchain that compiles to wasm32, with `--target` and `--target-dir` still to be said.
pub(crate) fn cargo() -> Result<Command> {
    let mut cargo = shell::cargo();
    match find().context("no toolchain compiles to wasm32: cargo xtask setup")? {
        Toolchain::Active => {}
        Toolchain::Debian => {
            cargo.env("RUSTUP_TOOLCHAIN", "wasm");
        }
    }
    Ok(cargo)
}

fn find() -> Option<Toolchain> {
    if has_target(&active_sysroot()) {
        return Some(Toolchain::Active);
    }
    let linked = rustup_home().join("toolchains/wasm/bin/rustc").is_file();
    let debian = linked && Path::new(RUST_LLD).exists() && has_target(Path::new(DEBIAN_SYSROOT));
    (debian && fs::read_to_string(STAMP).ok()? == debian_rustc_version().ok()?).then_some(Toolchain::Debian)
}

/// `cargo run` sets `CARGO` to the active toolchain's `bin/cargo`.
fn active_sysroot() -> PathBuf {
    let cargo = std::env::var_os("CARGO").map(PathBuf::from).unwrap_or_default();
    cargo.parent().and_then(Path::parent).map_or_else(|| PathBuf::from(DEBIAN_SYSROOT), Path::to_owned)
}

fn rustup_home() -> PathBuf {
    let default = || std::env::home_dir().unwrap_or_default().join(".rustup");
    std::env::var_os("RUSTUP_HOME").map_or_else(default, PathBuf::from)
}

fn rustup() -> Command {
    let mut rustup = shell::program("rustup");
    // Set by rustup itself for everything below `cargo xtask`: with it, rustup would look at nothing else.
    rustup.env_remove("RUSTUP_TOOLCHAIN");
    rustup
}

fn has_target(sysroot: &Path) -> bool {
    let folder = fs::read_dir(sysroot.join("lib/rustlib").join(TARGET).join("lib"));
    folder
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
}

fn debian_rustc_version() -> Result<String> {
    shell::output(shell::program("/usr/bin/rustc").arg("--version"))
}

fn install_debian() -> Result<()> {
    if shell::which("apt-get").is_none() || shell::which("rustup").is_none() {
        bail!("neither rustup's downloads nor Debian's packages are to be had. Type: rustup target add {TARGET}");
    }
    let source = Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml");
    let lld = || newest_lld(Path::new("/usr/bin"));
    if !source.exists() || !Path::new("/usr/bin/rustc").exists() || lld().is_none() {
        eprintln!(
            "Missing: rustc-web, cargo-web, rust-web-src (the compiler and the library's source), lld (links wasm)."
        );
        apt_install(&["rustc-web", "cargo-web", "rust-web-src", &newest_lld_package()?])?;
    }
    let lld = lld().context("no /usr/bin/lld-<version> although its package is installed")?;
    let library = build_std()?;
    install_std(&library, &lld)?;
    shell::run(rustup().args(["toolchain", "link", "wasm", DEBIAN_SYSROOT]))
}

/// Builds the standard library for the target from Debian's source; the folder with its rlibs.
fn build_std() -> Result<PathBuf> {
    eprintln!("Building the standard library for {TARGET}, once (one to two minutes) …");
    let folder = shell::target().join("wasm-std");
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let mut cargo = shell::cargo();
    cargo.current_dir(&folder).env("RUSTUP_TOOLCHAIN", "wasm").env("RUSTC_BOOTSTRAP", "1");
    // Without bitcode in the rlibs, link-time optimisation could not reach into the standard library.
    cargo.env("RUSTFLAGS", "-Cembed-bitcode=yes").env_remove("CARGO_TARGET_DIR");
    shell::run(rustup().args(["toolchain", "link", "wasm", DEBIAN_SYSROOT]))?;
    shell::run(cargo.args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"]))?;
    Ok(folder.join("target").join(TARGET).join("release/deps"))
}

fn install_std(library: &Path, lld: &Path) -> Result<()> {
    let stamp = shell::target().join("wasm-std/built-by");
    fs::write(&stamp, debian_rustc_version()?)?;
    let files: Vec<PathBuf> =
        fs::read_dir(library)?.flatten().map(|entry| entry.path()).filter(|path| is_std(path)).collect();
    let to = Path::new(STAMP).parent().context("a stamp in the root folder")?.display().to_string();
    let bin = Path::new(RUST_LLD).parent().context("a linker in the root folder")?.display().to_string();
    let root = privilege();
    // The old library goes first: two of the same crate side by side are an error to rustc.
    root.run(&["rm", "-rf", &to])?;
    root.run(&["mkdir", "-p", &to, &bin])?;
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let words: Vec<&str> = ["cp"].into_iter().chain(files.iter().map(String::as_str)).chain([to.as_str()]).collect();
    root.run(&words)?;
    root.run(&["ln", "-sf", &lld.display().to_string(), RUST_LLD])?;
    // Last, so that an interrupted installation is not taken for a whole one.
    root.run(&["cp", &stamp.display().to_string(), STAMP])
}

fn is_std(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.ends_with(".rlib") && !name.starts_with("libempty-")
}

/// `/usr/bin/lld-<version>`, the newest: it must know the bitcode of Debian's newest rustc.
fn newest_lld(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    newest(names).map(|name| folder.join(name))
}

fn newest_lld_package() -> Result<String> {
    let names = shell::output(shell::program("apt-cache").args(["pkgnames", "lld-"]))?;
    newest(names.lines().map(str::to_owned)).context("no package lld-<version>. Type: apt-get update")
}

fn newest(names: impl Iterator<Item = String>) -> Option<String> {
    names.filter_map(|name| Some((name.strip_prefix("lld-")?.parse::<u32>().ok()?, name))).max().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lld_is_found_by_number_and_not_by_text() {
        let names = ["lld-9", "lld-22", "lld-19", "lld-link-22", "lld"].map(str::to_owned);
        assert_eq!(newest(names.into_iter()), Some("lld-22".to_owned()));
    }

    #[test]
    fn the_empty_crate_is_no_part_of_the_standard_library() {
        assert!(is_std(Path::new("/x/libstd-723a.rlib")));
        assert!(!is_std(Path::new("/x/libempty-83df.rlib")));
        assert!(!is_std(Path::new("/x/libstd-723a.rmeta")));
    }
}
