//! A small sound project, and for each rule the smallest breaches of it.

use super::Project;
use crate::metadata::{Kind, Package, Workspace};

/// A project in which every rule holds.
pub(super) fn sound() -> Project {
    let manifest = "[package]\n[lints]\nworkspace = true\n";
    let files = [
        (
            "Cargo.toml",
            "[workspace.dependencies]\nwasm-bindgen = \"=1\"\nwasm-bindgen-cli-support = \"=1\"\nserde = \"1\"\n",
        ),
        ("Cargo.lock", ""),
        ("www/package-lock.json", "{}"),
        (".ci/run", "#!/bin/sh\nset -e\nexec cargo xtask test\n"),
        (
            "deny.toml",
            "[bans]\ndeny = [{ crate = \"ring\" }]\n[licenses]\nallow = [\"MIT\"]\n[sources]\nallow-registry = [\"https://x\"]\n",
        ),
        ("crates/dsp/Cargo.toml", manifest),
        (
            "crates/dsp/src/lib.rs",
            "//! Samples.\n#![no_std]\n#[cfg(test)]\nextern crate std;\nfn sine(x: f32) -> f32 {\n    libm::sinf(x)\n}\n",
        ),
        ("signal-server/Cargo.toml", manifest),
        (
            "signal-server/src/lib.rs",
            "//! HTTP.\nfn log(call: u32) {\n    info!(%call, \"the number is private\");\n}\n",
        ),
        ("crates/frame/src/lib.rs", "//! Frames.\n#![no_std]\n"),
        ("softphone-wasm/modules/line/src/lib.rs", "//! The line.\n#![no_std]\n"),
        ("softphone-wasm/engine/src/lib.rs", "//! The engine.\n#![no_std]\nmod abi;\n"),
        ("softphone-wasm/engine/src/abi.rs", "//! The ABI.\n#[unsafe(no_mangle)]\npub extern \"C\" fn process() {}\n"),
        ("www/loader/ringlet.js", "// The loader.\nexport {};\n"),
    ];
    let package = |name: &str, folder: &str, dependencies: &[(&str, Kind)]| Package {
        name: name.to_owned(),
        folder: (!folder.is_empty()).then(|| folder.to_owned()),
        license: Some("MIT".to_owned()),
        source: folder.is_empty().then(|| "registry+https://x".to_owned()),
        dependencies: dependencies.iter().map(|&(id, kind)| (id.to_owned(), kind)).collect(),
        test_binaries: 1,
    };
    let packages = [
        package("dsp", "crates/dsp", &[("libm", Kind::Normal), ("proptest", Kind::Dev)]),
        package("signal-server", "signal-server", &[("axum", Kind::Normal), ("dsp", Kind::Normal)]),
        package("libm", "", &[]),
        package("proptest", "", &[]),
        package("tokio", "", &[]),
        package("axum", "", &[("tokio", Kind::Normal)]),
    ];
    Project {
        files: files.map(|(path, text)| (path.to_owned(), text.to_owned())).into(),
        tracked: ["Cargo.lock", "www/package-lock.json"].map(str::to_owned).into(),
        workspace: Workspace(packages.into_iter().map(|package| (package.name.clone(), package)).collect()),
        modules: vec![b"\0asm\x01\0\0\0\x01\x01\0".to_vec()],
    }
}

/// Breaches of the rule, each with what it is.
pub(super) fn breaches(rule: &str) -> Vec<(&'static str, Project)> {
    [manifests(rule), code(rule), text(rule), elsewhere(rule)].into_iter().flatten().collect()
}

fn manifests(rule: &str) -> Vec<(&'static str, Project)> {
    match rule {
        "pure crates stay pure" => vec![
            ("a runtime behind another crate", depends("dsp", "axum", Kind::Normal)),
            ("a runtime in a build script", depends("dsp", "tokio", Kind::Build)),
            ("a runtime in the tests", depends("dsp", "tokio", Kind::Dev)),
        ],
        "SQL, HTTP, WebRTC, SIP and the browser have one owner each" => {
            let mut project = depends("dsp", "axum", Kind::Normal);
            project.workspace.0.entry("dsp".to_owned()).and_modify(|package| package.name = "ringlet".to_owned());
            vec![("axum outside signal-server", project)]
        }
        "one test binary a crate" => {
            vec![("two", package("dsp", |package| package.test_binaries = 2))]
        }
        "every crate has the workspace's lints" => vec![
            ("a manifest without lints", says("crates/dsp/Cargo.toml", "[package]\n")),
            ("lints of its own", says("crates/dsp/Cargo.toml", "[lints.clippy]\nall = \"allow\"\n")),
        ],
        "what breaks at each minor version is pinned exactly" => vec![
            ("a caret", says("Cargo.toml", "[workspace.dependencies]\nstr0m = { version = \"0.25\" }\n")),
            (
                "two wasm-bindgens",
                says(
                    "Cargo.toml",
                    "[workspace.dependencies]\nwasm-bindgen = \"=1\"\nwasm-bindgen-cli-support = \"=2\"\n",
                ),
            ),
        ],
        "lock files are committed" => {
            let mut project = sound();
            project.tracked.remove("Cargo.lock");
            vec![("a lock file that is not", project)]
        }
        "the worklet's modules import nothing" => {
            let engine = |bytes: &[u8]| Project { modules: vec![bytes.to_vec()], ..sound() };
            vec![("an import", engine(b"\0asm\x01\0\0\0\x02\x01\x01")), ("something else", engine(b"<html>"))]
        }
        _ => Vec::new(),
    }
}

fn code(rule: &str) -> Vec<(&'static str, Project)> {
    let dsp = "crates/dsp/src/lib.rs";
    match rule {
        "unsafe stands in the worklet modules' ABIs and nowhere else" => vec![
            ("a block", says("signal-server/src/lib.rs", "//! HTTP.\nfn f() {\n    unsafe { g() }\n}\n")),
            ("an ABI elsewhere", says("signal-server/src/abi.rs", "//! X.\nunsafe fn f() {}\n")),
            ("another file of the engine", says("softphone-wasm/engine/src/lib.rs", "//! X.\nunsafe fn f() {}\n")),
        ],
        "pure crates read no clock and open nothing" => vec![
            ("a clock", says(dsp, "//! X.\n#![no_std]\nlet now = Instant::now();\n")),
            ("a socket", says("crates/switchboard/src/lib.rs", "//! X.\nuse std::net::UdpSocket;\n")),
        ],
        "dsp and engine are no_std and never allocate" => vec![
            ("no attribute", says(dsp, "//! Samples.\n")),
            ("an allocator", says("softphone-wasm/engine/src/lib.rs", "//! X.\n#![no_std]\nextern crate alloc;\n")),
        ],
        "dsp takes elementary functions from libm or tables" => {
            vec![("a method of f32", says(dsp, "//! X.\n#![no_std]\nlet y = x.sin();\n"))]
        }
        "the browser names no phone number" => vec![
            ("an address", says("www/loader/ringlet.js", "// X.\ncall('sip:sales@pbx.example');\n")),
            ("a field", says("crates/protocol/src/visitor.rs", "//! X.\npub phone_number: String,\n")),
        ],
        "no number, name or order stands in a log above DEBUG" => vec![
            ("a field", says("signal-server/src/lib.rs", "//! X.\ninfo!(%number, \"calling\");\n")),
            (
                "a part of a struct",
                says("media-gateway/src/lib.rs", "//! X.\nwarn!(\n    to = %call.number,\n    \"busy\"\n);\n"),
            ),
        ],
        _ => Vec::new(),
    }
}

fn text(rule: &str) -> Vec<(&'static str, Project)> {
    let path = "signal-server/src/lib.rs";
    match rule {
        "every source file says what it is" => vec![
            ("Rust without a head", says(path, "fn f() {}\n")),
            ("JavaScript without a head", says("www/loader/ringlet.js", "export {};\n")),
        ],
        "no file is longer than 600 lines" => vec![("601 lines", says(path, &format!("//! X.\n{}", "\n".repeat(600))))],
        "no function is longer than 70 lines" => {
            vec![("71 lines", says(path, &format!("//! X.\nfn f() {{\n{}}}\n", "    g();\n".repeat(69))))]
        }
        "nothing is left for later" => vec![("a note", says(path, concat!("//! X.\n// TO", "DO: retry\n")))],
        "no path of somebody's machine" => {
            vec![("a home folder", says(path, concat!("//! X.\nlet a = \"/ho", "me/me/x\";\n")))]
        }
        "every test runs" => vec![("one that does not", says(path, "//! X.\n#[test]\n#[ignore]\nfn f() {}\n"))],
        "no example stands in the documentation that nobody compiles" => {
            vec![(
                "one that does",
                says(path, "//! X.\n/// ```text\n/// a -> b\n/// ```\n/// ```\n/// f();\n/// ```\n"),
            )]
        }
        "CI runs `cargo xtask test` and nothing else" => vec![
            ("a step of its own", says(".ci/run", "apt-get install sipp\ncargo xtask test\n")),
            ("a part of the tests", says(".ci/run", "cargo xtask test --no-e2e\n")),
        ],
        "no toolchain file names targets" => {
            vec![(
                "one that does",
                says("rust-toolchain.toml", "[toolchain]\ntargets = [\"wasm32-unknown-unknown\"]\n"),
            )]
        }
        _ => Vec::new(),
    }
}

fn elsewhere(rule: &str) -> Vec<(&'static str, Project)> {
    match rule {
        "no banned crate is compiled in" => {
            vec![("a second provider", package("libm", |package| package.name = "ring".to_owned()))]
        }
        "every licence is one that we may ship under" => vec![
            ("one that is not allowed", package("libm", |package| package.license = Some("GPL-3.0".to_owned()))),
            ("none at all", package("libm", |package| package.license = None)),
        ],
        "crates come from crates.io" => {
            vec![(
                "one that comes from git",
                package("libm", |package| package.source = Some("git+https://x".to_owned())),
            )]
        }
        _ => Vec::new(),
    }
}

/// The sound project, but the file says this.
fn says(path: &str, text: &str) -> Project {
    let mut project = sound();
    project.files.insert(path.to_owned(), text.to_owned());
    project
}

/// The sound project, but with another package.
fn package(id: &str, change: impl FnOnce(&mut Package)) -> Project {
    let mut project = sound();
    project.workspace.0.entry(id.to_owned()).and_modify(change);
    project
}

/// The sound project, but one package depends on another.
fn depends(id: &str, on: &str, kind: Kind) -> Project {
    package(id, |package| package.dependencies.push((on.to_owned(), kind)))
}
