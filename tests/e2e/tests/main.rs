//! The end-to-end tests: a real browser calls through the real server to independent SIP peers. Run by `cargo xtask test` in two lanes,
//! each in a network namespace of its own and there one after the other, since each has its ports to itself.

mod asleep;
mod card;
mod checks;
mod comeback;
mod commands;
mod connection;
mod echo;
mod embedding;
mod endings;
mod firefox;
mod frames;
mod https_only;
mod impaired;
mod keys;
mod network;
mod over_tcp;
mod quality;
mod restarts;
mod resume;
mod roaming;
mod settings;
mod stops;
mod storage;
mod strangers;
mod tone_keys;
mod tones;
mod upgrade;
mod window;

use anyhow::{Context as _, Result};
use e2e::lane::Lane;
use e2e::scene::{Scene, Stage, World};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // All in the main thread: children end with the thread that started them.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    match Stagehand::new().and_then(|stagehand| Ok((Lane::of_this_process()?, Arc::new(stagehand)))) {
        Ok((lane, stagehand)) => {
            let trials = trials(Some(&stagehand)).into_iter().enumerate();
            let trials = trials.filter(|(place, _)| lane.has(*place)).map(|(_, trial)| trial).collect();
            libtest_mimic::run(&arguments, trials).exit_code()
        }
        Err(error) => {
            eprintln!("the end-to-end tests cannot run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What plays the tests.
#[derive(Debug)]
struct Stagehand {
    // Fields are dropped in this order: what runs first, what it runs on last.
    world: World,
    runtime: Runtime,
}

impl Stagehand {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
        let world = runtime.block_on(World::open())?;
        Ok(Self { world, runtime })
    }
}

fn trials(stagehand: Option<&Arc<Stagehand>>) -> Vec<Trial> {
    let mut program = Program { stagehand, trials: Vec::new() };
    tones::tests(&mut program);
    over_tcp::tests(&mut program);
    checks::tests(&mut program);
    quality::tests(&mut program);
    keys::tests(&mut program);
    tone_keys::tests(&mut program);
    commands::tests(&mut program);
    card::tests(&mut program);
    settings::tests(&mut program);
    connection::tests(&mut program);
    endings::tests(&mut program);
    resume::tests(&mut program);
    restarts::tests(&mut program);
    stops::tests(&mut program);
    storage::tests(&mut program);
    upgrade::tests(&mut program);
    frames::tests(&mut program);
    https_only::tests(&mut program);
    impaired::tests(&mut program);
    window::tests(&mut program);
    network::tests(&mut program);
    roaming::tests(&mut program);
    asleep::tests(&mut program);
    comeback::tests(&mut program);
    strangers::tests(&mut program);
    echo::tests(&mut program);
    firefox::tests(&mut program);
    embedding::tests(&mut program);
    program.trials
}

/// The tests to be run; only their names when there is nobody to play them.
struct Program<'a> {
    stagehand: Option<&'a Arc<Stagehand>>,
    trials: Vec<Trial>,
}

impl Program<'_> {
    fn test(
        &mut self,
        name: impl Into<String>,
        stage: Stage,
        play: impl AsyncFnOnce(&mut Scene) -> Result<()> + Send + 'static,
    ) {
        self.test_if(true, name, stage, play);
    }

    /// A test that is left out, and shown as such, where this machine cannot have what it takes.
    fn test_if(
        &mut self,
        is_possible: bool,
        name: impl Into<String>,
        stage: Stage,
        play: impl AsyncFnOnce(&mut Scene) -> Result<()> + Send + 'static,
    ) {
        let name = name.into();
        let title = name.clone();
        let stagehand = self.stagehand.cloned();
        let trial = Trial::test(title, move || {
            let stagehand = stagehand.ok_or("nobody to play it")?;
            let played = stagehand.runtime.block_on(stagehand.world.play(&name, &stage, play));
            played.map_err(|error| Failed::from(format!("{error:#}")))
        });
        self.trials.push(trial.with_ignored_flag(!is_possible));
    }
}
