//! What may come in from elsewhere, as deny.toml says: banned crates, licences, sources.
//!
//! Reads the parts of deny.toml that are used here; `cargo deny check` understands the same file and knows advisories too.

use super::{Finding, Project, Rule};
use toml::{Table, Value};

pub(super) static RULES: [Rule; 3] = [
    Rule {
        name: "no banned crate is compiled in",
        why: "each ban in deny.toml has its reason beside it; two rustls providers, for one, panic at start.",
        cure: "`cargo tree --invert NAME` shows who brings it; turn that feature off.",
        check: bans,
    },
    Rule {
        name: "every licence is one that we may ship under",
        why: "Ringlet is MIT OR Apache-2.0 and goes out as one binary.",
        cure: "take another crate; or, after reading the licence, add it to deny.toml with the reason.",
        check: licences,
    },
    Rule {
        name: "crates come from crates.io",
        why: "a git dependency can change, or be gone, under the same name.",
        cure: "depend on a published version.",
        check: sources,
    },
];

fn bans(project: &Project) -> Vec<Finding> {
    let deny = deny(project);
    let banned = entries(&deny, "bans", "deny")
        .filter_map(|entry| entry.get("crate").or(entry.get("name")).and_then(Value::as_str).or(entry.as_str()));
    let banned: Vec<&str> = banned.collect();
    let packages = project.workspace.0.values().filter(|package| banned.contains(&package.name.as_str()));
    packages.map(|package| Finding::new("Cargo.lock", 0, format!("{} is banned", package.name))).collect()
}

fn licences(project: &Project) -> Vec<Finding> {
    let deny = deny(project);
    let allowed: Vec<&str> = entries(&deny, "licenses", "allow").filter_map(Value::as_str).collect();
    let may_ship = |licence: Option<&str>| licence.is_some_and(|licence| satisfied(licence, &allowed));
    let packages = project.workspace.0.values().filter(|package| !may_ship(package.license.as_deref()));
    packages.map(|package| Finding::new("Cargo.lock", 0, format!("{}: {:?}", package.name, package.license))).collect()
}

fn sources(project: &Project) -> Vec<Finding> {
    let deny = deny(project);
    let allowed: Vec<&str> = entries(&deny, "sources", "allow-registry").filter_map(Value::as_str).collect();
    let known = |source: &str| source.strip_prefix("registry+").is_some_and(|registry| allowed.contains(&registry));
    let packages =
        project.workspace.0.values().filter(|package| package.source.as_deref().is_some_and(|source| !known(source)));
    packages.map(|package| Finding::new("Cargo.lock", 0, format!("{}: {:?}", package.name, package.source))).collect()
}

fn deny(project: &Project) -> Table {
    project.files.get("deny.toml").and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn entries<'a>(deny: &'a Table, section: &str, key: &str) -> impl Iterator<Item = &'a Value> {
    deny.get(section).and_then(|section| section.get(key)).and_then(Value::as_array).into_iter().flatten()
}

/// Whether an SPDX expression can be satisfied by licences of the list. `/` is how OR was written before SPDX.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let holds = any_of(&mut words, allowed);
    words.next().is_none() && holds
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `a OR b`, where AND binds tighter.
fn any_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut holds = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= all_of(words, allowed);
    }
    holds
}

fn all_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let holds = any_of(words, allowed);
        return words.next() == Some(")") && holds;
    }
    // An exception only ever adds permissions.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_needs_one_licence_and_a_conjunction_needs_all() {
        let allowed = ["MIT", "Apache-2.0", "ISC"];
        for fine in [
            "MIT",
            "MIT/GPL-3.0",
            "GPL-3.0 OR MIT",
            "ISC AND (Apache-2.0 OR GPL-3.0)",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(satisfied(fine, &allowed), "{fine}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT", "", "ISC AND (GPL-3.0 OR AGPL-3.0)", "MIT)"] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }
}
