//! `cargo xtask test`: every check and test in the order in which they fail fastest, and one closing line for all.
//!
//! Three builds, since cargo switches a dependency's features on for all crates of one build: the products are tested with
//! the features that they ship with, and not with what the browser's driver or wasm-bindgen asks for. Within each, tests
//! and binaries are compiled once.

use crate::report::Tally;
use crate::setup::{self, Needs};
use crate::{elsewhere, namespace, shell, sizes, tidy, web};
use anyhow::{Context, Result};
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose names contain this, and no other check.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Without the end-to-end tests, which need a browser and SIP peers.
    #[arg(long)]
    no_e2e: bool,
}

/// What is deployed.
const PRODUCTS: &[&str] = &["--workspace", "--exclude", "e2e", "--exclude", "xtask"];
/// The end-to-end tests; their binary runs in a namespace, their own helpers' tests need none.
const END_TO_END: &[&str] = &["--package", "e2e"];

/// In how many processes the end-to-end tests are played at the same time: what two cores bear without tearing the sound.
const LANES: usize = 2;
/// Is compiled already, since it runs.
const XTASK: &[&str] = &["--package", "xtask"];

/// What each step has found, and how long it took.
#[derive(Default)]
struct Steps(Vec<(&'static str, Tally, f64)>);

/// Runs the tests; `false` if one failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let mut steps = Steps::default();
    let needs = if args.no_e2e { Needs::Build } else { Needs::Test };
    steps.run("setup", || setup::ensure(needs).map(|()| Tally::default()))?;
    let mut dist = None;
    steps.run("web assets", || web::build().map(|built| dist = Some(built)).map(|()| Tally::default()))?;
    let dist = dist.context("no web assets")?;
    if args.only.is_none() {
        steps.run("rules", || tidy::rules(&dist))?;
        steps.run("sizes", || sizes::weigh(&dist, false).map(|report| report.tally()))?;
        steps.run("formatting, types, lints", tidy::tools)?;
    }
    let mut end_to_end = None;
    steps.run("build", || {
        let products = build(PRODUCTS)?;
        end_to_end = if args.no_e2e { None } else { build(END_TO_END)? };
        let failed = products.is_none() || (end_to_end.is_none() && !args.no_e2e);
        Ok(Tally { passed: 0, failed: u32::from(failed) })
    })?;
    let only = args.only.as_deref();
    steps.run("tests", || {
        let products = unit_tests(PRODUCTS, &[], only)? + unit_tests(XTASK, &[], only)?;
        Ok(if args.no_e2e { products } else { products + unit_tests(END_TO_END, &["--lib", "--bins"], only)? })
    })?;
    if args.only.is_none() {
        steps.run("the engine in WASM", elsewhere::engine_in_wasm)?;
        steps.run("fuzz corpora", elsewhere::fuzz_corpora)?;
    }
    match end_to_end.flatten() {
        Some(binary) => steps.run("end to end", || end_to_end_tests(&binary, only))?,
        None => eprintln!("No end-to-end tests are run."),
    }
    Ok(steps.close())
}

impl Steps {
    fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<Tally>) -> Result<()> {
        eprintln!("\n── {name}");
        let start = Instant::now();
        let tally = step().with_context(|| name.to_owned())?;
        self.0.push((name, tally, start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Prints what took how long, and the line that CI reads.
    fn close(self) -> bool {
        eprintln!();
        let mut sum = Tally::default();
        for (name, tally, seconds) in self.0 {
            eprintln!("{seconds:>7.1} s  {name}: {} passed, {} failed", tally.passed, tally.failed);
            sum = sum + tally;
        }
        shell::print(&format!("\n{} passed, {} failed\n", sum.passed, sum.failed));
        sum.failed == 0
    }
}

/// Builds tests and binaries. `None` if that failed, else the end-to-end tests' binary, if it is among them.
fn build(packages: &[&str]) -> Result<Option<Option<PathBuf>>> {
    let mut cargo = shell::cargo();
    cargo.arg("build").args(packages).args(["--lib", "--bins", "--tests", "--message-format=json-render-diagnostics"]);
    eprintln!("  $ {}", shell::display(&cargo));
    let mut child = cargo.stdout(Stdio::piped()).spawn()?;
    let mut messages = String::new();
    child.stdout.take().context("cargo's messages")?.read_to_string(&mut messages)?;
    Ok(child.wait()?.success().then(|| messages.lines().find_map(end_to_end_binary)))
}

/// The executable, if the line is cargo's message about the test target of `tests/e2e`.
fn end_to_end_binary(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message.pointer("/target/kind/0")?.as_str()? == "test";
    let of_e2e = message.get("manifest_path")?.as_str()?.ends_with("tests/e2e/Cargo.toml");
    Some(PathBuf::from(message.get("executable")?.as_str()?)).filter(|_| is_test && of_e2e)
}

/// Runs the packages' tests outside the namespace; all targets, unless some are named.
fn unit_tests(packages: &[&str], targets: &[&str], only: Option<&str>) -> Result<Tally> {
    let mut cargo = shell::cargo();
    if shell::which("cargo-nextest").is_some() {
        cargo.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]);
    } else {
        // `--tests` leaves out the documentation's examples, of which there are none.
        cargo.args(["test", "--no-fail-fast"]).args(["--tests"].iter().filter(|_| targets.is_empty()));
    }
    counted(cargo.args(packages).args(targets).args(only))
}

/// Runs the end-to-end tests in lanes, half of them in each: a call mostly waits.
fn end_to_end_tests(binary: &std::path::Path, only: Option<&str>) -> Result<Tally> {
    let ringlet = shell::target().join("debug/ringlet");
    let play = &|lane: usize| {
        let mut command = namespace::inside(binary);
        let lane = format!("{lane}/{LANES}");
        counted(command.args(only).env("RINGLET_BIN", &ringlet).env("E2E_LANE", lane).stdin(Stdio::null()))
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (1..=LANES).map(|lane| scope.spawn(move || play(lane))).collect();
        lanes.into_iter().try_fold(Tally::default(), |sum, lane| {
            let played = lane.join().map_err(|_| anyhow::anyhow!("a lane of the end-to-end tests broke down"))?;
            Ok(sum + played?)
        })
    })
}

/// Runs a test runner; what it counted, and one failure more if it failed without counting any.
pub(crate) fn counted(command: &mut std::process::Command) -> Result<Tally> {
    let (text, succeeded) = shell::tee(command)?;
    let tally = count(&text);
    Ok(if succeeded || tally.failed > 0 { tally } else { tally + Tally::of(false) })
}

/// Sums the closing lines of libtest, libtest-mimic and Node; or takes nextest's, which shows libtest's lines of what failed.
fn count(text: &str) -> Tally {
    if text.starts_with("TAP version") {
        let of = |what| text.lines().filter_map(|line| line.strip_prefix(what)?.trim().parse::<u32>().ok()).sum();
        return Tally { passed: of("# pass "), failed: of("# fail ") };
    }
    let lines = || text.lines().map(str::trim_start);
    let nextest = lines().find(|line| line.starts_with("Summary [") && line.contains(" run:"));
    let closing: Vec<&str> =
        nextest.map_or_else(|| lines().filter(|line| line.starts_with("test result:")).collect(), |line| vec![line]);
    closing.into_iter().map(summary).fold(Tally::default(), |sum, tally| sum + tally)
}

fn summary(line: &str) -> Tally {
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_end_matches([',', ';'])).collect();
    let before = |what: &str| {
        let counts = words.windows(2).filter(|pair| pair.get(1) == Some(&what));
        counts.filter_map(|pair| pair.first()?.parse::<u32>().ok()).sum::<u32>()
    };
    Tally { passed: before("passed"), failed: before("failed") + before("timed") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_all_runners_are_read() {
        let of = |text| (count(text).passed, count(text).failed);
        assert_eq!(of("test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured"), (3, 1));
        assert_eq!(of("test result: ok. 3 passed; 0 failed\n\ntest result: ok. 2 passed; 0 failed"), (5, 0));
        assert_eq!(of("     Summary [   4.0s] 12 tests run: 12 passed, 2 skipped"), (12, 0));
        let mixed = "     Summary [   4.0s] 12 tests run: 9 passed (1 slow), 2 failed, 1 timed out, 0 skipped";
        assert_eq!(of(mixed), (9, 3));
        assert_eq!(of("TAP version 13\nok 1 - it\n# pass 4\n# fail 1\n# skipped 0"), (4, 1));
        assert_eq!(of("     Summary [   0.000s] 0 tests run: 0 passed, 3 skipped"), (0, 0));
    }

    #[test]
    fn nextests_count_stands_above_the_lines_of_what_failed() {
        let text =
            "    test result: FAILED. 0 passed; 1 failed\n Summary [ 4.0s] 9 tests run: 8 passed, 1 failed, 0 skipped";
        assert_eq!(count(text), Tally { passed: 8, failed: 1 });
    }

    #[test]
    fn a_runner_that_dies_before_it_counts_is_a_failure() -> Result<()> {
        let tally = |script| counted(shell::program("sh").args(["-c", script]));
        assert_eq!(tally("exit 3")?, Tally { passed: 0, failed: 1 });
        let counted_itself = "echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored'; exit 101";
        assert_eq!(tally(counted_itself)?, Tally { passed: 3, failed: 1 });
        Ok(())
    }

    #[test]
    fn the_end_to_end_binary_is_found_among_cargos_messages() {
        let message = |kind: &str, path: &str| {
            format!(r#"{{"manifest_path":"{path}","target":{{"kind":["{kind}"]}},"executable":"/t/e2e-1"}}"#)
        };
        assert_eq!(end_to_end_binary(&message("test", "/r/tests/e2e/Cargo.toml")), Some(PathBuf::from("/t/e2e-1")));
        assert_eq!(end_to_end_binary(&message("bin", "/r/tests/e2e/Cargo.toml")), None);
        assert_eq!(end_to_end_binary(&message("test", "/r/ringlet/Cargo.toml")), None);
    }
}
