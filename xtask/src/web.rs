//! `www/dist`: everything that the server embeds, made from `www/` and `softphone-wasm/` as www/README.md says.
//!
//! Written beside the old one and put in its place at the end, and only when an input has changed. Not here: what the
//! files say, and serving them.

use crate::{shell, wasm};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All that decides what comes out.
const INPUTS: [&str; 13] = [
    "www/loader",
    "www/check",
    "www/widget",
    "www/shop",
    "www/package-lock.json",
    "softphone-wasm",
    "crates/dsp",
    "crates/frame",
    "crates/protocol",
    "Cargo.toml",
    "Cargo.lock",
    "xtask/src/web.rs",
    "xtask/src/wasm.rs",
];

/// What rustc emits for wasm32 by default; wasm-opt refuses a module that uses more than it is told of.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Built web assets.
pub(crate) struct Dist {
    folder: PathBuf,
}

/// Brings `www/dist` up to date.
pub(crate) fn build() -> Result<Dist> {
    let dist = Dist { folder: shell::root().join("www/dist") };
    let stamp = shell::target().join("wasm/dist-fingerprint");
    let inputs = fingerprint(shell::root())?;
    if dist.folder.join("panel.html").exists() && fs::read_to_string(&stamp).is_ok_and(|built| built == inputs) {
        return Ok(dist);
    }
    eprintln!("Building the web assets: phone and engine to wasm, scripts and styles minified …");
    let files = assets()?;
    if dist.read().ok().as_ref() != Some(&files) {
        dist.replace(&files)?;
    }
    fs::write(stamp, inputs)?;
    Ok(dist)
}

impl Dist {
    /// The file whose name was `name` before its hash was put in, such as `a/panel.js`.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if path.exists() {
            return Ok(path);
        }
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let entries = fs::read_dir(self.folder.join(folder)).with_context(|| format!("www/dist/{folder}"))?;
        let mut names = entries.flatten().map(|entry| entry.path());
        let found =
            names.find(|path| path.file_name().is_some_and(|name| without_hash(&name.to_string_lossy()) == file));
        found.with_context(|| format!("www/dist has no {name}"))
    }

    /// Every file, by its path in `www/dist`.
    pub(crate) fn read(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        files_below(&self.folder)
    }

    fn replace(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        let (new, old) = (self.folder.with_extension("new"), self.folder.with_extension("old"));
        for folder in [&new, &old] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        for (name, bytes) in files {
            let path = new.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&new))?;
            fs::write(path, bytes)?;
        }
        if self.folder.exists() {
            fs::rename(&self.folder, &old)?;
        }
        fs::rename(&new, &self.folder).context("putting the new www/dist in the old one's place")?;
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
        Ok(())
    }
}

/// Makes every file of `www/dist`, by its path in it.
fn assets() -> Result<BTreeMap<String, Vec<u8>>> {
    let www = shell::root().join("www");
    let work = shell::target().join("wasm/web");
    fs::create_dir_all(&work)?;
    let modules = modules(&work)?;
    let glue = format!("--alias:phone={}", bindgen_folder().join("phone.js").display());
    let mut hashed = BTreeMap::from(modules);
    let scripts: [(&str, &str, &[&str]); 10] = [
        ("panel.js", "widget/panel.js", &["--bundle", "--format=esm", "--target=es2022", &glue]),
        ("sound.js", "widget/sound/sound.js", &["--bundle", "--format=esm", "--target=es2022", "--loader:.css=text"]),
        ("worklet.js", "widget/worklet.js", &["--format=esm", "--target=es2022"]),
        ("panel.css", "widget/panel.css", &[]),
        ("check.js", "check/check.js", &["--bundle", "--format=esm", "--target=es2022"]),
        ("check.css", "check/check.css", &[]),
        ("next.js", "widget/next.js", &["--format=esm", "--target=es2022"]),
        ("line.js", "widget/line.js", &["--format=esm", "--target=es2022"]),
        ("line-worklet.js", "widget/line-worklet.js", &["--format=esm", "--target=es2022"]),
        ("opus-worker.js", "widget/opus-worker.js", &["--target=es2022"]),
    ];
    for (name, from, args) in scripts {
        hashed.insert(name, esbuild(&www.join(from), &work.join(name), args)?);
    }
    let loader = ["--bundle", "--format=iife", "--target=es2022"];
    let loader = esbuild(&www.join("loader/ringlet.js"), &work.join("ringlet.js"), &loader)?;
    let names: BTreeMap<&str, String> = hashed.iter().map(|(&name, bytes)| (name, with_hash(name, bytes))).collect();
    let preflight = ["--format=esm", "--target=es2022"];
    let preflight = esbuild(&www.join("loader/preflight.js"), &work.join("preflight.js"), &preflight)?;

    let mut files = BTreeMap::from([("ringlet.js".to_owned(), loader), ("preflight.js".to_owned(), preflight)]);
    for page in ["widget/panel.html", "check/check.html", "check/errors.html"] {
        let template = fs::read_to_string(www.join(page)).with_context(|| format!("www/{page}"))?;
        let name = page.rsplit('/').next().unwrap_or(page).to_owned();
        files.insert(name, fill(&template, &names).with_context(|| format!("www/{page}"))?.into_bytes());
    }
    files.extend(hashed.into_iter().filter_map(|(name, bytes)| Some((names.get(name)?.clone(), bytes))));
    files.extend(files_below(&www.join("shop"))?.into_iter().map(|(name, bytes)| (format!("shop/{name}"), bytes)));
    Ok(files)
}

/// Compiles the phone and the worklets' modules, makes the phone's glue, shrinks them.
fn modules(work: &Path) -> Result<[(&'static str, Vec<u8>); 5]> {
    let target_dir = shell::target().join("wasm");
    let mut cargo = wasm::cargo()?;
    cargo.args(["build", "--lib", "--profile", "wasm"]);
    for package in ["softphone-wasm", "engine", "canceller", "line", "opus-module"] {
        cargo.args(["--package", package]);
    }
    shell::run(cargo.args(["--target", wasm::TARGET]).arg("--target-dir").arg(&target_dir))?;
    let compiled = target_dir.join(wasm::TARGET).join("wasm");
    eprintln!("  wasm-bindgen: the glue between phone and browser");
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(compiled.join("softphone_wasm.wasm")).out_name("phone").web(true)?.typescript(true);
    // The panel hands the module over: it knows the hashed name.
    bindgen.omit_default_module_path(true).remove_name_section(true).remove_producers_section(true);
    bindgen.generate(bindgen_folder()).context("wasm-bindgen")?;
    Ok([
        (
            "phone.wasm",
            wasm_opt(&["-Oz", "--converge"], &bindgen_folder().join("phone_bg.wasm"), &work.join("phone.wasm"))?,
        ),
        ("engine.wasm", wasm_opt(&["-Oz", "--converge"], &compiled.join("engine.wasm"), &work.join("engine.wasm"))?),
        ("line.wasm", wasm_opt(&["-Oz", "--converge"], &compiled.join("line.wasm"), &work.join("line.wasm"))?),
        // More than -O1 would make it no smaller, in three times the time.
        ("opus.wasm", wasm_opt(&["-O1"], &compiled.join("opus_module.wasm"), &work.join("opus.wasm"))?),
        // Thirty times the engine's work, and no part of a first call: here time counts before bytes.
        (
            "canceller.wasm",
            wasm_opt(&["-O3", "--converge"], &compiled.join("canceller.wasm"), &work.join("canceller.wasm"))?,
        ),
    ])
}

/// Where the phone's glue and its types are, for esbuild and tsc.
fn bindgen_folder() -> PathBuf {
    shell::root().join("target/wasm/bindgen")
}

fn wasm_opt(passes: &[&str], from: &Path, to: &Path) -> Result<Vec<u8>> {
    let mut wasm_opt = node_program("wasm-opt");
    wasm_opt.args(passes).args(["--strip-debug", "--strip-producers", "--strip-target-features"]);
    shell::run(wasm_opt.args(WASM_FEATURES).arg(from).arg("-o").arg(to))?;
    Ok(fs::read(to)?)
}

fn esbuild(from: &Path, to: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let mut esbuild = node_program("esbuild");
    esbuild.arg(from).args(["--minify", "--charset=utf8", "--legal-comments=none", "--log-level=warning"]);
    shell::run(esbuild.args(args).arg(format!("--outfile={}", to.display())))?;
    Ok(fs::read(to)?)
}

/// A program of `www/node_modules`.
pub(crate) fn node_program(name: &str) -> std::process::Command {
    shell::program(shell::root().join("www/node_modules/.bin").join(name))
}

/// Puts hashed names where the template names files, and leaves the server's placeholders, which are in upper case.
fn fill(template: &str, names: &BTreeMap<&str, String>) -> Result<String> {
    let filled =
        names.iter().fold(template.to_owned(), |text, (name, hashed)| text.replace(&format!("{{{{{name}}}}}"), hashed));
    let unknown = filled.split("{{").skip(1).find(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()));
    match unknown.and_then(|rest| rest.split("}}").next()) {
        Some(name) => bail!("{{{{{name}}}}} is named, which the build does not make"),
        None => Ok(filled),
    }
}

/// `panel.js` → `a/panel-0123abcd.js`: a name that never stands for other bytes can be cached for ever.
fn with_hash(name: &str, bytes: &[u8]) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let digest: String = Sha256::digest(bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("a/{stem}-{digest}.{extension}")
}

/// The name before its hash was put in.
pub(crate) fn without_hash(name: &str) -> String {
    let split = name.rsplit_once('.').and_then(|(stem, extension)| Some((stem.rsplit_once('-')?.0, extension)));
    split.map_or_else(|| name.to_owned(), |(stem, extension)| format!("{stem}.{extension}"))
}

/// A digest of every input's path and content.
fn fingerprint(root: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for input in INPUTS {
        let path = root.join(input);
        let files = if path.is_dir() { files_below(&path)? } else { [(String::new(), fs::read(&path)?)].into() };
        for (name, bytes) in files {
            hash.update(format!("{input}\0{name}\0{}\0", bytes.len()));
            hash.update(bytes);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Every file below the folder, by its path in it.
fn files_below(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            files.extend(files_below(&path)?.into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashed_name_changes_with_the_bytes_and_is_found_by_the_plain_one() {
        let name = with_hash("panel.js", b"one");
        assert_ne!(name, with_hash("panel.js", b"two"));
        assert_eq!(format!("a/{}", without_hash(name.trim_start_matches("a/"))), "a/panel.js");
        assert_eq!(without_hash("index.html"), "index.html");
    }

    #[test]
    fn the_builds_placeholders_are_filled_and_the_servers_are_left() {
        let names = BTreeMap::from([("panel.js", "a/panel-01.js".to_owned())]);
        let filled = fill("<html data-token={{TOKEN}}><script src={{panel.js}}>", &names);
        assert_eq!(filled.ok().as_deref(), Some("<html data-token={{TOKEN}}><script src=a/panel-01.js>"));
        assert!(fill("{{desk.js}}", &names).is_err());
    }
}
