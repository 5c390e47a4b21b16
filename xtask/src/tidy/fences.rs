//! Which crate may depend on what: the manifest is the fence.

use super::{Finding, Project, Rule};
use crate::metadata::Kind;
use std::collections::BTreeMap;

pub(super) static RULES: [Rule; 7] = [
    Rule {
        name: "pure crates stay pure",
        why: "a core that knows no socket, clock or browser runs under a virtual clock, in a fuzzer and in WASM alike.",
        cure: "move what needs the crate into signal-server, media-gateway or softphone-wasm.",
        check: pure_crates,
    },
    Rule {
        name: "SQL, HTTP, WebRTC, SIP and the browser have one owner each",
        why: "a library that breaks its API at each minor version must be felt in one crate only.",
        cure: "ask the owning crate for what you need, in this project's own types.",
        check: owners,
    },
    Rule {
        name: "one test binary a crate",
        why: "each test binary links everything once more, and a minute of linking is a minute nobody tests.",
        cure: "make the file a module of the crate's one test binary.",
        check: test_binaries,
    },
    Rule {
        name: "every crate has the workspace's lints",
        why: "a crate without `[lints] workspace = true` is outside every fence that clippy guards.",
        cure: "add `[lints]` with `workspace = true` to its Cargo.toml.",
        check: inherited_lints,
    },
    Rule {
        name: "what breaks at each minor version is pinned exactly",
        why: "wasm-bindgen refuses glue of another version than its own, and str0m and rsipstack change under a caret.",
        cure: "write `=` before the version in the root Cargo.toml; wasm-bindgen and its cli-support get the same one.",
        check: pins,
    },
    Rule {
        name: "lock files are committed",
        why: "a build that nobody can repeat is not a build.",
        cure: "git add Cargo.lock www/package-lock.json.",
        check: lock_files,
    },
    Rule {
        name: "the worklet's modules import nothing",
        why: "an AudioWorklet cannot wait for the main thread, and an import is a call out of the audio thread.",
        cure: "find the import with wasm-dis; take elementary functions from libm, hand samples over by the ABI.",
        check: module_imports,
    },
];

/// What the AudioWorklet instantiates.
pub(super) const MODULES: [&str; 4] = ["engine", "canceller", "line", "opus"];

/// Runtimes, sockets, browsers, and what brings them along.
const IMPURE: [&str; 14] = [
    "async-std",
    "axum",
    "hyper",
    "js-sys",
    "mio",
    "reqwest",
    "rsipstack",
    "rustls",
    "socket2",
    "sqlx",
    "str0m",
    "tokio",
    "wasm-bindgen",
    "web-sys",
];

/// Who alone may name what.
const OWNERS: [(&str, &[&str]); 3] = [
    ("signal-server", &["axum", "axum-server", "memory-serve", "rustls-acme", "sqlx", "tower-http", "utoipa"]),
    ("media-gateway", &["mio", "opus", "rsipstack", "rtp-types", "sdp-types", "str0m"]),
    ("softphone-wasm", &["js-sys", "wasm-bindgen", "wasm-bindgen-futures", "web-sys"]),
];

/// `protocol` describes the REST API's shapes for `/openapi.json`, which is utoipa's derive and no HTTP. `ringlet phone` is
/// a far end of its own and writes its own packets.
const SHARED: [(&str, &str); 2] = [("protocol", "utoipa"), ("ringlet", "rtp-types")];

const PINNED: [&str; 7] =
    ["js-sys", "rsipstack", "str0m", "wasm-bindgen", "wasm-bindgen-cli-support", "wasm-bindgen-futures", "web-sys"];

fn pure_crates(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (package, folder) in project.workspace.members().filter(|(_, folder)| folder.starts_with("crates/")) {
        let manifest = format!("{folder}/Cargo.toml");
        let compiled = project.workspace.closure(package);
        for name in IMPURE.iter().filter(|name| compiled.contains(*name)) {
            findings.push(Finding::new(&manifest, 0, format!("{} is compiled with {name}", package.name)));
        }
        let tests = project.workspace.direct(package).filter(|&(_, kind)| kind == Kind::Dev);
        for (name, _) in tests.filter(|(name, _)| IMPURE.contains(name)) {
            findings.push(Finding::new(&manifest, 0, format!("{}'s tests use {name}", package.name)));
        }
    }
    findings
}

fn owners(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Below tests/ stand other people's shops and phones.
    for (package, folder) in project.workspace.members().filter(|(_, folder)| !folder.starts_with("tests/")) {
        for (name, _) in project.workspace.direct(package) {
            let owner = OWNERS.iter().find(|(_, owned)| owned.contains(&name)).map(|(owner, _)| *owner);
            if let Some(owner) =
                owner.filter(|&owner| owner != package.name && !SHARED.contains(&(&package.name, name)))
            {
                findings.push(Finding::new(&format!("{folder}/Cargo.toml"), 0, format!("{name} is {owner}'s alone")));
            }
        }
    }
    findings
}

fn test_binaries(project: &Project) -> Vec<Finding> {
    let many = project.workspace.members().filter(|(package, _)| package.test_binaries > 1);
    many.map(|(package, folder)| Finding::new(folder, 0, format!("{} test binaries", package.test_binaries))).collect()
}

fn inherited_lints(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, folder) in project.workspace.members() {
        let path = format!("{folder}/Cargo.toml");
        let manifest = project.files.get(&path).and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            findings.push(Finding::new(&path, 0, "no `lints.workspace = true`"));
        }
    }
    findings
}

fn pins(project: &Project) -> Vec<Finding> {
    let manifest =
        project.files.get("Cargo.toml").and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
    let dependencies = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let version = |name: &str| {
        let entry = dependencies?.get(name)?;
        entry.as_str().or_else(|| entry.get("version")?.as_str())
    };
    let found: BTreeMap<&str, &str> = PINNED.iter().filter_map(|&name| Some((name, version(name)?))).collect();
    let loose = found.iter().filter(|(_, version)| !version.starts_with('='));
    let mut findings: Vec<_> =
        loose.map(|(name, version)| Finding::new("Cargo.toml", 0, format!("{name} = \"{version}\""))).collect();
    if found.get("wasm-bindgen") != found.get("wasm-bindgen-cli-support") {
        findings.push(Finding::new("Cargo.toml", 0, "wasm-bindgen and wasm-bindgen-cli-support differ"));
    }
    findings
}

fn lock_files(project: &Project) -> Vec<Finding> {
    let wanted = ["Cargo.lock", "www/package-lock.json"];
    wanted
        .iter()
        .filter(|path| !project.tracked.contains(**path))
        .map(|path| Finding::new(path, 0, "not committed"))
        .collect()
}

fn module_imports(project: &Project) -> Vec<Finding> {
    let judge = |(name, module): (&&str, &Vec<u8>)| match count_imports(module) {
        Some(0) => None,
        Some(count) => Some(Finding::new(&format!("a/{name}.wasm"), 0, format!("{count} imports"))),
        None => Some(Finding::new(&format!("a/{name}.wasm"), 0, "not a WebAssembly module")),
    };
    MODULES.iter().zip(&project.modules).filter_map(judge).collect()
}

/// Reads the sections of a module (WebAssembly core specification, section 5.5); `None` if it is none.
fn count_imports(module: &[u8]) -> Option<u32> {
    const IMPORTS: u8 = 2;
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0")?;
    while let Some((&id, after)) = rest.split_first() {
        let (size, body) = leb128(after)?;
        let (section, after) = body.split_at_checked(usize::try_from(size).ok()?)?;
        if id == IMPORTS {
            return Some(leb128(section)?.0);
        }
        rest = after;
    }
    Some(0)
}

/// An unsigned LEB128 number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate().take(5) {
        value |= u32::from(byte & 0x7f).checked_shl(u32::try_from(at).ok()? * 7)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_counted_behind_other_sections_and_a_cut_module_is_none() {
        let module = |sections: &[u8]| [b"\0asm\x01\0\0\0".as_slice(), sections].concat();
        assert_eq!(count_imports(&module(&[])), Some(0));
        assert_eq!(count_imports(&module(&[1, 1, 0, 2, 1, 3])), Some(3));
        assert_eq!(count_imports(&module(&[1, 9, 0])), None);
        assert_eq!(count_imports(b"<html>"), None);
    }

    #[test]
    fn leb128_reads_more_than_one_byte() {
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, [7].as_slice())));
        assert_eq!(leb128(&[0x80]), None);
    }
}
