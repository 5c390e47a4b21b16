//! What code may say, by where it stands: unsafe, clocks, floats, numbers, logs.

use super::source::{Language, code_only, without_tests};
use super::{Finding, Project, Rule, has_word, lines_with};

pub(super) static RULES: [Rule; 6] = [
    Rule {
        name: "unsafe stands in the worklet modules' ABIs and nowhere else",
        why: "one file a module can be read line by line against the AudioWorklet that calls it; another will not be.",
        cure: "use a safe crate, or move the line into src/abi.rs of the engine or of the module.",
        check: unsafe_code,
    },
    Rule {
        name: "pure crates read no clock and open nothing",
        why: "the shell tells the time; a core that asks for it cannot be tested under a virtual clock.",
        cure: "take `now` as a parameter, return what is to be done as an output.",
        check: ambient_state,
    },
    Rule {
        name: "dsp and engine are no_std and never allocate",
        why: "an allocation in the audio callback is a lock, and a lock there is a click that somebody hears.",
        cure: "begin lib.rs with #![no_std] (cfg_attr for tests is fine), use arrays of a named size.",
        check: no_std,
    },
    Rule {
        name: "dsp takes elementary functions from libm or tables",
        why: "sin, exp and log of the platform differ in the last bit, and audio is to be identical natively and in WASM.",
        cure: "libm::sinf(x) instead of x.sin().",
        check: float_methods,
    },
    Rule {
        name: "the browser names no phone number",
        why: "who can name a number can have it rung at the merchant's cost; links and signed tokens are all there is.",
        cure: "add a destination on the server and send its link.",
        check: numbers_in_the_browser,
    },
    Rule {
        name: "no number, name or order stands in a log above DEBUG",
        why: "logs are copied, kept and mailed; who called whom is nobody's business there.",
        cure: "log the call's id, and the rest with debug! or trace!.",
        check: private_logs,
    },
];

const ABIS: [&str; 4] = [
    "softphone-wasm/engine/src/abi.rs",
    "softphone-wasm/modules/canceller/src/abi.rs",
    "softphone-wasm/modules/line/src/abi.rs",
    "softphone-wasm/modules/opus/src/abi.rs",
];

const PURE: [&str; 4] = ["crates/dsp/src", "crates/frame/src", "crates/protocol/src", "crates/switchboard/src"];

/// `Instant` and `Duration` are values and welcome; asking for them is not.
const AMBIENT: [&str; 14] = [
    "Instant::now",
    "SystemTime",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "println!",
    "eprintln!",
    "thread_local!",
    "static mut",
    "async fn",
];

const NO_STD: [&str; 4] =
    ["crates/dsp/src", "crates/frame/src", "softphone-wasm/engine/src", "softphone-wasm/modules/line/src"];

/// Methods of f32 and f64 that exist in std only. `sqrt` is exact everywhere, but it is std's as well.
const FLOAT_METHODS: [&str; 19] = [
    ".acos(", ".asin(", ".atan(", ".atan2(", ".cbrt(", ".cos(", ".cosh(", ".exp(", ".exp2(", ".hypot(", ".ln(",
    ".log(", ".log10(", ".log2(", ".powf(", ".powi(", ".sin(", ".sqrt(", ".tan(",
];

const BROWSER: [&str; 4] = ["crates/protocol/src/visitor.rs", "softphone-wasm/src", "www/loader", "www/widget"];

/// What numbers are called where they are.
const NUMBER_WORDS: [&str; 8] = ["sip:", "sips:", "tel:", "E164", "e164", "phone_number", "phoneNumber", "SipUri"];

/// Fields that hold what is private; the protocol's and the SIP side's names for them.
const PRIVATE: [&str; 14] = [
    "callee",
    "caller",
    "cart",
    "customer",
    "dialled",
    "display_name",
    "e164",
    "email",
    "from_uri",
    "number",
    "order",
    "phone",
    "request_uri",
    "to_uri",
];

fn unsafe_code(project: &Project) -> Vec<Finding> {
    let rust = project.sources().filter(|&(path, _, language)| language == Language::Rust && !ABIS.contains(&path));
    rust.flat_map(|(path, text, language)| lines_with(path, &code_only(text, language), &["unsafe"])).collect()
}

fn ambient_state(project: &Project) -> Vec<Finding> {
    shipped(project, &PURE).flat_map(|(path, code)| lines_with(path, &code, &AMBIENT)).collect()
}

fn no_std(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in NO_STD {
        let path = format!("{folder}/lib.rs");
        let text = project.files.get(&path).map(String::as_str).unwrap_or_default();
        if !["#![no_std]", "no_std)]"].iter().any(|attribute| text.contains(attribute)) {
            findings.push(Finding::new(&path, 0, "no #![no_std]"));
        }
    }
    let words = ["std::", "extern crate std", "extern crate alloc", "alloc::"];
    findings.extend(shipped(project, &NO_STD).flat_map(|(path, code)| lines_with(path, &code, &words)));
    findings
}

fn float_methods(project: &Project) -> Vec<Finding> {
    shipped(project, &NO_STD).flat_map(|(path, code)| lines_with(path, &code, &FLOAT_METHODS)).collect()
}

fn numbers_in_the_browser(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, language) in
        project.sources().filter(|(path, ..)| BROWSER.iter().any(|place| path.starts_with(place)))
    {
        // What strings say counts here: an address is a string. Comments do not.
        let code = code_only(text, language);
        for (at, line) in without_tests(text).lines().enumerate() {
            let is_code = code.lines().nth(at).is_some_and(|code| !code.trim().is_empty());
            let hits = NUMBER_WORDS.iter().filter(|word| is_code && has_word(line, word));
            findings.extend(hits.map(|word| Finding::new(path, at + 1, format!("`{word}`"))));
        }
    }
    findings
}

fn private_logs(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    let shells = ["signal-server/src", "media-gateway/src", "ringlet/src", "crates"];
    for (path, text) in project.below(&shells).filter(|(path, _)| path.ends_with(".rs")) {
        let text = without_tests(text);
        for call in ["info!(", "warn!(", "error!("] {
            for (at, _) in text.match_indices(call) {
                let arguments = text.get(at..).and_then(|rest| rest.split(");").next()).unwrap_or_default();
                // A field is named before `=` or after `%`, `?`, `{`; in the sentence itself the words are harmless.
                let named = |word: &&&str| {
                    let part = format!("{}{word}", '.');
                    ["%", "?", "{"].iter().any(|sign| has_field(arguments, &format!("{sign}{word}")))
                        || has_field(arguments, &part)
                };
                if let Some(word) = PRIVATE.iter().find(named) {
                    let line = text.get(..at).map_or(0, |before| before.lines().count().max(1));
                    findings.push(Finding::new(path, line, format!("{call}… {word} …)")));
                }
            }
        }
    }
    findings
}

/// Whether the text names the field, and not a longer one that starts alike, nor a method (`.number(`).
fn has_field(arguments: &str, field: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == '(';
    arguments
        .match_indices(field)
        .any(|(at, _)| !arguments.get(at + field.len()..).is_some_and(|rest| rest.starts_with(goes_on)))
}

/// The code below the folders that is compiled into a product: no tests, no comments, no strings.
fn shipped<'a>(project: &'a Project, folders: &'a [&str]) -> impl Iterator<Item = (&'a str, String)> {
    let rust = project.below(folders).filter(|(path, _)| path.ends_with(".rs") && !is_test(path));
    rust.map(|(path, text)| (path, without_test_items(&code_only(without_tests(text), Language::Rust))))
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || ["/tests.rs", "_tests.rs", "/testing.rs"].iter().any(|end| path.ends_with(end))
}

/// Without the line after each `#[cfg(test)]`: an item such as `extern crate std;`.
fn without_test_items(code: &str) -> String {
    let mut previous = "";
    let mut kept = String::with_capacity(code.len());
    for line in code.lines() {
        if previous.trim() != "#[cfg(test)]" {
            kept.push_str(line);
        }
        kept.push('\n');
        previous = line;
    }
    kept
}
