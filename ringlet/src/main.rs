//! The `ringlet` program: everything in one process, or one half of it, and what an operator needs to set it up.

mod check;
mod cli;
mod config;
mod init;
mod open_files;
mod page;
mod phone;
mod run;
mod takeover;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::execute(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ringlet: {error:#}");
            ExitCode::FAILURE
        }
    }
}
