//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md, each a rule that says why it stands and how a breach is cured.
//!
//! The rules are pure functions over [`Project`], a model of the checkout; for each there is a breach in [`breaches`] that
//! the tests see it find. Lints that clippy has are not repeated here.

#[cfg(test)]
mod breaches;
mod fences;
mod hygiene;
mod licence;
mod purity;
mod source;

use crate::metadata::Workspace;
use crate::report::Tally;
use crate::shell;
use crate::web::{Dist, node_program};
use anyhow::Result;
use source::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What the rules look at.
#[derive(Clone, Default)]
pub(crate) struct Project {
    /// Every text file that is committed, or would be: its path from the root, and what it says.
    files: BTreeMap<String, String>,
    /// The paths that are committed.
    tracked: BTreeSet<String>,
    workspace: Workspace,
    /// The worklet's modules as they are served, in the order of [`fences::MODULES`].
    modules: Vec<Vec<u8>>,
}

/// Where a rule is broken, and by what.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 where it is the file as a whole.
    line: usize,
    what: String,
}

/// One invariant.
struct Rule {
    name: &'static str,
    /// Why it stands.
    why: &'static str,
    /// What to do where it is broken.
    cure: &'static str,
    check: fn(&Project) -> Vec<Finding>,
}

/// Checks every rule and prints what does not hold.
pub(crate) fn rules(dist: &Dist) -> Result<Tally> {
    let project = Project::load(dist)?;
    let mut tally = Tally::default();
    for rule in all() {
        let findings = (rule.check)(&project);
        tally = tally + Tally::of(findings.is_empty());
        if findings.is_empty() {
            continue;
        }
        eprintln!("\ntidy: {} does not hold", rule.name);
        for Finding { path, line, what } in findings {
            let at = if line > 0 { format!("{path}:{line}") } else { path };
            eprintln!("  {at}: {what}");
        }
        eprintln!("  why:  {}\n  cure: {}", rule.why, rule.cure);
    }
    eprintln!("tidy: {} rules hold, {} do not.", tally.passed, tally.failed);
    Ok(tally)
}

/// Formatting, lints and types, by the tools that know them.
pub(crate) fn tools() -> Result<Tally> {
    let mut tally = Tally::default();
    eprintln!("Formatting: cargo fmt --all cures it.");
    tally = tally + Tally::of(shell::succeeds(shell::cargo().args(["fmt", "--all", "--check"]))?);
    eprintln!("Types of the JavaScript, from its JSDoc.");
    tally = tally + Tally::of(shell::succeeds(node_program("tsc").args(["--project", "www/tsconfig.json"]))?);
    eprintln!("Lints.");
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    Ok(tally + Tally::of(shell::succeeds(shell::cargo().args(clippy))?))
}

fn all() -> impl Iterator<Item = &'static Rule> {
    fences::RULES.iter().chain(&purity::RULES).chain(&hygiene::RULES).chain(&licence::RULES)
}

impl Project {
    fn load(dist: &Dist) -> Result<Self> {
        let list = |args: &[&str]| shell::output(shell::program("git").args(["ls-files", "-z"]).args(args));
        let names = |text: &str| text.split_terminator('\0').map(str::to_owned).collect::<BTreeSet<_>>();
        let all = names(&list(&["--cached", "--others", "--exclude-standard"])?);
        // A path that is deleted but not committed yet, and one that is no text, say nothing.
        let read = |path: String| Some((path.clone(), fs::read_to_string(shell::root().join(path)).ok()?));
        Ok(Self {
            files: all.into_iter().filter_map(read).collect(),
            tracked: names(&list(&["--cached"])?),
            workspace: Workspace::load()?,
            modules: fences::MODULES
                .iter()
                .map(|name| Ok(fs::read(dist.file(&format!("a/{name}.wasm"))?)?))
                .collect::<Result<_>>()?,
        })
    }

    /// The files below any of the folders, by path.
    fn below<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let inside = |path: &str, folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || folder.is_empty())
        };
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| folders.iter().any(|folder| inside(path, folder)))
    }

    /// Hand-written Rust and JavaScript.
    fn sources(&self) -> impl Iterator<Item = (&str, &str, Language)> {
        let files = self.files.iter().filter(|(path, _)| !path.ends_with(".d.ts"));
        files.filter_map(|(path, text)| Some((path.as_str(), text.as_str(), Language::of(path)?)))
    }
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

/// Each line of code in which one of the words stands, as a word of its own.
fn lines_with(path: &str, code: &str, words: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let hits = words.iter().filter(|word| has_word(line, word));
        findings.extend(hits.map(|word| Finding::new(path, at + 1, format!("`{word}`"))));
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let bounded = |neighbour: Option<char>, edge: Option<char>| {
            !(neighbour.is_some_and(part_of_word) && edge.is_some_and(part_of_word))
        };
        bounded(before, word.chars().next()) && bounded(after, word.chars().next_back())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_finds_its_breach_and_nothing_in_a_sound_project() {
        for rule in all() {
            assert_eq!((rule.check)(&breaches::sound()), [], "{} finds fault with a sound project", rule.name);
            let broken = breaches::breaches(rule.name);
            assert!(!broken.is_empty(), "no breach shows that {} can fail", rule.name);
            for (what, project) in broken {
                assert!(!(rule.check)(&project).is_empty(), "{} does not see {what}", rule.name);
            }
        }
    }

    #[test]
    fn names_of_rules_are_unique_and_each_says_why_and_how_to_cure() {
        let names: BTreeSet<_> = all().map(|rule| rule.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(all().all(|rule| rule.why.ends_with('.') && rule.cure.ends_with('.')));
    }

    #[test]
    fn a_word_inside_another_does_not_count() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("#![deny(unsafe_code)]", "unsafe"));
        assert!(has_word("x.sin()", ".sin("));
        assert!(!has_word("tokio_util", "tokio"));
    }
}
