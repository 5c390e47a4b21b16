//! What cargo knows of the workspace's crates and of all that they depend on.
//!
//! A model that the rules read, and that tests make by hand; not a full reader of `cargo metadata`.

use crate::shell;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The platform whose dependencies count: what is deployed. Others' (Windows, macOS) are in Cargo.lock, unused.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Why a crate is depended on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// One crate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder in this checkout, such as `crates/dsp`; `None` for a crate from elsewhere.
    pub(crate) folder: Option<String>,
    /// SPDX expression.
    pub(crate) license: Option<String>,
    /// `registry+https://…`, `git+https://…`; `None` for our own.
    pub(crate) source: Option<String>,
    /// Ids of what it directly depends on.
    pub(crate) dependencies: Vec<(String, Kind)>,
    /// How many test binaries of its own it has, besides its unit tests.
    pub(crate) test_binaries: usize,
}

/// All crates by cargo's package id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace(pub(crate) BTreeMap<String, Package>);

impl Workspace {
    /// Asks cargo, with Cargo.lock as it stands.
    pub(crate) fn load() -> Result<Self> {
        let metadata = ["metadata", "--format-version=1", "--locked", "--filter-platform", PLATFORM];
        // `cargo metadata` switches on every feature that any platform or test asks for; `cargo tree` knows what a build
        // really compiles.
        let tree =
            ["tree", "--workspace", "--locked", "--prefix=none", "--edges=normal,build,dev", "--target", PLATFORM];
        let metadata = shell::output(shell::cargo().args(metadata))?;
        let tree = shell::output(shell::cargo().args(tree))?;
        Self::parse(&metadata, &tree, shell::root()).context("cargo metadata printed something unexpected")
    }

    /// Our own crates.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Package, &str)> {
        self.0.values().filter_map(|package| Some((package, package.folder.as_deref()?)))
    }

    /// The names of what a crate directly depends on.
    pub(crate) fn direct<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = (&'a str, Kind)> {
        package.dependencies.iter().filter_map(|(id, kind)| Some((self.0.get(id)?.name.as_str(), *kind)))
    }

    /// The names of all that is compiled into a crate, or to compile it.
    pub(crate) fn closure(&self, package: &Package) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Package> = vec![package];
        while let Some(package) = open.pop() {
            for (id, _) in package.dependencies.iter().filter(|(_, kind)| *kind != Kind::Dev) {
                if let Some(next) = self.0.get(id).filter(|_| seen.insert(id)) {
                    names.insert(next.name.as_str());
                    open.push(next);
                }
            }
        }
        names
    }

    fn parse(metadata: &str, tree: &str, root: &Path) -> Option<Self> {
        let metadata: Value = serde_json::from_str(metadata).ok()?;
        let words = tree.lines().map(|line| line.split_whitespace());
        let compiled: BTreeSet<(&str, &str)> =
            words.filter_map(|mut words| Some((words.next()?, words.next()?.strip_prefix('v')?))).collect();
        let nodes = metadata.pointer("/resolve/nodes")?.as_array()?;
        let edges: BTreeMap<&str, &Value> =
            nodes.iter().filter_map(|node| Some((node.get("id")?.as_str()?, node))).collect();
        let mut packages = BTreeMap::new();
        for package in metadata.get("packages")?.as_array()? {
            let id = text_of(package, "id")?;
            let version = (package.get("name")?.as_str()?, package.get("version")?.as_str()?);
            if let Some(node) = edges.get(id.as_str()).filter(|_| compiled.contains(&version)) {
                packages.insert(id, read_package(package, node, root)?);
            }
        }
        Some(Self(packages))
    }
}

fn read_package(package: &Value, node: &Value, root: &Path) -> Option<Package> {
    let source = text_of(package, "source");
    let manifest = text_of(package, "manifest_path")?;
    let folder = Path::new(&manifest).parent()?.strip_prefix(root).ok().map(|path| path.display().to_string());
    let is_test = |target: &&Value| target.pointer("/kind/0").and_then(Value::as_str) == Some("test");
    Some(Package {
        name: text_of(package, "name")?,
        folder: folder.filter(|_| source.is_none()),
        license: text_of(package, "license"),
        source,
        dependencies: node.get("deps")?.as_array()?.iter().filter_map(read_dependency).flatten().collect(),
        test_binaries: package.get("targets")?.as_array()?.iter().filter(is_test).count(),
    })
}

fn read_dependency(dependency: &Value) -> Option<Vec<(String, Kind)>> {
    let id = text_of(dependency, "pkg")?;
    let kind = |entry: &Value| match entry.get("kind").and_then(Value::as_str) {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    };
    Some(dependency.get("dep_kinds")?.as_array()?.iter().map(|entry| (id.clone(), kind(entry))).collect())
}

fn text_of(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id": "path+dsp", "name": "dsp", "version": "1.0.0", "source": null, "license": "MIT", "manifest_path": "/r/crates/dsp/Cargo.toml",
             "targets": [{"kind": ["lib"]}, {"kind": ["test"]}]},
            {"id": "reg+libm", "name": "libm", "version": "1.0.0", "source": "registry+x", "license": "MIT", "manifest_path": "/c/libm/Cargo.toml",
             "targets": [{"kind": ["lib"]}]},
            {"id": "reg+proptest", "name": "proptest", "version": "1.0.0", "source": "registry+x", "license": "MIT",
             "manifest_path": "/c/proptest/Cargo.toml", "targets": []},
            {"id": "reg+ring", "name": "ring", "version": "1.0.0", "source": "registry+x", "license": "MIT", "manifest_path": "/c/ring/Cargo.toml",
             "targets": []}
        ],
        "resolve": {"nodes": [
            {"id": "path+dsp", "deps": [
                {"pkg": "reg+libm", "dep_kinds": [{"kind": null}]},
                {"pkg": "reg+proptest", "dep_kinds": [{"kind": "dev"}]}]},
            {"id": "reg+libm", "deps": [{"pkg": "reg+ring", "dep_kinds": [{"kind": null}]}]},
            {"id": "reg+ring", "deps": []},
            {"id": "reg+proptest", "deps": []}
        ]}
    }"#;

    #[test]
    fn a_closure_leaves_out_what_only_tests_use_and_what_is_not_compiled_here() -> Result<()> {
        let tree = "dsp v1.0.0 (/r/crates/dsp)\nlibm v1.0.0\nproptest v1.0.0\nlibm v1.0.0 (*)\n";
        let workspace = Workspace::parse(METADATA, tree, Path::new("/r")).context("unreadable")?;
        let (dsp, folder) = workspace.members().next().context("no member")?;
        assert_eq!((folder, dsp.test_binaries), ("crates/dsp", 1));
        assert_eq!(workspace.closure(dsp), BTreeSet::from(["libm"]));
        assert_eq!(workspace.direct(dsp).collect::<Vec<_>>(), [("libm", Kind::Normal), ("proptest", Kind::Dev)]);
        assert!(!workspace.0.contains_key("reg+ring"));
        Ok(())
    }
}
