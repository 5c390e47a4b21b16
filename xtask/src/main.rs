//! `cargo xtask …`, the project's only script: sets up, builds, runs, tests, measures and checks the rules.
//!
//! Progress goes to stderr, results (tables, JSON, the tests' closing line) to stdout. Nothing here is part of what is
//! deployed: `cargo build` in a folder where `www/dist` is built needs none of it.

mod bench;
mod demo;
mod elsewhere;
mod metadata;
mod namespace;
mod report;
mod setup;
mod shell;
mod sizes;
mod suite;
mod tidy;
mod trunk;
mod wasm;
mod web;

use clap::{Parser, Subcommand};
use setup::Needs;
use std::process::ExitCode;

/// Ringlet's chores. `run` and `test` need nothing before them: they set up and build what is missing.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what is missing, and says what and why before it does.
    Setup {
        /// Only what `build` and `run` need, without the browser and the SIP peers of the tests.
        #[arg(long)]
        build_only: bool,
    },
    /// Builds the web assets (`www/dist`) and the `ringlet` binary.
    Build {
        /// Optimised, as it is deployed.
        #[arg(long)]
        release: bool,
        /// Only `www/dist`.
        #[arg(long)]
        web_only: bool,
        /// Fills Trunk's staging folder (called by Trunk.toml's hook).
        #[arg(long, requires = "web_only")]
        trunk: bool,
    },
    /// Builds, then serves the demo shop on http://127.0.0.1:8080, with a SIP phone behind it.
    Run {
        /// Optimised, as it is deployed.
        #[arg(long)]
        release: bool,
    },
    /// Runs every check and test, browser and SIP peers included.
    Test(suite::Args),
    /// Weighs every file that a first call loads; fails over budget.
    Sizes {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Measures one thing (`setup`: click → INVITE → answer → audio) in a network namespace of its own.
    Bench(bench::Args),
    /// Checks the invariants of ARCHITECTURE.md, formatting, lints, licences.
    Tidy {
        /// Only the rules that read files, without rustfmt, clippy and tsc: two seconds.
        #[arg(long)]
        rules_only: bool,
    },
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command; `false` if what it checks does not hold.
fn execute(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Setup { build_only } => {
            setup::ensure(if build_only { Needs::Build } else { Needs::Test })?;
            eprintln!("Nothing is missing.");
            Ok(true)
        }
        Command::Build { release, web_only, trunk } => {
            setup::ensure(Needs::Build)?;
            let dist = web::build()?;
            if trunk {
                trunk::fill_staging(&dist)?;
            }
            if !web_only {
                let binary = shell::build_ringlet(release)?;
                eprintln!("{} is built.", binary.display());
            }
            Ok(true)
        }
        Command::Run { release } => {
            setup::ensure(Needs::Build)?;
            web::build()?;
            demo::run(&shell::build_ringlet(release)?)
        }
        Command::Test(args) => suite::run(&args),
        Command::Sizes { json } => {
            setup::ensure(Needs::Build)?;
            Ok(sizes::weigh(&web::build()?, json)?.all_hold())
        }
        Command::Bench(args) => bench::run(&args),
        Command::Tidy { rules_only } => {
            setup::ensure(Needs::Build)?;
            let dist = web::build()?;
            let tally = tidy::rules(&dist)?;
            if rules_only {
                return Ok(tally.failed == 0);
            }
            Ok((tally + tidy::tools()?).failed == 0)
        }
    }
}
