//! The npm packages that the web build runs: esbuild, binaryen (wasm-opt), TypeScript.

use crate::shell;
use anyhow::Result;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Brings `www/node_modules` to what `www/package-lock.json` says.
pub(crate) fn ensure() -> Result<()> {
    let www = shell::root().join("www");
    if is_fresh(&www) {
        return Ok(());
    }
    eprintln!(
        "Missing: npm packages of www/package-lock.json — esbuild and wasm-opt make the web assets, tsc checks them."
    );
    shell::run(shell::program("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(www))
}

/// npm leaves in `node_modules/.package-lock.json` what it installed.
fn is_fresh(www: &Path) -> bool {
    let read = |path: &str| -> Option<Value> { serde_json::from_slice(&fs::read(www.join(path)).ok()?).ok() };
    match (read("package-lock.json"), read("node_modules/.package-lock.json")) {
        (Some(wanted), Some(installed)) => matches(&wanted, &installed),
        _ => false,
    }
}

/// Whether all that is wanted is installed at the same version; other platforms' optional packages never are.
fn matches(wanted: &Value, installed: &Value) -> bool {
    let Some(wanted) = wanted.get("packages").and_then(Value::as_object) else { return false };
    let version = |entry: &Value| entry.get("version").cloned();
    let optional = |entry: &Value| entry.get("optional") == Some(&Value::Bool(true));
    wanted.iter().filter(|(path, _)| !path.is_empty()).all(|(path, entry)| {
        let found = installed.get("packages").and_then(|packages| packages.get(path));
        found.map_or_else(|| optional(entry), |found| version(found) == version(entry))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_older_or_absent_package_is_not_fresh_and_another_platforms_is_no_matter() {
        let wanted = json!({"packages": {
            "": {"name": "ringlet-www"},
            "node_modules/esbuild": {"version": "0.28.2"},
            "node_modules/@esbuild/linux-x64": {"version": "0.28.2", "optional": true},
        }});
        let installed = |version: &str| json!({"packages": {"node_modules/esbuild": {"version": version}}});
        assert!(matches(&wanted, &installed("0.28.2")));
        assert!(!matches(&wanted, &installed("0.28.1")));
        assert!(!matches(&wanted, &json!({"packages": {}})));
    }
}
