//! `cargo xtask bench NAME`: builds the release binary `bench-NAME` of `tests/e2e`, runs it in a network namespace and
//! prints what it measured. The measuring itself is there, not here.

use crate::report::{Measurement, print_table};
use crate::setup::{self, Needs};
use crate::{namespace, shell, web};
use anyhow::{Result, bail};
use clap::ValueEnum;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// Click → INVITE seen, click → answered, click → first audio both ways; warm and cold cache.
    Setup,
    /// Gaps of audio, both ways, while a call follows its shopper from page to page.
    Resume,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    bench: Bench,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Handed to the bench binary as they stand.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Measures; `false` if a target is missed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    setup::ensure(Needs::Test)?;
    web::build()?;
    let name = match args.bench {
        Bench::Setup => "bench-setup",
        Bench::Resume => "bench-resume",
    };
    eprintln!("The first optimised build takes minutes.");
    // Two builds: in one, ringlet would get the features that the browser's driver asks for.
    let ringlet = shell::build_ringlet(true)?;
    shell::run(shell::cargo().args(["build", "--release", "--package", "e2e", "--bin", name]))?;
    let mut command = namespace::inside(&shell::target().join("release").join(name));
    command.args(&args.rest).env("RINGLET_BIN", ringlet).stdin(Stdio::null());
    eprintln!("Running {name} in a network namespace …");
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut rows = Vec::new();
    let mut all_hold = true;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
        match Measurement::parse(&line) {
            Some((measurement, holds)) => {
                all_hold &= holds;
                rows.push(row(&measurement, holds));
                if args.json {
                    shell::print(&format!("{line}\n"));
                }
            }
            None => eprintln!("{line}"),
        }
    }
    let status = child.wait()?;
    if !args.json && !rows.is_empty() {
        print_table(&["", "value", "unit", "target", "holds", "compared with", "ratio"], &rows);
    }
    if rows.is_empty() {
        bail!("{name} measured nothing ({status})");
    }
    Ok(all_hold && status.success())
}

fn row(measurement: &Measurement, holds: bool) -> Vec<String> {
    let rounded = |value: f64| format!("{}", (value * 1000.0).round() / 1000.0);
    let (peer, ratio) = measurement.peer.clone().unzip();
    vec![
        measurement.name.clone(),
        rounded(measurement.value),
        measurement.unit.clone(),
        measurement.target.map_or_else(String::new, rounded),
        match (measurement.target, holds) {
            (None, true) => "",
            (Some(_), true) => "yes",
            (_, false) => "NO",
        }
        .to_owned(),
        peer.unwrap_or_default(),
        ratio.map_or_else(String::new, rounded),
    ]
}
