//! `cargo xtask bench NAME`: builds `ringlet` optimised and the binary `bench-NAME` of `tests/e2e`, runs that in a network namespace and
//! prints what it measured. The measuring itself is there, not here.

mod audio;

use crate::report::{Measurement, print_table};
use crate::setup::{self, Needs};
use crate::{namespace, shell, web};
use anyhow::{Result, bail};
use audio::Section;
use clap::ValueEnum;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const SETUP: Section = Section {
    name: "setup",
    about: "from the click on",
    package: "e2e",
    binary: "bench-setup",
    product: true,
    programs: &[],
    python: &[],
};
const RESUME: Section = Section { name: "resume", about: "from page to page", binary: "bench-resume", ..SETUP };
const NETWORK: Section = Section { name: "network", about: "over broken networks", binary: "bench-network", ..SETUP };
const KEYS: Section = Section { name: "keys", about: "from key-up to effect", binary: "bench-keys", ..SETUP };

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// Click → INVITE seen, click → answered, click → first audio both ways; warm and cold cache.
    Setup,
    /// Gaps of audio, both ways, while a call follows its shopper from page to page.
    Resume,
    /// How soon a broken network is noticed, and how long nobody hears the other, both ways.
    Network,
    /// How soon a code that an agent keys takes effect, by every way that keys travel.
    Keys,
    /// What people hear: speech over lossy networks and whatever else the sections say (`--section`).
    Audio,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    bench: Bench,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Of `audio`: only these tables.
    #[arg(long)]
    section: Vec<String>,
    /// Handed to the bench binary as they stand.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Measures; `false` if a target is missed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let chosen = |section: &&Section| args.section.is_empty() || args.section.iter().any(|name| name == section.name);
    let sections: Vec<&Section> = match args.bench {
        Bench::Setup => vec![&SETUP],
        Bench::Resume => vec![&RESUME],
        Bench::Network => vec![&NETWORK],
        Bench::Keys => vec![&KEYS],
        Bench::Audio => audio::SECTIONS.iter().filter(chosen).collect(),
    };
    if sections.is_empty() {
        let mut names: Vec<_> = audio::SECTIONS.iter().map(|section| section.name).collect();
        names.dedup();
        bail!("no such section; there are: {}", names.join(", "));
    }
    setup::ensure(Needs::Test)?;
    for section in &sections {
        audio::ensure(section)?;
    }
    eprintln!("The first optimised build takes minutes.");
    let mut ringlet = PathBuf::new();
    if sections.iter().any(|section| section.product) {
        web::build()?;
        // Two builds: in one, ringlet would get the features that the browser's driver asks for.
        ringlet = shell::build_ringlet(true)?;
    }
    let mut all_hold = true;
    for section in sections {
        all_hold &= measure(section, &ringlet, args)?;
    }
    Ok(all_hold)
}

fn measure(section: &Section, ringlet: &Path, args: &Args) -> Result<bool> {
    let Section { package, binary, .. } = *section;
    // What drives a browser waits and takes times; what computes is measured itself.
    let drives = package == "e2e";
    let optimised = ["--release"].iter().filter(|_| !drives);
    shell::run(shell::cargo().args(["build", "--package", package, "--bin", binary]).args(optimised))?;
    // Those of the end-to-end tests take it themselves, as the tests do.
    let _alone = if drives { None } else { Some(alone()?) };
    let mut command = namespace::inside(&shell::target().join(if drives { "debug" } else { "release" }).join(binary));
    command.args(&args.rest).env("RINGLET_BIN", ringlet).env("BENCH_PYTHON", audio::python()).stdin(Stdio::null());
    eprintln!("Running {binary} in a network namespace …");
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
        shell::print(&format!("{}\n", section.about));
        print_table(&["", "value", "unit", "target", "holds", "compared with", "ratio"], &rows);
    }
    if rows.is_empty() {
        bail!("{binary} measured nothing ({status})");
    }
    Ok(all_hold && status.success())
}

/// The lock of `tests/e2e`: what is measured while browsers run is the browsers.
fn alone() -> Result<File> {
    let artifacts = shell::root().join("tests/artifacts");
    fs::create_dir_all(&artifacts)?;
    let lock = File::create(artifacts.join("lock"))?;
    lock.lock()?;
    Ok(lock)
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
