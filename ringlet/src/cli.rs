//! The command line.

use crate::config::{File, Halves, Log, LogFormat};
use crate::{check, init, phone, run};
use clap::{Parser, Subcommand};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Click to call: a shopper's browser, a merchant's call centre, nothing to install.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration file.
    #[arg(long, global = true, default_value = "ringlet.toml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything in one process.
    Run {
        /// Takes the place of the process that runs with this configuration, if there is one: no call drops, nobody is
        /// refused, and that process ends with its last call.
        #[arg(long)]
        take_over: bool,
    },
    /// Runs the signal-server alone; gateways connect to it.
    Signal,
    /// Runs a media gateway alone; it connects to a signal-server.
    Gateway,
    /// Writes a commented configuration with every default.
    Init,
    /// Says what is wrong with the configuration, the certificates and the trunks.
    Check {
        /// A page of a shop: says whether it lets the call button load, open and have a microphone, and where a browser finds out
        /// the rest.
        #[arg(long, value_name = "URL")]
        from_browser: Option<url::Url>,
        /// Checks what `ringlet signal` or `ringlet gateway` reads of the file, where the two halves have machines of their own.
        #[arg(long, value_name = "HALF")]
        half: Option<Halves>,
    },
    /// A small SIP phone for trying things out: answers, greets, echoes, sends keys.
    Phone(phone::PhoneArgs),
}

/// Runs the command to its end.
pub(crate) fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let path = cli.config;
    match cli.command {
        Command::Init => {
            init::init(&path)?;
            eprintln!("{} is written; `ringlet check` says what it still needs.", path.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { from_browser, half } => {
            let halves = half.unwrap_or(Halves::Both);
            runtime()?.block_on(check::check(&path, halves, from_browser.as_ref()))
        }
        Command::Phone(args) => {
            log_to_stderr(&Log::default());
            runtime()?.block_on(phone::run(args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { take_over } => serve(&path, Halves::Both, take_over),
        Command::Signal => serve(&path, Halves::Signal, false),
        Command::Gateway => serve(&path, Halves::Gateway, false),
    }
}

fn serve(path: &std::path::Path, halves: Halves, take_over: bool) -> anyhow::Result<ExitCode> {
    let file = File::load(path, halves)?;
    log_to_stderr(&file.log);
    runtime()?.block_on(run::run(file, halves, take_over))?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// What libraries say at INFO that is DEBUG to us: rsipstack prints whole SIP messages there, phone numbers included. A
/// filter that names them goes before this.
const QUIETER: &str = "rsipstack=warn,memory_serve=warn";

fn log_to_stderr(log: &Log) {
    let filter = std::env::var("RINGLET_LOG").unwrap_or_else(|_| log.filter.clone());
    let filter = tracing_subscriber::EnvFilter::new(format!("{QUIETER},{filter}"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
