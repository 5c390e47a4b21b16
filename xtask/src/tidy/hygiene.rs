//! What a reader meets: heads, lengths, leftovers, tests that do not run, the script that CI calls.

use super::source::{Language, code_only, long_functions};
use super::{Finding, Project, Rule, lines_with};

pub(super) static RULES: [Rule; 9] = [
    Rule {
        name: "every source file says what it is",
        why: "who opens a file wants to know whether it is the one; two lines at its head tell.",
        cure: "begin with `//!` (in JavaScript a comment): what it is, and what it deliberately is not.",
        check: heads,
    },
    Rule {
        name: "no file is longer than 600 lines",
        why: "what does not fit into a head gets changed at the wrong end.",
        cure: "split it along its nouns.",
        check: long_files,
    },
    Rule {
        name: "no function is longer than 70 lines",
        why: "what does not fit on a screen is not read as a whole.",
        cure: "split it along its verbs.",
        check: long_bodies,
    },
    Rule {
        name: "nothing is left for later",
        why: "a note in the code is an issue that nobody will find.",
        cure: "do it now, or file an issue and take the note away.",
        check: leftovers,
    },
    Rule {
        name: "no path of somebody's machine",
        why: "what names a home folder works on one machine only.",
        cure: "start from the checkout's root, or take it from the environment.",
        check: machine_paths,
    },
    Rule {
        name: "every test runs",
        why: "a test that is skipped is taken for one that passes.",
        cure: "mend it or remove it.",
        check: ignored_tests,
    },
    Rule {
        name: "no example stands in the documentation that nobody compiles",
        why: "documentation tests link once more for each crate, so they are not run, and an example that is not run rots.",
        cure: "make it a unit test; a drawing or a message goes between ```text and ```.",
        check: examples,
    },
    Rule {
        name: "CI runs `cargo xtask test` and nothing else",
        why: "what only CI does, nobody can repeat at their desk.",
        cure: "put it into xtask.",
        check: ci,
    },
    Rule {
        name: "no toolchain file names targets",
        why: "rustup would try to download them at every call, also where it cannot.",
        cure: "`cargo xtask setup` adds the target.",
        check: toolchain_targets,
    },
];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

fn heads(project: &Project) -> Vec<Finding> {
    let headless = project.sources().filter(|(path, text, language)| match language {
        Language::Rust => !text.starts_with("//!"),
        // A loader may have to begin with its licence or its types.
        Language::JavaScript => !path.contains(".config.") && !text.starts_with("//") && !text.starts_with("/*"),
    });
    headless.map(|(path, ..)| Finding::new(path, 1, "no head")).collect()
}

fn long_files(project: &Project) -> Vec<Finding> {
    let styles = project
        .files
        .iter()
        .filter(|(path, _)| path.ends_with(".css"))
        .map(|(path, text)| (path.as_str(), text.as_str()));
    let all = project.sources().map(|(path, text, _)| (path, text)).chain(styles);
    let lengths = all.map(|(path, text)| (path, text.lines().count())).filter(|&(_, lines)| lines > FILE_LINES);
    lengths.map(|(path, lines)| Finding::new(path, 0, format!("{lines} lines"))).collect()
}

fn long_bodies(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, language) in project.sources() {
        let long = long_functions(&code_only(text, language), language, FUNCTION_LINES);
        findings.extend(long.into_iter().map(|(line, length)| Finding::new(path, line, format!("{length} lines"))));
    }
    findings
}

fn leftovers(project: &Project) -> Vec<Finding> {
    // In two parts each, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    project.sources().flat_map(|(path, text, _)| lines_with(path, text, &words)).collect()
}

fn machine_paths(project: &Project) -> Vec<Finding> {
    let homes = [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let mut findings = Vec::new();
    for (path, text) in project.files.iter().filter(|(path, _)| !path.ends_with("Cargo.lock")) {
        for (at, line) in text.lines().enumerate() {
            // An address such as https://host/work/ goes on to the left.
            let hit =
                |home: &&&str| line.match_indices(**home).any(|(at, _)| !line.get(..at).is_some_and(ends_in_a_path));
            findings.extend(
                homes.iter().filter(|home| hit(home)).map(|home| Finding::new(path, at + 1, format!("`{home}`"))),
            );
        }
    }
    findings
}

fn ends_in_a_path(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || "._-/~}$".contains(c))
}

fn ignored_tests(project: &Project) -> Vec<Finding> {
    let rust = project.sources().filter(|&(_, _, language)| language == Language::Rust);
    rust.flat_map(|(path, text, language)| lines_with(path, &code_only(text, language), &["#[ignore"])).collect()
}

fn examples(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, _) in project.sources().filter(|&(_, _, language)| language == Language::Rust) {
        let mut open = false;
        for (at, line) in text.lines().enumerate() {
            let doc = line.trim_start();
            let fence = ["//! ```", "/// ```"].iter().find_map(|mark| doc.strip_prefix(mark));
            if let Some(language) = fence {
                open = !open;
                if open && ["", "rust", "no_run", "should_panic"].contains(&language) {
                    findings.push(Finding::new(path, at + 1, "an example"));
                }
            }
        }
    }
    findings
}

fn ci(project: &Project) -> Vec<Finding> {
    const PATH: &str = ".ci/run";
    let Some(text) = project.files.get(PATH) else { return vec![Finding::new(PATH, 0, "there is none")] };
    let of_substance = |line: &&str| {
        !line.is_empty() && !line.starts_with('#') && !["set ", "cd "].iter().any(|word| line.starts_with(word))
    };
    let commands: Vec<&str> = text.lines().map(str::trim).filter(of_substance).collect();
    match commands.as_slice() {
        ["exec cargo xtask test" | "cargo xtask test"] => Vec::new(),
        _ => vec![Finding::new(PATH, 0, format!("{commands:?}"))],
    }
}

fn toolchain_targets(project: &Project) -> Vec<Finding> {
    let files =
        ["rust-toolchain.toml", "rust-toolchain"].into_iter().filter_map(|path| Some((path, project.files.get(path)?)));
    files.flat_map(|(path, text)| lines_with(path, text, &["targets"])).collect()
}
