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
    let rustup = shell::which("rustup").is_some();
    if rustup && shell::succeeds(shell::program("rustup").args(["target", "add", TARGET]))? && find().is_some() {
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
    let debian = linked && rust_lld().exists() && has_target(Path::new(DEBIAN_SYSROOT));
    (debian && fs::read_to_string(STAMP).ok()? == debian_rustc_version().ok()?).then_some(Toolchain::Debian)
}

/// `cargo run` sets `CARGO` to the active toolchain's `bin/cargo`.
fn active_sysroot() -> PathBuf {
    let cargo = std::env::var_os("CARGO").map(PathBuf::from).unwrap_or_default();
    cargo.parent().and_then(Path::parent).map_or_else(|| PathBuf::from(DEBIAN_SYSROOT), Path::to_owned)
}

/// Where Debian's rustc looks for its own lld, which Debian packages apart.
fn rust_lld() -> PathBuf {
    PathBuf::from(format!("/usr/lib/rustlib/{}-unknown-linux-gnu/bin/rust-lld", std::env::consts::ARCH))
}

fn rustup_home() -> PathBuf {
    let default = || std::env::home_dir().unwrap_or_default().join(".rustup");
    std::env::var_os("RUSTUP_HOME").map_or_else(default, PathBuf::from)
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
    // Cargo of the linked toolchain builds the library, too.
    shell::run(shell::program("rustup").args(["toolchain", "link", "wasm", DEBIAN_SYSROOT]))?;
    install_std(&build_std()?, &lld)
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
    shell::run(cargo.args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"]))?;
    Ok(folder.join("target").join(TARGET).join("release/deps"))
}

fn install_std(library: &Path, lld: &Path) -> Result<()> {
    let stage = shell::target().join("wasm-std/lib");
    let stamp = shell::target().join("wasm-std/built-by");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    fs::create_dir_all(&stage)?;
    for entry in fs::read_dir(library)?.flatten().filter(|entry| is_std(&entry.path())) {
        fs::copy(entry.path(), stage.join(entry.file_name()))?;
    }
    fs::write(&stamp, debian_rustc_version()?)?;
    let text = |path: &Path| path.display().to_string();
    let (installed, linker) = (Path::new(STAMP).parent().map(text), rust_lld());
    let (to, bin) = (installed.unwrap_or_default(), linker.parent().map(text).unwrap_or_default());
    privilege().run(&[
        // The old library goes first: two of the same crate side by side are an error to rustc.
        &["rm", "-rf", &to],
        &["mkdir", "-p", &bin, &to],
        &["cp", "-rT", &text(&stage), &to],
        &["ln", "-sf", &text(lld), &text(&linker)],
        // Last, so that an interrupted installation is not taken for a whole one.
        &["cp", &text(&stamp), STAMP],
    ])
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
